// What the judge thinks of the canary: one row per monitor.

import { card, h, reconcile, setAttribute, setText, setVariable, show, svg } from "./dom.js";
import { capitalized, count, digits, isKnown, milliseconds, percent, words } from "./format.js";
import { openHistory } from "./history.js";
import { linePath } from "./plot.js";

export function createFindings() {
  const tag = h("span", { class: "tag" });
  const said = h("p", { class: "dim judgment" });
  const sources = h("p", { class: "dim sources" });
  const rows = h("ul", { class: "findings" });
  const empty = h("p", { class: "dim", text: "There are no monitors." });
  return {
    element: card("judgment", "Findings", tag, said, empty, rows, sources),
    update({ judgment }, points) {
      showVerdict(tag, judgment.verdict);
      setText(said, judgment.sentence);
      setText(sources, capitalized(judgment.sources));
      show(empty, judgment.findings.length === 0);
      const items = judgment.findings.map((finding) => ({
        finding,
        points,
      }));
      reconcile(rows, items, ({ finding }) => finding.monitor, createFinding);
    },
  };
}

function showVerdict(tag, verdict) {
  setText(tag, verdict);
  setAttribute(tag, "data-verdict", verdict);
}

function createFinding() {
  const name = h("h3");
  const tag = h("span", { class: "tag" });
  const role = h("small");
  const values = createValues();
  const interval = createInterval();
  const harm = createMeter("harm", "harm", "evidence of harm");
  const good = createMeter("good", "proof of good", "proof of good");
  const past = createPast();
  const said = h("p", { class: "dim said" });
  let latest = null;
  const history = h("button", {
    type: "button",
    class: "quiet",
    text: "History",
    onclick: () => openHistory(latest.finding, latest.points),
  });
  const head = h("div", { class: "name" }, name, tag, role);
  const meters = h("div", { class: "meters" }, harm.element, good.element);
  return {
    element: h(
      "li",
      {},
      head,
      values.element,
      interval.element,
      meters,
      past.element,
      said,
      history,
    ),
    update(item) {
      latest = item;
      const { finding, points } = item;
      setAttribute(history, "aria-label", `History: ${words(finding.monitor)}`);
      setText(name, words(finding.monitor));
      setAttribute(name, "title", finding.monitor);
      showVerdict(tag, finding.verdict);
      setText(role, finding.decides ? "" : "only reports");
      setText(said, finding.sentence);
      values.update(finding);
      interval.update(finding);
      harm.update(finding.harm);
      good.update(finding.good);
      past.update(finding, points.finding(finding.monitor));
    },
  };
}

/// The canary's value above stable's.
function createValues() {
  const canary = h("b", { class: "canary-value" });
  const stable = h("small");
  const note = h("small");
  return {
    element: h("div", { class: "values" }, canary, stable, note),
    update({ rate, expected_rate, limit, trials, unit, slow_limit_ms }) {
      setText(canary, isKnown(rate.canary) ? percent(rate.canary) : "");
      const stableRate = isKnown(expected_rate) ? expected_rate : rate.stable;
      setText(
        stable,
        limit ? `limit ${limit}` : isKnown(stableRate) ? `stable ${percent(stableRate)}` : "",
      );
      const slow = isKnown(slow_limit_ms) ? `over ${milliseconds(slow_limit_ms)}, ` : "";
      setText(note, `${slow}${count(trials.canary)} ${trials.canary === 1 ? unit.slice(0, -1) : unit}`);
    },
  };
}

/// The ratio with its interval, between "equal" and the limit, on a logarithmic scale.
function createInterval() {
  const range = h("i", { class: "range" });
  const dot = h("i", { class: "dot" });
  const limit = h("span", { class: "limit" });
  const low = h("span", { class: "tick low" });
  const high = h("span", { class: "tick high" });
  const parts = [
    h("i", { class: "line" }),
    h("i", { class: "equal" }),
    range,
    dot,
    limit,
    low,
    h("span", { class: "tick middle", text: "equal" }),
    high,
  ];
  const element = h("div", { class: "interval", role: "img" }, parts);
  return {
    element,
    update({ monitor, ratio, worse_ratio, limit: absolute }) {
      const hasData = isKnown(ratio.estimate);
      const isRelative = !absolute && monitor !== "share";
      if (!show(element, isRelative)) return;
      const most = Math.max(4, 2 * (worse_ratio ?? 1));
      const place = (value) => Math.min(1, Math.max(0, 0.5 + Math.log(value) / Math.log(most) / 2));
      const upper = ratio.upper ?? Infinity;
      setAttribute(element, "data-empty", !hasData);
      setVariable(element, "--lower", place(ratio.lower));
      setVariable(element, "--upper", place(upper));
      setVariable(element, "--estimate", hasData ? place(ratio.estimate) : 0.5);
      setAttribute(range, "data-open", upper > most ? "above" : null);
      setAttribute(
        dot,
        "data-beyond",
        hasData && (ratio.estimate > most || ratio.estimate < 1 / most),
      );
      if (show(limit, isKnown(worse_ratio))) {
        setVariable(element, "--limit", place(worse_ratio));
        setAttribute(limit, "data-side", place(worse_ratio) > 0.78 ? "left" : null);
        setText(limit, worse_ratio > 1.02 ? `limit ${digits(worse_ratio)}×` : "limit");
      }
      setText(low, most === 4 ? "¼×" : `1/${digits(most)}×`);
      setText(high, `${digits(most)}×`);
      setAttribute(element, "aria-label", describeRatio(monitor, ratio, worse_ratio, hasData));
    },
  };
}

function describeRatio(monitor, { estimate, lower, upper }, worse, hasData) {
  const limit = isKnown(worse) ? `; the limit is ${digits(worse)} times` : "";
  if (!hasData) return `${words(monitor)}: no ratio yet${limit}`;
  const to = isKnown(upper) ? `and ${digits(upper)}` : "and any multiple";
  return `${words(monitor)}: ${digits(estimate)} times stable's rate, between ${digits(lower)} ${to}${limit}`;
}

/// Evidence on the scale of its threshold.
function createMeter(kind, label, name) {
  const odds = h("span", { class: "odds" });
  const bar = h("span", {
    class: "bar",
    role: "meter",
    "aria-label": name,
    "aria-valuemin": 0,
    "aria-valuemax": 1,
  });
  const element = h(
    "div",
    { class: `meter ${kind}` },
    h("span", { text: label, "aria-hidden": "true" }),
    odds,
    bar,
  );
  return {
    element,
    update(evidence) {
      if (!show(element, Boolean(evidence))) return;
      const text = `${shortOdds(evidence.odds)} of ${shortOdds(evidence.needed)}`;
      setVariable(bar, "--part", evidence.progress);
      setText(odds, text);
      setAttribute(odds, "title", "odds against chance, and the odds that suffice");
      setAttribute(bar, "aria-valuenow", digits(evidence.progress, 3));
      setAttribute(bar, "aria-valuetext", `odds of ${text} needed`);
    },
  };
}

function shortOdds(odds) {
  if (!isKnown(odds)) return "–";
  if (odds >= 1e6) return `10^${Math.floor(Math.log10(odds))}`;
  return odds < 0.01 ? "<0.01" : digits(odds);
}

const WIDTH = 110;
const HEIGHT = 40;

/// A small chart of the evidence on its way to the threshold.
function createPast() {
  const harm = svg("path", { class: "harm-line" });
  const good = svg("path", { class: "good-line" });
  const element = svg(
    "svg",
    { class: "past", role: "img", viewBox: `0 0 ${WIDTH} ${HEIGHT}` },
    svg("line", { class: "threshold", x1: 0, x2: WIDTH, y1: 3, y2: 3 }),
    svg("line", { class: "axis", x1: 0, x2: WIDTH, y1: HEIGHT - 2, y2: HEIGHT - 2 }),
    harm,
    good,
  );
  return {
    element,
    update({ monitor, harm: harmNow, good: goodNow }, columns) {
      const x = (index, length) => (length > 1 ? (index / (length - 1)) * WIDTH : WIDTH);
      const y = (value) => HEIGHT - 2 - Math.min(1, Math.max(0, value)) * (HEIGHT - 5);
      setAttribute(harm, "d", linePath(columns.harm, x, y));
      setAttribute(good, "d", linePath(columns.good, x, y));
      const progress = (evidence) => percent(evidence?.progress);
      const goodText = goodNow ? `, proof of good ${progress(goodNow)}` : "";
      setAttribute(
        element,
        "aria-label",
        `${words(monitor)}, on the way to the threshold: evidence of harm ${progress(harmNow)}${goodText}`,
      );
    },
  };
}
