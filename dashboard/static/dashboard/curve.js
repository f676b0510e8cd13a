// Draws hit rate against the expected share of wrong hits; the table beside holds the same.
(() => {
  "use strict";
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const colour = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
  const percent = (value) => (value === null || value === undefined ? "" : `${(100 * value).toFixed(value < 0.1 ? 2 : 1)} %`);

  const draw = (box) => {
    const { names, promises, data } = JSON.parse(document.getElementById(box.dataset.curve).textContent);
    const font = `12px ${getComputedStyle(document.documentElement).getPropertyValue("--font").trim()}`;
    const axis = { stroke: colour("--ink-faint"), font, labelFont: font, labelSize: 20, ticks: { show: false }, grid: { stroke: colour("--line"), width: 1 } };
    const marks = (_, values) => values.map(percent);
    // Of a single value uPlot would make a range of its own.
    const upTo = (values, least) => () => [0, Math.max(least, 1.15 * Math.max(...values))];
    const point = (tone, size) => ({ show: true, size, fill: colour(tone), stroke: colour(tone) });
    const plot = new uPlot({
      width: box.clientWidth,
      height: 240,
      padding: [12, 32, 0, 0],
      cursor: { y: false, drag: { x: false, y: false } },
      scales: { x: { time: false, range: upTo(data[0], 0.001) }, y: { range: upTo(data[1], 0.01) } },
      axes: [
        { ...axis, grid: { show: false }, size: 34, label: "Expected wrong, of the hits by similarity", values: marks },
        { ...axis, size: 64, label: names[0], values: marks },
      ],
      series: [
        { label: "Promised", value: (_, __, ___, at) => (at === null ? "" : percent(promises[at])) },
        { label: names[0], stroke: colour("--semantic"), width: 2, points: point("--semantic", 6), value: (_, value) => percent(value) },
        { label: names[1], stroke: colour("--accent"), width: 0, paths: () => null, points: point("--accent", 12), value: (_, value) => percent(value) },
      ],
    }, data, box);
    const size = new ResizeObserver(() => plot.setSize({ width: box.clientWidth, height: 240 }));
    size.observe(box);
    // Another theme has other colours, and a canvas keeps those it was drawn with.
    const ends = new AbortController();
    const again = () => { ends.abort(); size.disconnect(); plot.destroy(); draw(box); };
    addEventListener("theme", again, { signal: ends.signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again, { signal: ends.signal });
  };

  for (const box of document.querySelectorAll("[data-curve]")) draw(box);
})();
