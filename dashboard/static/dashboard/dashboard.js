// What HTML alone cannot do: copy, open dialogs, close menus, tell times in the viewer's zone. Every form and link
// works without this file; nothing here knows a page.
(() => {
  "use strict";
  const root = document.documentElement;
  const said = document.getElementById("said");
  const say = (text) => { if (said) said.textContent = text; };

  const copy = async (button) => {
    const source = document.getElementById(button.dataset.copy);
    const text = source.value ?? source.textContent;
    try {
      await navigator.clipboard.writeText(text.trim());
    } catch {
      // No clipboard over plain http: select it, so that the keyboard can copy.
      getSelection().selectAllChildren(source);
      say("Selected; press Ctrl+C to copy");
      return;
    }
    const label = button.querySelector("[data-label]") ?? button;
    const before = label.textContent;
    label.textContent = "Copied";
    say("Copied");
    setTimeout(() => { label.textContent = before; }, 1600);
  };

  const theme = () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* kept for this page alone */ }
    dispatchEvent(new CustomEvent("theme"));
  };

  const closeMenus = (except) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) if (menu !== except) menu.open = false;
  };

  const toggleDrawer = (button) => {
    const open = button.closest(".side").classList.toggle("open");
    button.setAttribute("aria-expanded", String(open));
  };

  document.addEventListener("click", (event) => {
    closeMenus(event.target.closest("details.menu"));
    const button = event.target.closest("button, a");
    if (!button) return;
    if (button.dataset.copy) copy(button);
    else if (button.dataset.opens) document.getElementById(button.dataset.opens).showModal();
    else if (button.dataset.closes !== undefined) button.closest("dialog").close();
    else if (button.dataset.dismisses !== undefined) button.closest(".toast, .banner").remove();
    else if (button.dataset.theme !== undefined) theme();
    else if (button.dataset.drawer !== undefined) toggleDrawer(button);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const open = document.querySelector("details.menu[open]");
    if (open) {
      open.open = false;
      open.querySelector("summary").focus();
      return;
    }
    const drawer = document.querySelector(".side.open [data-drawer]");
    if (!drawer || document.querySelector("dialog[open]")) return;
    toggleDrawer(drawer);
    drawer.focus();
  });

  // A second click does nothing more; coming back by the Back button finds the form usable again.
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented || event.target.method === "dialog") return;
    if (event.target.dataset.busy) { event.preventDefault(); return; }
    if (event.target.method === "post") event.target.dataset.busy = "yes";
    event.submitter?.setAttribute("aria-busy", "true");
  });
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-busy]")) delete form.dataset.busy;
    for (const busy of document.querySelectorAll("[aria-busy]")) busy.removeAttribute("aria-busy");
  });
  // What is left empty in a search is not in its address.
  document.addEventListener("formdata", (event) => {
    if (event.target.method !== "get") return;
    for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
  });
  document.addEventListener("change", (event) => {
    if (event.target.dataset.submits !== undefined) event.target.form.requestSubmit();
  });

  const days = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
  const moments = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const instants = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  const formOf = ({ day, instant }) => (day !== undefined ? days : instant !== undefined ? instants : moments);
  const localise = (within) => {
    for (const time of within.querySelectorAll("time[datetime]:not([title])")) {
      const at = new Date(time.dateTime);
      time.title = `${time.dateTime.slice(0, 19).replace("T", " ")} UTC`;
      time.textContent = formOf(time.dataset).format(at);
    }
  };
  localise(document);
  document.addEventListener("htmx:load", (event) => localise(event.detail.elt));
  // Nobody looks at a hidden page: it asks for nothing new.
  document.addEventListener("htmx:beforeRequest", (event) => { if (document.hidden) event.preventDefault(); });

  // A form that came back with something wrong: in its dialog if it has one, and at the field in question.
  const wrong = document.querySelector("dialog .errorlist, dialog [aria-invalid]");
  wrong?.closest("dialog").showModal();
  document.querySelector("dialog[data-open]")?.showModal();
  document.querySelector('[aria-invalid="true"]')?.focus();
})();
