// The curve of a trial, and a handle on it: it says what a setting would have come to, and writes it into the rules'
// form, where it waits to be saved. The table below holds the same, for whoever has no script.
(() => {
  "use strict";
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const colour = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
  const percent = (value) => `${Number((100 * value).toFixed(value < 0.1 ? 2 : 1))} %`;
  const usd = (value) => `$${value.toFixed(value === 0 || Math.abs(value) >= 0.1 ? 2 : Math.max(4, 1 - Math.floor(Math.log10(Math.abs(value)))))}`;
  const against = (by, shown) => (by === 0 ? "as now" : `${by > 0 ? "+" : "−"}${shown(Math.abs(by))} against now`);
  const HEIGHT = 260;
  const STEPS = { ArrowRight: 1, ArrowUp: 1, PageUp: 1, ArrowLeft: -1, ArrowDown: -1, PageDown: -1, Home: -Infinity, End: Infinity };

  const tune = (box) => {
    const { promises, floors, curves, now } = JSON.parse(document.getElementById(box.dataset.curve).textContent);
    const rules = document.getElementById("rules");
    const fields = { promise: rules.elements.max_wrong_hit_rate, floor: rules.elements.similarity_floor };
    const mayChange = !rules.querySelector("fieldset").disabled;
    const chosenFloor = box.querySelector("[data-floor]");
    const [place, save] = [box.querySelector("[data-plot]"), box.querySelector("[data-save]")];
    const indexOf = (values, value) => values.findIndex((one) => Math.abs(one - value) < 1e-9);
    const last = promises.length - 1;
    const at = { promise: Math.max(0, indexOf(promises, now.promise)), floor: Math.max(0, indexOf(floors, now.floor)) };
    const ours = curves[at.floor][at.promise];
    const [ownPromise, ownFloor] = [indexOf(promises, now.promise), indexOf(floors, now.floor)];

    const line = document.createElement("div");
    line.className = "handle-line";
    const handle = document.createElement("div");
    handle.className = "handle";
    const said = {
      role: "slider", tabindex: "0", "aria-label": "Wrong hits, at most", "aria-orientation": "horizontal",
      "aria-valuemin": "0", "aria-valuemax": String(last),
    };
    for (const [name, value] of Object.entries(said)) handle.setAttribute(name, value);

    const say = (name, text) => { box.querySelector(`[data-say="${name}"]`).textContent = text; };
    const isOurs = () => at.promise === ownPromise && at.floor === ownFloor;
    const tell = () => {
      const point = curves[at.floor][at.promise];
      const [promise, floor] = [promises[at.promise], floors[at.floor]];
      say("promise", percent(promise));
      say("floor", `floor ${floor.toFixed(2)}${isOurs() ? ", as now" : ""}`);
      say("rate", percent(point.rate));
      say("rate-change", `${point.hits.toLocaleString()} by similarity, ${against(point.rate - ours.rate, (by) => `${(100 * by).toFixed(1)} points`)}`);
      say("wrong", point.wrong.toFixed(point.wrong < 10 ? 1 : 0));
      say("wrong-range", `${percent(point.share)} of these; likely ${point.low.toFixed(1)} to ${point.high.toFixed(1)}`);
      say("saved", usd(point.saved));
      say("saved-change", against(point.saved - ours.saved, usd));
      handle.setAttribute("aria-valuenow", String(at.promise));
      handle.setAttribute("aria-valuetext", `${percent(promise)} at floor ${floor.toFixed(2)}: hit rate ${percent(point.rate)}, ${point.wrong.toFixed(1)} expected wrong, ${usd(point.saved)} saved`);
      if (save) save.hidden = isOurs();
    };

    let plot = null;
    const stand = () => {
      if (!plot) return;
      const [left, top] = [plot.valToPos(at.promise, "x"), plot.valToPos(curves[at.floor][at.promise].rate, "y")];
      line.style.left = `${left}px`;
      handle.style.left = `${left}px`;
      handle.style.top = `${top}px`;
    };
    const write = () => {
      if (!mayChange) return;
      fields.promise.value = String(promises[at.promise]);
      fields.floor.value = String(floors[at.floor]);
    };
    const columns = () => {
      const curve = curves[at.floor];
      return [promises.map((_, index) => index), curve.map((one) => one.rate), curve.map((one) => one.share),
        curve.map((one, index) => (index === ownPromise && at.floor === ownFloor ? one.rate : null))];
    };
    const moveTo = (index) => {
      at.promise = Math.min(last, Math.max(0, index));
      tell(); stand(); write();
    };
    const chooseFloor = (index, writes) => {
      at.floor = index;
      chosenFloor.value = String(index);
      plot?.setData(columns());
      tell(); stand();
      if (writes) write();
    };

    const draw = () => {
      const font = `12px ${getComputedStyle(document.documentElement).getPropertyValue("--font").trim()}`;
      const axis = { stroke: colour("--ink-faint"), font, labelFont: font, labelSize: 20, ticks: { show: false }, grid: { stroke: colour("--line"), width: 1 } };
      const marks = (_, values) => values.map((value) => (value === null ? "" : percent(value)));
      // Over all floors, so that the curve moves when the floor does, and not the axis.
      const upTo = (name, least) => () => [0, Math.max(least, 1.15 * Math.max(...curves.flat().map((one) => one[name])))];
      const point = (tone, size) => ({ show: true, size, fill: colour(tone), stroke: colour(tone) });
      plot = new uPlot({
        width: place.clientWidth,
        height: HEIGHT,
        padding: [14, 0, 0, 0],
        cursor: { show: false },
        legend: { live: false },
        scales: { x: { time: false, range: () => [-0.4, last + 0.4] }, y: { range: upTo("rate", 0.01) }, wrong: { range: upTo("share", 0.001) } },
        axes: [
          { ...axis, grid: { show: false }, size: 34, label: "Wrong hits, at most: the promise", splits: () => promises.map((_, index) => index), values: (_, indices) => indices.map((index) => percent(promises[index])) },
          { ...axis, size: 64, label: "Hit rate", values: marks },
          { ...axis, side: 1, scale: "wrong", size: 64, label: "Expected wrong, of hits by similarity", grid: { show: false }, values: marks },
        ],
        series: [
          { label: "Promise" },
          { label: "Hit rate", stroke: colour("--semantic"), width: 2, points: point("--semantic", 6) },
          { label: "Expected wrong", scale: "wrong", stroke: colour("--bad"), width: 1.5, dash: [5, 4], points: point("--bad", 5) },
          { label: "Your rules", stroke: colour("--accent"), width: 0, paths: () => null, points: point("--accent", 12) },
        ],
      }, columns(), place);
      plot.over.append(line, handle);
      plot.over.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        plot.over.setPointerCapture(event.pointerId);
        handle.focus({ preventScroll: true });
        drag(event);
      });
      plot.over.addEventListener("pointermove", (event) => { if (plot.over.hasPointerCapture(event.pointerId)) drag(event); });
      stand();
    };
    const drag = (event) => moveTo(Math.round(plot.posToVal(event.clientX - plot.over.getBoundingClientRect().left, "x")));

    handle.addEventListener("keydown", (event) => {
      const step = STEPS[event.key];
      if (step === undefined) return;
      event.preventDefault();
      moveTo(at.promise + step);
    });
    floors.forEach((floor, index) => chosenFloor.add(new Option(floor.toFixed(2), String(index))));
    chosenFloor.addEventListener("change", () => chooseFloor(Number(chosenFloor.value), true));
    // What is typed into the form, or was taken from the table, moves the handle.
    const read = () => {
      const [promise, floor] = [indexOf(promises, Number(fields.promise.value)), indexOf(floors, Number(fields.floor.value))];
      if (promise < 0 || floor < 0) return;
      at.promise = promise;
      chooseFloor(floor, false);
    };
    for (const field of Object.values(fields)) field.addEventListener("change", read);

    box.hidden = false;
    draw();
    chooseFloor(at.floor, false);
    read();
    new ResizeObserver(() => { plot.setSize({ width: place.clientWidth, height: HEIGHT }); stand(); }).observe(place);
    // Another theme has other colours, and a canvas keeps those it was drawn with.
    const again = () => { plot.destroy(); draw(); };
    addEventListener("theme", again);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  };

  for (const box of document.querySelectorAll("[data-curve]")) tune(box);
})();
