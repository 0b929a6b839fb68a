// The first card: what is happening, what comes next, how much traffic is exposed, and where the plan is.

import { createActions, createButton } from "./actions.js";
import { h, reconcile, setAttribute, setText, setVariable, show } from "./dom.js";
import {
  capitalized,
  count,
  duration,
  milliseconds,
  percent,
  rate,
  sentence,
  share,
  time,
  words,
} from "./format.js";

export function createOverview(model) {
  const status = h("h1", { id: "status", "aria-live": "polite" });
  const waits = h("ul", { class: "waits", "aria-label": "Waiting for" });
  const outlook = h("p", { class: "outlook" });
  const alarms = h("ul", { class: "alarms", "aria-label": "Warnings" });
  const gates = h("ul", { class: "gates", "aria-label": "Gates" });
  const actions = createActions(model);
  const split = createSplit();
  const steps = createSteps();
  const said = h("div", { class: "said" }, status, waits);
  const top = h("div", { class: "top" }, said, actions.element);
  let shownOutlook;
  const element = h(
    "section",
    { class: "card hero", "aria-labelledby": "status" },
    top,
    outlook,
    alarms,
    gates,
    split.element,
    steps.element,
  );
  return {
    element,
    update() {
      const view = model.view;
      setText(status, view.status);
      setAttribute(element, "data-phase", view.phase);
      reconcile(
        waits,
        view.waiting_for,
        ({ kind, text }) => (kind === "probe" || kind === "gate" ? text : kind),
        createWait,
      );
      if (shownOutlook !== view.outlook?.sentence) {
        shownOutlook = view.outlook?.sentence;
        outlook.replaceChildren(...sentence(capitalized(shownOutlook ?? "")));
      }
      reconcile(alarms, alarmsOf(view), (text) => text.replace(/\d+/g, "#"), createAlarm);
      reconcile(
        gates,
        view.gates.filter(({ state }) => state === "waiting"),
        ({ name }) => name,
        (gate) => createGate(model, gate),
      );
      actions.update();
      split.update(view);
      steps.update(view);
    },
  };
}

function createWait() {
  const text = h("span");
  const bar = h("span", { class: "bar", "aria-hidden": "true" });
  return {
    element: h("li", {}, bar, text),
    update(wait) {
      if (text.dataset.text !== wait.text) {
        text.dataset.text = wait.text;
        text.replaceChildren(...sentence(wait.text));
      }
      if (show(bar, wait.progress !== null && wait.progress !== undefined))
        setVariable(bar, "--part", wait.progress);
    },
  };
}

function alarmsOf({ storage, judgment, driver, fleet }) {
  const unsaved = storage.unsaved_for_s;
  return [
    ...failuresOf(storage),
    storage.load_error && `The stored rollout is not loaded yet: ${storage.load_error}`,
    unsaved !== null &&
      unsaved !== undefined &&
      `Not stored for ${duration(unsaved)}: the weight does not rise, and what happens now can be lost with this process.`,
    judgment.warning,
    fleet?.silent.length > 0 && `${fleet.sentence}; silent: ${fleet.silent.join(", ")}.`,
    driver.name === null &&
      !driver.is_this &&
      "No process drives this rollout: nothing is judged, and the plan does not advance.",
  ].filter(Boolean);
}

/// The operations on the store that fail. A failed load has an alarm of its own.
function failuresOf({ failures = [], load_error: loadError }) {
  return failures
    .filter(({ operation }) => !(loadError && operation === "read"))
    .map(({ sentence: text, since }) => `${capitalized(text)} (since ${time(new Date(since))})`);
}

function createAlarm() {
  const element = h("li");
  return { element, update: (text) => setText(element, text) };
}

function createGate(model, { name }) {
  const text = h("p");
  const approve = createButton(
    model,
    { command: "approve", gate: name },
    { style: { approve: "main" } },
  );
  const reject = createButton(model, { command: "reject", gate: name });
  const row = h("div", { class: "actions" }, reject.element, approve.element);
  return {
    element: h("li", {}, text, row),
    update({ approvers, message }) {
      const asks = approvers ? `waits for the approval of ${approvers}` : "waits for its program";
      setText(text, `Gate “${name}” ${asks}${message ? `: ${message}` : ""}`);
      approve.update();
      reject.update();
    },
  };
}

/// The bar with the observed share, and a mark at the requested one.
function createSplit() {
  const observed = h("i", { class: "observed" });
  const requested = h("i", { class: "requested" });
  const bar = h("div", { class: "split-bar", role: "img" }, observed, requested);
  const channels = { stable: createChannel("stable"), canary: createChannel("canary") };
  const middle = h("p", { class: "shares" });
  return {
    element: h(
      "div",
      { class: "split" },
      bar,
      h("div", { class: "labels" }, channels.stable.element, middle, channels.canary.element),
    ),
    update(view) {
      const hasCalls = view.observed_share !== null && view.observed_share !== undefined;
      setVariable(bar, "--observed", hasCalls ? view.observed_share : 0);
      setVariable(bar, "--requested", view.weight_ppm / 1e6);
      setAttribute(bar, "data-empty", !hasCalls);
      const observedText = hasCalls
        ? `observed ${share(view.observed_share)}`
        : "no calls in the last 10s";
      setText(middle, `requested ${view.weight} · ${observedText}`);
      setAttribute(
        bar,
        "aria-label",
        `Share of the canary: requested ${view.weight}, ${observedText}`,
      );
      for (const name of ["stable", "canary"]) channels[name].update(view.channels[name]);
    },
  };
}

function createChannel(name) {
  const release = h("b");
  const numbers = h("small");
  const swatch = h("i", { class: "swatch", "aria-hidden": "true" });
  return {
    element: h(
      "p",
      { class: `channel ${name}` },
      h("span", { class: "release" }, swatch, `${name} `, release),
      numbers,
    ),
    update(channel) {
      setText(release, channel.release);
      setAttribute(release, "title", channel.release);
      const parts = [rate(channel.calls_per_second)];
      if (channel.failure_rate !== null) parts.push(`${percent(channel.failure_rate)} failed`);
      if (channel.p99_ms !== null) parts.push(`p99 ${milliseconds(channel.p99_ms)}`);
      setText(numbers, parts.join(" · "));
      setAttribute(
        numbers,
        "title",
        `${count(channel.calls)} calls ended here, ${count(channel.failed)} of them failed`,
      );
    },
  };
}

/// Above this number, only the current step shows its conditions.
const MANY = 9;

/// The plan as a row of steps, with the promotion at its end.
function createSteps() {
  const element = h("ol", { class: "steps", "aria-label": "Plan" });
  let current = null;
  return {
    element,
    update({ stages, phase, by_hand }) {
      if (!show(element, stages.length > 0 && !by_hand)) return;
      const end = { kind: "promotion", state: phase === "promoted" ? "done" : "ahead", gates: [] };
      const items = [...stages, end].map((stage, place) => ({ ...stage, place }));
      setAttribute(element, "data-many", items.length > MANY);
      reconcile(element, items, ({ place, kind }) => `${place} ${kind}`, createStep);
      const place = stages.findIndex(({ state }) => state === "current");
      if (place !== current) scrollIntoView(element, place);
      current = place;
    },
  };
}

function createStep() {
  const label = h("span", { class: "step-weight" });
  const detail = h("small");
  const hidden = h("span", { class: "hidden" });
  const element = h("li", {}, label, detail, hidden);
  return {
    element,
    update(stage) {
      setAttribute(element, "data-state", stage.state);
      setAttribute(element, "aria-current", stage.state === "current" ? "step" : null);
      setVariable(element, "--part", stage.progress ?? 0);
      setText(
        label,
        stage.kind === "promotion"
          ? "promoted"
          : stage.kind === "bake"
            ? `bake ${stage.weight}`
            : stage.weight,
      );
      setText(detail, detailsOf(stage));
      setAttribute(element, "title", detailsOf(stage));
      setText(
        hidden,
        `, ${words(stage.state)}${stage.progress ? ` to ${share(stage.progress)}` : ""}`,
      );
    },
  };
}

function detailsOf({ kind, min_duration_s, min_calls, gates }) {
  if (kind === "promotion") return "";
  const parts = [];
  if (min_duration_s) parts.push(duration(min_duration_s));
  if (min_calls) parts.push(`${count(min_calls)} ${min_calls === 1 ? "call" : "calls"}`);
  if (gates.length) parts.push(`${gates.length > 1 ? "gates" : "gate"} ${gates.join(", ")}`);
  return parts.join(" · ");
}

function scrollIntoView(row, place) {
  const step = row.children[Math.max(0, place)];
  // `scrollIntoView` would also scroll the page.
  if (step)
    row.scrollLeft = step.offsetLeft - row.offsetLeft - (row.clientWidth - step.offsetWidth) / 2;
}
