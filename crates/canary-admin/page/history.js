// The past of one finding: how much worse the canary was than stable, and the evidence for it.

import { closeButton, openDialog, showTable } from "./dialogs.js";
import { h, svg } from "./dom.js";
import { digits, isKnown, percent, time, words } from "./format.js";
import { bandPath, linePath, timeTicks } from "./plot.js";

const WIDTH = 680;
const HEIGHT = 130;
/// Space at the right for the labels of the axis.
const MARGIN = 60;
const TOP = 8;
/// Space below for the times.
const BOTTOM = 20;

/// Opens a dialog with charts of the range that the page shows.
export function openHistory({ monitor, worse_ratio: worse }, points) {
  const columns = points.finding(monitor);
  const title = `${words(monitor)}, last ${points.range.name}`;
  const charts = [
    h("h3", { text: "The canary’s rate as a multiple of stable’s, with its interval" }),
    ratioChart(title, columns, points, worse),
    h("h3", { text: "Evidence, as a part of what suffices" }),
    evidenceChart(title, columns, points),
    legend(),
  ];
  const table = h("button", {
    type: "button",
    class: "button aside",
    text: "Table",
    onclick: () => openTable(title, columns, points),
  });
  openDialog({
    title: `History of ${title}`,
    body: points.at.length ? charts : [h("p", { text: "There are no points yet." })],
    buttons: [table, closeButton("Close")],
    wide: true,
  });
}

function ratioChart(title, { ratio, lower, upper }, points, worse) {
  const most = Math.max(4, 2 * (worse ?? 1));
  const clamp = (value) => Math.min(most, Math.max(1 / most, value));
  const place = (value) => 0.5 + Math.log(clamp(value)) / Math.log(most) / 2;
  const { x, y, axes } = scene(points, place);
  const ends = {
    lower: lower.map((value) => value ?? 1 / most),
    upper: upper.map((value) => value ?? most),
  };
  // Without an estimate there is nothing to be certain of.
  for (const end of Object.values(ends))
    ratio.forEach((value, index) => {
      if (!isKnown(value)) end[index] = null;
    });
  const hasLimit = isKnown(worse);
  // The labels of two lines side by side would cover each other.
  const isNear = hasLimit && Math.abs(place(worse) - place(1)) < 0.13;
  const lines = [
    [1 / most, `1/${digits(most)}×`, "axis"],
    [1, isNear ? "" : "equal", "equal-line"],
    ...(hasLimit ? [[worse, `limit ${digits(worse)}×`, "limit-line"]] : []),
    [most, `${digits(most)}×`, "axis"],
  ];
  const now = isKnown(ratio.at(-1))
    ? `now ${digits(ratio.at(-1))} times stable's rate`
    : "no ratio now";
  return picture(`Ratio of ${title}: ${now}`, [
    ...axes,
    ...lines.flatMap(([value, label, style]) => level(y(value), label, style)),
    svg("path", { class: "band", d: bandPath(ends.lower, ends.upper, x, y) }),
    svg("path", { class: "line canary", d: linePath(ratio, x, y, { breaks: points.breaks() }) }),
  ]);
}

function evidenceChart(title, { harm, good }, points) {
  const { x, y, axes } = scene(points, (value) => Math.min(1, Math.max(0, value)));
  const breaks = points.breaks();
  return picture(
    `Evidence of ${title}: harm ${percent(harm.at(-1))}, good ${percent(good.at(-1))} of what suffices`,
    [
      ...axes,
      ...level(y(0), "none", "axis"),
      ...level(y(1), "suffices", "threshold"),
      svg("path", { class: "line harm-line", d: linePath(harm, x, y, { breaks }) }),
      svg("path", { class: "line good-line", d: linePath(good, x, y, { breaks }) }),
    ],
  );
}

/// Returns the scales of a chart, and its axis of time.
function scene(points, place) {
  const to = points.at.at(-1) ?? 0;
  const from = to - points.range.seconds * 1000;
  const across = (at) => ((at - from) / (to - from)) * (WIDTH - MARGIN);
  const bottom = HEIGHT - BOTTOM;
  const axes = timeTicks(from, to, 6).map((at) =>
    svg(
      "text",
      { x: across(at), y: HEIGHT - 4, "text-anchor": "middle" },
      time(new Date(at)).split(", ").pop(),
    ),
  );
  return {
    axes,
    x: (index) => across(points.at[index]),
    y: (value) => bottom - place(value) * (bottom - TOP),
  };
}

function level(height, label, style) {
  return [
    svg("line", { class: style, x1: 0, x2: WIDTH - MARGIN, y1: height, y2: height }),
    svg("text", { x: WIDTH, y: height + 4, "text-anchor": "end" }, label),
  ];
}

function picture(label, parts) {
  return svg(
    "svg",
    { class: "history", role: "img", "aria-label": label, viewBox: `0 0 ${WIDTH} ${HEIGHT}` },
    parts,
  );
}

function legend() {
  return h(
    "p",
    { class: "dim legend" },
    h("i", { class: "key good-key" }),
    "proof of good, solid ",
    h("i", { class: "key harm-key" }),
    "evidence of harm, dashed",
  );
}

function openTable(title, columns, points) {
  const names = ["ratio", "lower", "upper", "harm", "good"];
  const number = (value) => (isKnown(value) ? digits(value, 3) : "–");
  const rows = points.at.map((at, index) => [
    time(new Date(at), { seconds: true }),
    ...names.map((name) => number(columns[name][index])),
  ]);
  showTable(`History of ${title}`, ["time", ...names], rows.toReversed());
}
