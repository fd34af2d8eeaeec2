/* The charts of a rollout. Each is drawn from the table below it: one set of points, two ways to read it.
   The table is replaced while the page lives; "charts" on the document draws those anew whose table changed. */
"use strict";
(() => {
  const { find, all, isDark } = window.dashboard;
  const FONT = getComputedStyle(document.body).fontFamily;
  const isWide = () => innerWidth > 640;

  const colour = (name) => {
    const probe = document.createElement("i");
    probe.className = `sr c-${name}`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const fade = (rgb, alpha) => { const m = rgb.match(/[\d.]+/g); return `rgba(${m[0]},${m[1]},${m[2]},${alpha})`; };
  const at = (text) => Date.parse(text) / 1000;
  const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 19);

  /* ---- what the table and the figure say */
  const value = (cell, name) => (cell?.dataset[name] === undefined ? null : Number(cell.dataset[name]));
  const rowsOf = (figure) => all("tbody tr", figure).map((row) => {
    const [when, ...cells] = row.children;
    return { at: at(find("time", when).dateTime), texts: cells.map((cell) => cell.textContent), v: cells.map((cell) => value(cell, "v")), h: cells.map((cell) => value(cell, "h")) };
  });
  const listed = (text) => (text ? text.split("|") : []);
  const saidBy = (figure) => {
    const { canary, stable, low, high, up, down, marks, gaps } = figure.dataset;
    return {
      canary, stable, low: Number(low), high: Number(high), up, down,
      marks: listed(marks).map((each) => [at(each.slice(0, each.indexOf(" "))), each.slice(each.indexOf(" ") + 1)]),
      gaps: listed(gaps).map((each) => { const [from, to, ...words] = each.split(" "); return [at(from), at(to), words.join(" ")]; }),
    };
  };

  /* ---- drawing on the canvas, which counts in device pixels */
  const pixels = () => devicePixelRatio;
  const hatch = (context, stroke) => {
    const tile = document.createElement("canvas"), k = pixels();
    tile.width = tile.height = 6 * k;
    const g = tile.getContext("2d");
    g.strokeStyle = stroke; g.lineWidth = 1.75 * k; g.beginPath();
    for (const d of [-3, 3, 9]) { g.moveTo((d - 3) * k, 9 * k); g.lineTo((d + 6) * k, 0); }
    g.stroke();
    return context.createPattern(tile, "repeat");
  };
  const write = (u, text, x, y, ink, align = "left", weight = 600) => {
    const k = pixels(), c = u.ctx;
    c.save();
    c.font = `${weight} ${12 * k}px ${FONT}`; c.fillStyle = ink; c.textAlign = align; c.textBaseline = "middle";
    c.lineWidth = 4 * k; c.strokeStyle = colour("surface"); c.lineJoin = "round";
    c.strokeText(text, x, y); c.fillText(text, x, y);
    c.restore();
  };
  const stroke = (u, ink, width, dash, ...points) => {
    const k = pixels(), c = u.ctx;
    c.save();
    c.strokeStyle = ink; c.lineWidth = width * k; c.setLineDash(dash.map((d) => d * k)); c.beginPath();
    c.moveTo(...points[0]); c.lineTo(...points[1]); c.stroke();
    c.restore();
  };
  const level = (u, y, ink, dash = []) => {
    const p = u.valToPos(y, "y", true);
    stroke(u, ink, 1.5, dash, [u.bbox.left, p], [u.bbox.left + u.bbox.width, p]);
    return p;
  };
  /* Moments get a line each; words only where there is room for them, the newest first. */
  const moments = (u, marks) => {
    const k = pixels(), taken = [];
    u.ctx.save();
    u.ctx.font = `400 ${12 * k}px ${FONT}`;
    for (const [x, text] of [...marks].reverse()) {
      if (x < u.scales.x.min || x > u.scales.x.max) continue;
      const p = u.valToPos(x, "x", true), width = u.ctx.measureText(text).width + 10 * k;
      stroke(u, colour("ink-3"), 1, [2, 3], [p, u.bbox.top], [p, u.bbox.top + u.bbox.height]);
      const isRight = p + width > u.bbox.left + u.bbox.width, span = isRight ? [p - width, p] : [p, p + width];
      const row = [0, 1, 2].find((r) => !taken.some(([a, b, of]) => of === r && a < span[1] && span[0] < b));
      if (row === undefined || span[0] < u.bbox.left) continue;
      taken.push([...span, row]);
      write(u, text, p + (isRight ? -5 : 5) * k, u.bbox.top + (8 + 15 * row) * k, colour("ink-2"), isRight ? "right" : "left", 400);
    }
    u.ctx.restore();
  };
  /* Names at the ends of lines, kept apart. */
  const ends = (u, list) => {
    const k = pixels(), x = u.bbox.left + u.bbox.width + 6 * k, names = [];
    for (const [series, name, ink] of list) {
      const data = u.data[series];
      let j = data.length - 1;
      while (j >= 0 && data[j] == null) j--;
      if (j >= 0) names.push({ name, ink, y: u.valToPos(data[j], "y", true) });
    }
    names.sort((a, b) => a.y - b.y);
    for (let i = 1; i < names.length; i++) names[i].y = Math.max(names[i].y, names[i - 1].y + 15 * k);
    const over = names.length ? Math.max(0, names[names.length - 1].y - (u.bbox.top + u.bbox.height)) : 0;
    for (const each of names) write(u, each.name, x, each.y - over, each.ink);
  };
  /* No evidence looks like no evidence: hatched, and it says who was silent. */
  const silences = (u, gaps) => {
    for (const [from, to, text] of gaps) {
      const a = u.valToPos(from, "x", true), b = u.valToPos(to, "x", true);
      u.ctx.save(); u.ctx.globalAlpha = 0.55; u.ctx.fillStyle = hatch(u.ctx, colour("off")); u.ctx.fillRect(a, u.bbox.top, Math.max(b - a, 2), u.bbox.height); u.ctx.restore();
      if (b - a > 80 * pixels()) write(u, text, (a + b) / 2, u.bbox.top + u.bbox.height * 0.62, colour("ink-2"), "center", 400);
    }
  };

  const axis = (more) => ({ stroke: colour("ink-2"), font: `12px ${FONT}`, grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, ...more });
  const xAxis = (rows) => {
    const span = rows[rows.length - 1].at - rows[0].at, digits = span < 600 ? 8 : 5;
    return axis({ values: (_, v) => v.map((s) => clock(s).slice(0, digits)), incrs: [5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400], space: digits > 5 ? 90 : 70, size: 26, gap: 4 });
  };
  const x = (rows) => ({ time: false, range: (_, low, high) => (high > low ? [low, high] : [low - 5, high + 5]) });
  const plain = { points: { show: false } };

  const KINDS = {
    rate(figure, rows) {
      const { canary, stable, high, marks, gaps } = saidBy(figure);
      const [can, sta, wait, none] = [colour("canary"), colour("stable"), colour("wait"), { stroke: "transparent", ...plain }];
      const steps = [0.005, 0.01, 0.05, 0.1, 0.2];
      return {
        data: [rows.map((r) => r.at), ...[0, 1, 2, 3].map((i) => rows.map((r) => r.v[i])), rows.map((r) => r.h[3])],
        read: (r) => `${canary} ${r.texts[1]}${r.texts[3] ? ` (${r.texts[3]})` : ""}, ${stable} ${r.texts[0]}${r.v[2] === null ? "" : `, tolerated ${r.texts[2]}`}`,
        scales: { x: x(rows), y: { range: [0, high] } },
        axes: [xAxis(rows), axis({ values: (_, v) => v.map((p) => `${Math.round(1000 * p) / 10}\u202f%`), size: 52, incrs: steps, space: 30 })],
        series: [{}, { stroke: sta, width: 2, ...plain }, { stroke: can, width: 3.5, ...plain }, { stroke: wait, width: 2, dash: [5, 3], ...plain }, none, none],
        bands: [{ series: [5, 4], fill: fade(can, isDark() ? 0.18 : 0.1) }],
        draw: (u) => { silences(u, gaps); moments(u, marks); ends(u, [[2, canary, can], [1, stable, sta], [3, "tolerated", wait]]); },
      };
    },
    evidence(figure, rows) {
      const { canary, low, high, up, down, marks, gaps } = saidBy(figure), good = colour("good"), bad = colour("bad");
      const odds = (text) => Math.log10(Number(text.replace(/[\u202f\s]/g, "").split(":")[0]));
      const name = (v) => { const m = 10 ** Math.abs(v); return `${m >= 1e6 ? "1M" : m.toLocaleString("en").replace(/,/g, "\u202f")} : 1${isWide() ? (v > 0 ? " for" : v < 0 ? " against" : "") : ""}`; };
      return {
        data: [rows.map((r) => r.at), rows.map((r) => r.v[0]), rows.map((r) => -r.v[1])],
        read: (r) => `${r.texts[0]} for ${canary}, ${r.texts[1]} against it`,
        scales: { x: x(rows), y: { range: [low, high] } },
        axes: [xAxis(rows), axis({ values: (_, v) => v.map(name), splits: () => { const s = []; for (let i = Math.ceil(low); i <= high; i++) s.push(i); return s; }, size: isWide() ? 112 : 74 })],
        series: [{}, { stroke: good, width: 2, fill: fade(good, 0.28), fillTo: 0, ...plain }, { stroke: bad, width: 2, fill: (u) => hatch(u.ctx, bad), fillTo: 0, ...plain }],
        draw: (u) => {
          const k = pixels(), isRoomy = u.bbox.width > 430 * k, begin = u.bbox.left + 8 * k;
          silences(u, gaps);
          level(u, 0, colour("ink-2"));
          const above = level(u, odds(up), good, [6, 3]), below = level(u, -odds(down), bad, [6, 3]);
          moments(u, marks);
          write(u, isRoomy ? `${up}  advances, if it has baked long enough` : `${up}  advances`, begin, above - 9 * k, good);
          write(u, `${down}  rolls back at once`, begin, below + 10 * k, bad);
        },
      };
    },
    weights(figure, rows) {
      const { canary } = saidBy(figure), can = colour("canary"), last = rows[rows.length - 1];
      return {
        data: [rows.map((r) => r.at), rows.map((r) => r.v[0]), rows.map((r) => r.v[1])],
        read: (r) => `weight ${r.texts[0]}, ${r.v[1] === null ? "no calls seen" : `${r.texts[1]} of calls on ${canary}`}`,
        scales: { x: x(rows), y: { range: [0, 100] } },
        axes: [xAxis(rows), axis({ values: (_, v) => v.map(String), splits: () => [0, 10, 50, 100], size: 40 })],
        series: [{}, { stroke: can, width: 3, fill: fade(can, 0.12), ...plain, paths: uPlot.paths.stepped({ align: 1 }) }, { stroke: can, width: 2, dash: [2, 3], spanGaps: true, ...plain }],
        draw: (u) => ends(u, [[1, `${last.texts[0]} set`, can], [2, "calls", can]]),
      };
    },
  };

  const drawn = new Map();
  function draw(figure) {
    const box = find(".plot", figure), readout = find(".readout", figure), rows = rowsOf(figure);
    if (!rows.length) return;
    const { data, read, draw: more, ...look } = KINDS[figure.dataset.chart](figure, rows);
    const say = (i) => { readout.textContent = `${clock(rows[i].at)}: ${read(rows[i])}`; };
    drawn.get(figure.id)?.u.destroy();
    box.hidden = false;
    const size = () => ({ width: box.clientWidth, height: Math.max(box.clientHeight, 216) });
    const u = new uPlot({
      ...size(), ...look, padding: [10, figure.dataset.chart === "evidence" ? 32 : 72, 0, 0], legend: { show: false },
      cursor: { y: false, drag: { setScale: false }, sync: { key: "rollout" } },
      hooks: { draw: [more], setCursor: [(p) => say(Math.min(p.cursor.idx ?? rows.length - 1, rows.length - 1))] },
    }, data, box);
    say(rows.length - 1);
    drawn.set(figure.id, { u, size, points: pointsOf(figure), box });
  }
  const pointsOf = (figure) => JSON.stringify({ ...figure.dataset, rows: find("tbody", figure).textContent });
  function drawChanged() {
    for (const figure of all("figure[data-chart]")) {
      const old = drawn.get(figure.id);
      if (!old || old.points !== pointsOf(figure) || old.box !== find(".plot", figure)) draw(figure);
    }
  }
  function drawAll() { drawn.forEach((each) => { each.points = ""; }); drawChanged(); }

  if (!window.uPlot) { all("figure[data-chart] details").forEach((fold) => { fold.open = true; }); return; }
  drawAll();
  document.addEventListener("theme", drawAll);
  document.addEventListener("charts", drawChanged);
  addEventListener("resize", () => drawn.forEach(({ u, size }) => u.setSize(size())));

  /* ---- read a chart by keyboard */
  document.addEventListener("keydown", (event) => {
    const box = event.target.closest?.(".plot"), it = box && drawn.get(box.closest("figure").id);
    if (!it || !["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
    event.preventDefault();
    const { u } = it, last = u.data[0].length - 1, now = u.cursor.idx ?? last;
    const i = { Home: 0, End: last, ArrowLeft: Math.max(0, now - 1), ArrowRight: Math.min(last, now + 1) }[event.key];
    u.setCursor({ left: u.valToPos(u.data[0][i], "x"), top: 10 });
  });
})();
