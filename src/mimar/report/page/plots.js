"use strict";
// The plots. All data is read as JSON and reaches the page as text nodes or as plotly values, never as markup.
(() => {
  const study = JSON.parse(document.getElementById("study-data").textContent);
  const FRONT_LINES = 150;
  const FAINT_LINES = 300;
  const at = (id) => document.getElementById(id);
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  // Four significant digits; millions and more carry a suffix, as in the tables.
  const shorten = (value) => {
    const [factor, suffix] = [[1e12, "T"], [1e9, "G"], [1e6, "M"]].find(([f]) => Math.abs(value) >= f) || [1, ""];
    return (value / factor).toLocaleString("en", { maximumSignificantDigits: 4 }) + suffix;
  };
  const show = (value) => (value === null ? "–" : shorten(value));
  const present = (value) => value !== null && value !== undefined;
  const indices = study.ids.map((_, i) => i);
  const onFront = indices.slice(0, study.front);
  const dominated = indices.slice(study.front);
  const coarse = window.matchMedia("(pointer: coarse)").matches;
  let chosen = null;

  // Plotly reads a few tags in its texts, and formulas between dollar signs; entities keep names from being taken so.
  const plain = (words) => words.replace(/[&<>$]/g, (sign) => `&#${sign.charCodeAt(0)};`);
  const wrapped = (words, width) =>
    plain(words.replace(new RegExp(`(.{1,${width}})(\\s+|$)`, "g"), "$1\n").trim()).replace(/\n/g, "<br>");

  const hover = (i) =>
    [
      `<b>#${study.ids[i]}</b> by ${plain(study.origins[study.origin[i]])}`,
      wrapped(study.descriptions[i], 60),
      ...study.axes.filter((axis) => present(axis.values[i])).slice(0, 8)
        .map((axis) => `${plain(axis.title)}: ${show(axis.values[i])}`),
    ].join("<br>");

  function layout(extra) {
    const axis = { gridcolor: color("line"), zerolinecolor: color("line"), linecolor: color("line"), automargin: true };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
      font: { color: color("ink"), family: "system-ui, sans-serif", size: 13 },
      hoverlabel: { align: "left", bgcolor: color("card"), bordercolor: color("line"), font: { color: color("ink") } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: color("soft"), activecolor: color("accent") },
      margin: { l: 60, r: 16, t: 30, b: 50 }, dragmode: coarse ? false : "zoom",
      uirevision: "same",  // what the reader zoomed or hid stays so when a plot is drawn anew
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
      ...extra, xaxis: { ...axis, ...extra.xaxis }, yaxis: { ...axis, ...extra.yaxis },
    };
  }

  // The buttons are listed because plotly's own choice includes one that uploads the data to a service.
  const config = {
    responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: "",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  };

  function draw(id, traces, shape) {
    return Plotly.react(at(id), traces, layout(shape), config);
  }

  // Values that span more than a factor of 8 are read better on a logarithmic axis.
  const spans = (values) => Math.min(...values) > 0 && Math.max(...values) > 8 * Math.min(...values);

  // Plotly labels the steps between powers of ten by their first digit alone; whole numbers read better.
  function logTicks([low, high]) {
    const steps = high - low < 1.2 ? [1, 1.5, 2, 3, 5, 7] : high - low < 3 ? [1, 2, 5] : [1];
    const powers = Array.from({ length: Math.ceil(high) - Math.floor(low) + 1 }, (_, k) => Math.floor(low) + k);
    const values = powers.flatMap((power) => steps.map((step) => step * 10 ** power));
    return { tickvals: values, ticktext: values.map(show) };
  }

  function scaleOf(axis) {
    const values = [...axis.values, ...axis.familiar, ...axis.budgets.map((budget) => budget[1])].filter(present);
    if (!values.length) return { log: false, range: [0, 1] };
    const log = spans(values);
    const ends = [Math.min(...values), Math.max(...values)].map((v) => (log ? Math.log10(v) : v));
    const pad = 0.06 * (ends[1] - ends[0]) || Math.abs(ends[0]) * 0.1 || 1;
    const range = [ends[0] - pad, ends[1] + pad];
    return log ? { log, range, ticks: logTicks(range) } : { log, range };
  }

  function budgetShapes(axis, scale, letter) {
    const far = scale.range.map((v) => (scale.log ? 10 ** v : v));
    const other = letter === "x" ? "y" : "x";
    return axis.budgets.flatMap(([kind, limit]) => {
      const edge = kind === "max" ? Math.max(limit, far[1]) : Math.min(limit, far[0]);
      const place = { [`${letter}ref`]: letter, [`${other}ref`]: "paper", [`${other}0`]: 0, [`${other}1`]: 1 };
      const stroke = { color: color("bound"), width: 1.5, dash: "dash" };
      return [
        { type: "rect", ...place, [`${letter}0`]: limit, [`${letter}1`]: edge, fillcolor: color("bound"), opacity: 0.1,
          line: { width: 0 }, layer: "below" },
        { type: "line", ...place, [`${letter}0`]: limit, [`${letter}1`]: limit, line: stroke, layer: "below" },
      ];
    });
  }

  function points(name, members, x, y, marker) {
    return {
      name, type: "scatter", mode: "markers", marker, customdata: members, x: members.map((i) => x.values[i]),
      y: members.map((i) => y.values[i]), text: members.map(hover), hovertemplate: "%{text}<extra></extra>",
    };
  }

  const familiarOn = (x, y) =>
    study.familiar.map((_, i) => i).filter((i) => present(x.familiar[i]) && present(y.familiar[i]));

  function familiarPoints(x, y) {
    const there = familiarOn(x, y);
    return {
      name: "familiar", type: "scatter", mode: "markers", x: there.map((i) => x.familiar[i]),
      y: there.map((i) => y.familiar[i]), text: there.map((i) => plain(study.familiar[i])),
      marker: { symbol: "diamond", size: 11, color: color("familiar") }, hovertemplate: "%{text}<extra></extra>",
    };
  }

  // Below each, or above where another one lies close beneath, so that no name covers a neighbour.
  function familiarNames(x, y, across, up) {
    const bent = (value, { log }) => (log ? Math.log10(value) : value);
    const share = (value, { range: [low, high] }) => value / (high - low);
    const names = familiarOn(x, y).map((i) => ({ i, x: bent(x.familiar[i], across), y: bent(y.familiar[i], up) }));
    const isCrowded = (one) => names.some((other) => {
      const [aside, beneath] = [share(one.x - other.x, across), share(one.y - other.y, up)];
      return Math.abs(aside) < 0.15 && beneath < 0.1 && (beneath > 0 || (beneath === 0 && one.i < other.i));
    });
    return names.map((one) => ({
      text: plain(study.familiar[one.i]), x: one.x, y: one.y, showarrow: false, yshift: isCrowded(one) ? 17 : -17,
      font: { color: color("familiar"), size: 12 }, bgcolor: color("card"), opacity: 0.85, borderpad: 1,
    }));
  }

  function drawFront() {
    const [x, y] = ["x-axis", "y-axis"].map((id) => study.axes[Number(at(id).value)]);
    const [across, up] = [scaleOf(x), scaleOf(y)];
    const rim = { color: color("card"), width: 1 };
    const traces = [
      points("dominated", dominated, x, y, { size: 6, color: color("faint"), opacity: 0.45 }),
      points("Pareto front", onFront, x, y, { size: 9, color: color("front"), line: rim }),
      familiarPoints(x, y),
    ].filter((trace) => trace.x.length);
    if (chosen !== null) {
      const stroke = { width: 3, color: color("chosen") };
      const ring = { size: 17, symbol: "circle-open", color: color("chosen"), line: stroke };
      traces.push(points("selected", [chosen], x, y, ring));
    }
    const scaled = (axis, { log, range, ticks }) => ({
      title: { text: plain(axis.title) }, type: log ? "log" : "linear", range, ...ticks,
    });
    draw("front-plot", traces, {
      uirevision: `${x.title} ${y.title}`,
      annotations: familiarNames(x, y, across, up),
      shapes: [...budgetShapes(x, across, "x"), ...budgetShapes(y, up, "y")],
      xaxis: scaled(x, across),
      yaxis: scaled(y, up),
    });
  }

  function spread(items, count) {
    if (items.length <= count) return items;
    return Array.from({ length: count }, (_, k) => items[Math.floor((k * (items.length - 1)) / (count - 1))]);
  }

  function unitScale(axis) {
    const values = axis.values.filter(present);
    const log = spans(values);
    const bent = (v) => (log ? Math.log10(v) : v);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return { low, high, place: (v) => (bent(v) - bent(low)) / (bent(high) - bent(low)) };
  }

  function drawParallel() {
    const boxes = Array.from(document.querySelectorAll("#parallel-axes input:checked"));
    const axes = boxes.map((box) => study.axes[Number(box.value)]);
    const scales = axes.map(unitScale);
    const line = (i) => axes.map((axis, k) => (present(axis.values[i]) ? scales[k].place(axis.values[i]) : null));
    const across = axes.map((_, k) => k);
    const many = (name, members, stroke) => ({
      name, type: "scatter", mode: "lines", line: stroke, hoverinfo: "text",
      x: members.flatMap(() => [...across, null]), y: members.flatMap((i) => [...line(i), null]),
      text: members.flatMap((i) => [...across.map(() => hover(i)), null]),
      customdata: members.flatMap((i) => [...across.map(() => i), null]),
    });
    const faint = spread(dominated, FAINT_LINES);
    const bright = spread(onFront, FRONT_LINES);
    const traces = [
      { ...many("dominated", faint, { color: color("faint"), width: 1 }), opacity: 0.3 },
      { ...many("Pareto front", bright, { color: color("front"), width: 1.5 }), opacity: 0.75 },
    ].filter((trace) => trace.x.length);
    if (chosen !== null) traces.push(many("selected", [chosen], { color: color("chosen"), width: 4 }));
    const label = (k, y, anchor, value) => ({
      x: k, y, text: show(value), showarrow: false, yanchor: anchor, font: { size: 11, color: color("soft") },
      bgcolor: color("card"), borderpad: 1,
    });
    at("parallel-plot").style.minWidth = `${6.6 * axes.length}rem`;
    draw("parallel-plot", traces, {
      annotations: scales.flatMap(({ low, high }, k) => [label(k, 1.01, "bottom", high), label(k, -0.01, "top", low)]),
      margin: { l: 40, r: 40, t: 30, b: 60 },
      xaxis: {
        tickvals: across, ticktext: axes.map((axis) => wrapped(axis.title, 12)), range: [-0.4, axes.length - 0.6],
        tickangle: 0, fixedrange: true, gridcolor: color("soft"),
      },
      yaxis: { range: [-0.1, 1.1], visible: false, fixedrange: true },
    });
    at("parallel-note").textContent =
      `${bright.length} of ${onFront.length} front members and ${faint.length} of ${dominated.length} dominated ` +
      "architectures, each axis from its least to its largest value. Click a line to select it.";
  }

  // Where over the evaluations the chosen architecture came.
  const chosenLine = () => (chosen === null ? [] : [{
    type: "line", yref: "paper", y0: 0, y1: 1, x0: study.order[chosen], x1: study.order[chosen],
    line: { color: color("chosen"), width: 2, dash: "dot" },
  }]);

  function drawHypervolume() {
    const { evaluations, values } = study.hypervolume;
    const came = evaluations.map((number) => study.order.indexOf(number));  // -1 where that one is not drawn
    draw("hypervolume-plot", [{
      type: "scatter", mode: "lines", line: { shape: "hv", color: color("front"), width: 2 },
      x: [0, ...evaluations], y: [0, ...values], customdata: [null, ...came.map((i) => (i < 0 ? null : i))],
      text: ["", ...came.map((i) => (i < 0 ? "" : `<br>${hover(i)}`))],
      hovertemplate: "%{y:.4g} after %{x}%{text}<extra></extra>",
    }], {
      shapes: chosenLine(), xaxis: { title: { text: "evaluations" } },
      yaxis: { title: { text: "hypervolume" }, rangemode: "tozero" },
    });
  }

  function drawShares() {
    const { ends, of } = study.shares;
    const traces = of.map(([name, shares], k) => ({
      name: plain(name), type: "scatter", mode: "lines", stackgroup: "all", x: [0, ...ends], y: [shares[0], ...shares],
      line: { shape: "vh", width: 0 }, fillcolor: color(`op${k % 7}`), hoveron: "points",
      hovertemplate: `%{y:.0%} ${plain(name)}<extra></extra>`,
    }));
    draw("shares-plot", traces, {
      shapes: chosenLine(), showlegend: true,
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, traceorder: "normal" },
      xaxis: { title: { text: "evaluations" } },
      yaxis: { title: { text: "share" }, tickformat: ".0%", range: [0, 1] },
    });
  }

  function element(tag, words, parent) {
    const made = document.createElement(tag);
    made.textContent = words;
    parent.append(made);
    return made;
  }

  function describeChosen() {
    const panel = at("selected");
    panel.replaceChildren();
    element("h3", `#${study.ids[chosen]}: ${study.descriptions[chosen]}`, panel);
    const member = chosen < study.front;
    element("p", `Proposed by ${study.origins[study.origin[chosen]]}, evaluation ${study.order[chosen]}, ` +
      (member ? "on the front." : "dominated."), panel);
    const values = element("dl", "", panel);
    for (const axis of study.axes) {
      if (!present(axis.values[chosen])) continue;
      const pair = element("div", "", values);
      element("dt", axis.title, pair);
      element("dd", show(axis.values[chosen]), pair);
    }
    if (!member) return;
    element("code", study.commands[chosen], panel);
    const button = element("button", "Copy command", panel);
    button.type = "button";
    button.className = "copy";
    button.dataset.command = study.commands[chosen];
  }

  function choose(index) {
    chosen = index;
    describeChosen();
    drawAll();
    document.dispatchEvent(new CustomEvent("chosen", { detail: study.ids[index] }));
  }

  function drawAll() {
    drawFront();
    drawParallel();
    drawHypervolume();
    drawShares();
  }

  function offerAxes() {
    for (const [id, preferred] of [["x-axis", 1], ["y-axis", 0]]) {
      study.axes.forEach((axis, k) => {
        element("option", axis.title, at(id)).value = String(k);
      });
      at(id).value = String(Math.min(preferred, study.axes.length - 1));
      at(id).addEventListener("change", drawFront);
    }
    study.axes.forEach((axis, k) => {
      const values = axis.values.filter(present);
      if (Math.min(...values) === Math.max(...values) || !values.length) return;
      const label = element("label", "", at("parallel-axes"));
      const box = element("input", "", label);
      Object.assign(box, { type: "checkbox", value: String(k), checked: true });
      label.append(` ${axis.title}`);
      box.addEventListener("change", drawParallel);
    });
  }

  if (!study.ids.length) {
    for (const plot of document.querySelectorAll(".plot")) {
      plot.classList.remove("plot", "tall");
      plot.textContent = "Nothing to draw: no architecture was evaluated.";
    }
    return;
  }
  offerAxes();
  drawAll();
  for (const id of ["front-plot", "parallel-plot", "hypervolume-plot"]) {
    at(id).on("plotly_click", (event) => {
      const index = event.points[0].customdata;
      if (Number.isInteger(index)) choose(index);
    });
  }
  document.addEventListener("choose", (event) => {
    const index = study.ids.indexOf(event.detail);
    if (index >= 0) choose(index);
  });
  at("pick").addEventListener("change", (event) => {
    const index = study.ids.indexOf(Number(event.target.value));
    const isEmpty = event.target.value === "";
    event.target.setCustomValidity(isEmpty || index >= 0 ? "" : "This page draws no evaluated architecture of this number.");
    if (event.target.reportValidity() && !isEmpty) choose(index);
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
})();
