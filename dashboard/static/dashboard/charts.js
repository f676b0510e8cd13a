// Draws what the page says in JSON: stacked bars of calls, or bars of dollars. The table beside holds the same.
(() => {
  "use strict";
  const tone = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  // A token may be light-dark(a, b): only a computed colour is one.
  const probe = document.createElement("span");
  const colour = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
  const TONES = { "Exact hits": "--exact", "Semantic hits": "--semantic", "Synthesized": "--synthesized", "Not from the cache": "--miss", "Saved": "--semantic" };
  const usd = (value) => `$${value.toFixed(value === 0 || Math.abs(value) >= 0.1 ? 2 : Math.max(4, 1 - Math.floor(Math.log10(Math.abs(value)))))}`;
  const moments = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const whole = (value) => value.toLocaleString();
  // As many places as tell one mark from the next.
  const usdMarks = (_, marks, __, ___, step) => marks.map((mark) => `$${mark.toFixed(Math.max(2, Math.ceil(-Math.log10(step))))}`);
  const WHOLE = [1, 2, 5].flatMap((of) => [...Array(13).keys()].map((power) => of * 10 ** power)).sort((a, b) => a - b);

  const stacked = (data) => {
    const [times, ...series] = data;
    const sums = times.map(() => 0);
    return [times, ...series.map((values) => values.map((value, at) => (sums[at] += value)))];
  };

  const read = (box) => JSON.parse(document.getElementById(box.dataset.chart).textContent);
  const drawn = new Map();

  const draw = (box) => {
    const { kind, names, ...first } = read(box);
    let { data, days } = first;
    const shown = kind === "usd" ? usd : whole;
    const font = `12px ${tone("--font")}`;
    const bars = uPlot.paths.bars({ size: [0.62, 48], radius: 0.12, gap: 0 });
    // The tallest first, so that each lower part is painted over it.
    const order = names.map((_, at) => at).reverse();
    const layers = () => { const top = stacked(data); return [top[0], ...order.map((at) => top[at + 1])]; };
    const axis = { stroke: colour("--ink-faint"), font, ticks: { show: false }, grid: { stroke: colour("--line"), width: 1 } };
    const plot = new uPlot({
      width: box.clientWidth,
      height: 220,
      padding: [12, 20, 0, 0],
      legend: { live: true },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: { x: { time: true, range: (_, low, high) => { const step = (data[0][1] ?? low + 3600) - data[0][0]; return [low - step / 2, high + step / 2]; } }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : kind === "usd" ? 1 : 4] } },
      axes: [{ ...axis, grid: { show: false } }, kind === "usd" ? { ...axis, size: 76, values: usdMarks } : { ...axis, size: 64, incrs: WHOLE, values: (_, marks) => marks.map(whole) }],
      series: [
        { label: "Point at a bar", value: (_, at) => (at === null ? "" : days[data[0].indexOf(at)] ?? moments.format(at * 1000)) },
        ...order.map((at) => ({
          label: names[at],
          fill: colour(TONES[names[at]]),
          stroke: colour(TONES[names[at]]),
          width: 0,
          paths: bars,
          points: { show: false },
          value: (_, __, ___, index) => (index === null ? "" : shown(data[at + 1][index])),
        })),
      ],
    }, layers(), box);
    drawn.set(box, () => { ({ data, days } = read(box)); plot.setData(layers()); });
    const size = new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height: 220 }));
    size.observe(box);
    // Another theme has other colours, and a canvas keeps those it was drawn with.
    const ends = new AbortController();
    const again = () => { ends.abort(); size.disconnect(); plot.destroy(); drawn.delete(box); if (box.isConnected) draw(box); };
    addEventListener("theme", again, { signal: ends.signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again, { signal: ends.signal });
  };

  document.body.append(probe);
  probe.hidden = true;
  // A part of the page that came later: its charts are drawn; new figures are laid into those that are there.
  const arrive = (part) => {
    for (const box of part.querySelectorAll("[data-chart]:empty")) draw(box);
    for (const [box, renew] of drawn) {
      if (!box.isConnected) drawn.delete(box);
      else if (part.querySelector(`#${box.dataset.chart}`) && !part.contains(box)) renew();
    }
  };
  arrive(document);
  document.addEventListener("htmx:load", (event) => arrive(event.detail.elt));
})();
