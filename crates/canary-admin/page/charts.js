// The recent past of traffic: four charts on one time axis, with events as marks and a table behind each.

import { card, h, setAttribute, setText, show, svg } from "./dom.js";
import { digits, duration, isKnown, milliseconds, percent, share, time } from "./format.js";
import { eventText } from "./events.js";
import { linePath, nearest, roundUp, timeTicks } from "./plot.js";
import { RANGES } from "./points.js";
import { showTable } from "./dialogs.js";

const CHANNELS = [
  ["stable", "stable"],
  ["canary", "canary"],
];
const perChannel = (path) =>
  CHANNELS.map(([label, channel]) => ({
    label,
    style: channel,
    read: (points) => points.column(`${path}.${channel}`),
  }));
const perSecond = (value) => (isKnown(value) ? digits(value, value >= 100 ? 3 : 2) : "–");

const CHARTS = [
  {
    title: "Weight",
    height: 52,
    format: share,
    most: 1,
    lines: [
      { label: "observed", style: "observed", read: observedShares },
      {
        label: "requested",
        style: "canary",
        isStep: true,
        read: (points) => points.column("weight_ppm").map((ppm) => ppm / 1e6),
      },
    ],
  },
  {
    title: "Calls per second",
    height: 64,
    format: perSecond,
    lines: perChannel("calls_per_second"),
  },
  {
    title: "Failed calls",
    height: 64,
    format: (value) => percent(value),
    most: 1,
    lines: perChannel("failure_rate"),
  },
  { title: "99th percentile", height: 64, format: milliseconds, lines: perChannel("p99_ms") },
];

/// Space at the right for the labels of the axis, in pixels.
const MARGIN = 52;
/// Space above the highest line.
const TOP = 6;
const AXIS_HEIGHT = 16;

function observedShares(points) {
  const stable = points.column("calls_per_second.stable");
  return points.column("calls_per_second.canary").map((canary, index) => {
    const all = canary + stable[index];
    return all > 0 ? canary / all : null;
  });
}

/// Creates the card. `selectRange` is called with the index of the range that the operator selects.
export function createCharts(selectRange) {
  const charts = CHARTS.map(createChart);
  const axis = svg("svg", { class: "time-axis", height: AXIS_HEIGHT, "aria-hidden": "true" });
  const caption = h("p", { class: "caption dim" });
  const area = h(
    "div",
    {
      class: "charts",
      tabindex: 0,
      role: "group",
      "aria-label": "Charts. The arrow keys read values.",
    },
    charts.map(({ element }) => element),
    axis,
  );
  const empty = h("p", { class: "dim" });
  const ranges = createRanges(selectRange);
  const element = card("charts", "Traffic", null, ranges.element, empty, area, caption);
  let state = null;
  let cursor = null;

  const draw = () => {
    if (!state) return;
    const { points, events } = state;
    const width = area.clientWidth;
    const hasPoints = points.at.length > 0;
    show(area, hasPoints);
    show(empty, !hasPoints);
    show(caption, hasPoints);
    setText(empty, `No points yet: the server collects one every ${duration(points.range.step)}.`);
    if (!hasPoints) return;
    const to = points.at.at(-1);
    const from = to - points.range.seconds * 1000;
    const x = (at) => ((at - from) / (to - from)) * (Math.max(width, 200) - MARGIN);
    const marks = events.between(from, to);
    const scene = {
      points,
      marks,
      width,
      x,
      cursor: cursor === null ? null : nearest(points.at, cursor),
      breaks: points.breaks(),
    };
    for (const chart of charts) chart.draw(scene);
    drawAxis(axis, from, to, scene);
    drawCaption(caption, scene);
  };
  const move = (at) => {
    cursor = at;
    draw();
  };
  area.addEventListener("pointermove", (event) => {
    if (!state?.points.at.length) return;
    const part = (event.clientX - area.getBoundingClientRect().left) / (area.clientWidth - MARGIN);
    const to = state.points.at.at(-1);
    move(to - (1 - Math.min(1, Math.max(0, part))) * state.points.range.seconds * 1000);
  });
  area.addEventListener("pointerleave", () => move(null));
  area.addEventListener("blur", () => move(null));
  area.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20 }[event.key];
    if (event.target !== area || !state?.points.at.length || (!steps && event.key !== "Escape"))
      return;
    event.preventDefault();
    const { at } = state.points;
    const index = cursor === null ? at.length - 1 : nearest(at, cursor) + steps;
    move(event.key === "Escape" ? null : at[Math.min(at.length - 1, Math.max(0, index))]);
  });
  new ResizeObserver(draw).observe(area);
  for (const chart of charts) chart.openTable = () => state && openTable(chart, state);

  return {
    element,
    selectRange: ranges.select,
    update(points, events) {
      state = { points, events };
      draw();
    },
  };
}

function createRanges(selected) {
  const inputs = RANGES.map(({ name }, index) => {
    const id = `range-${index}`;
    const input = h("input", {
      type: "radio",
      name: "range",
      id,
      checked: index === 0,
      onchange: () => selected(index),
    });
    return [input, h("label", { for: id, text: name })];
  });
  return {
    element: h(
      "span",
      { class: "ranges", role: "radiogroup", "aria-label": "Time range" },
      inputs.flat(),
    ),
    select(index) {
      inputs[index][0].checked = true;
      selected(index);
    },
  };
}

function createChart(definition) {
  const { title, height, lines, format, most } = definition;
  const readout = h("span", { class: "readout" });
  const table = h("button", {
    type: "button",
    class: "quiet",
    text: "Table",
    "aria-label": `Table: ${title}`,
    onclick: () => chart.openTable(),
  });
  const picture = svg("svg", { role: "img", height });
  const chart = {
    ...definition,
    element: h(
      "div",
      { class: "chart" },
      h("h3", {}, h("span", { text: title }), readout, table),
      picture,
    ),
    openTable() {},
    draw({ points, marks, width, x, cursor, breaks }) {
      const series = lines.map((line) => ({ ...line, values: line.read(points) }));
      const largest = Math.max(0, ...series.flatMap(({ values }) => values.filter(isKnown)));
      const top = Math.min(roundUp(largest), most ?? Infinity);
      const y = (value) => height - 2 - (Math.min(value, top) / top) * (height - 2 - TOP);
      const right = width - MARGIN;
      const axis = [0, 0.5, 1].flatMap((part) => [
        svg("line", { class: "axis", x1: 0, x2: right, y1: y(part * top), y2: y(part * top) }),
        svg("text", { x: width, y: y(part * top) + 4, "text-anchor": "end" }, format(part * top)),
      ]);
      const paths = series.map(({ values, style, isStep }) =>
        svg("path", {
          class: `line ${style}`,
          d: linePath(values, (index) => x(points.at[index]), y, { breaks, isStep }),
        }),
      );
      const shown = cursor ?? points.at.length - 1;
      const line =
        cursor === null
          ? []
          : [
              svg("line", {
                class: "cursor",
                x1: x(points.at[cursor]),
                x2: x(points.at[cursor]),
                y1: 0,
                y2: height,
              }),
            ];
      picture.replaceChildren(
        ...axis,
        ...marks.map((event) => mark(event, x, height)),
        ...paths,
        ...line,
      );
      readout.replaceChildren(
        ...series.flatMap(({ label, style, values }) => [
          h("i", { class: `key ${style}` }),
          h("span", { text: `${label} ` }),
          h("b", { text: format(values[shown]) }),
        ]),
      );
      const latest = series
        .map(({ label, values }) => `${label} ${format(values.at(-1))}`)
        .join(", ");
      setAttribute(
        picture,
        "aria-label",
        `${title}, last ${points.range.name}: now ${latest}; at most ${format(largest)}`,
      );
      setAttribute(picture, "width", width);
    },
  };
  return chart;
}

function mark(event, x, height) {
  const at = x(Date.parse(event.at));
  const isOperator = event.by.kind === "person" || event.by.kind === "program";
  return svg(
    "line",
    { class: `mark ${isOperator ? "operator" : ""}`, x1: at, x2: at, y1: 0, y2: height },
    svg("title", {}, eventText(event)),
  );
}

function drawAxis(axis, from, to, { width, x }) {
  const ticks = timeTicks(from, to, Math.max(2, Math.floor((width - MARGIN) / 90)));
  const labels = ticks.map((at) =>
    svg(
      "text",
      { x: x(at), y: 12, "text-anchor": x(at) < 20 ? "start" : "middle" },
      time(new Date(at)).split(", ").pop(),
    ),
  );
  axis.replaceChildren(...labels);
  setAttribute(axis, "width", width);
}

/// Names the time and the events at the cursor.
function drawCaption(caption, { points, marks, width, x, cursor }) {
  if (cursor === null) {
    setText(
      caption,
      marks.length ? "Dotted lines are events. Point at them, or use the arrow keys." : "",
    );
    return;
  }
  const at = points.at[cursor];
  const near = Math.max(points.range.step * 1000, ((points.range.seconds * 1000) / width) * 5);
  const events = marks
    .filter((event) => Math.abs(Date.parse(event.at) - at) <= near)
    .map(eventText);
  setText(caption, [time(new Date(at), { seconds: true }), ...events].join(" · "));
}

function openTable({ title, lines, format }, { points, events }) {
  const series = lines.map((line) => line.read(points));
  const rows = points.at.map((at, index) => {
    const from = index ? points.at[index - 1] : at - points.range.step * 1000;
    const said = events
      .between(from + 1, at)
      .map((event) => event.sentence)
      .join("; ");
    return [
      time(new Date(at), { seconds: true }),
      ...series.map((values) => format(values[index])),
      said,
    ];
  });
  showTable(
    `${title}, last ${points.range.name}`,
    ["time", ...lines.map(({ label }) => label), "events"],
    rows.toReversed(),
  );
}
