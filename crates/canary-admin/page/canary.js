// The page of one canary: its data, and the cards that show it.

import { openGate, press, pressPlay, refusal } from "./actions.js";
import { createCharts } from "./charts.js";
import { closeButton, openDialog } from "./dialogs.js";
import { h, setText } from "./dom.js";
import { createEventCard, EventList } from "./events.js";
import { createFindings } from "./findings.js";
import { capitalized } from "./format.js";
import { createOverview } from "./overview.js";
import { createMirror, createOpenCalls, createProcess } from "./panels.js";
import { Points, RANGES } from "./points.js";
import { setShortcuts } from "./shortcuts.js";
import { Stream } from "./stream.js";
import { showState, showTitle } from "./tab.js";
import { createVariables } from "./variables.js";

/// The canary as the page shows it.
class Model {
  events = new EventList();
  view = null;
  onChange = () => {};

  constructor(name, session) {
    this.name = name;
    this.session = session;
  }

  /// Takes the present state.
  take(view) {
    this.view = view;
    this.onChange();
  }

  /// The latest event that the page shows. A command names it, so that the server notices a change that
  /// the operator has not seen.
  latestId() {
    return this.events.latestId() ?? this.view?.latest ?? null;
  }

  offer({ command, gate }) {
    return this.view?.offers.find(
      (offer) => offer.command === command && (!gate || offer.gate === gate),
    );
  }
}

/// Shows a canary until the returned function is called. `answer` is the gate of an approval link.
export function openCanary(main, name, { session, live, answer }) {
  const model = new Model(name, session);
  const parts = createParts(model, selectRange);
  let points = new Points(name, RANGES[0]);
  const notice = h(
    "p",
    { class: "card notice", role: "alert" },
    `This process does not manage ${name}. `,
    h("a", { href: "#/", text: "All canaries" }),
  );
  let isShown = false;
  let isClosed = false;
  let toAnswer = answer;

  function draw() {
    if (isClosed || !model.view) return;
    if (!isShown) {
      isShown = true;
      main.replaceChildren(parts.element);
      setShortcuts(shortcutsOf(model, parts.charts));
      parts.variables.refresh();
    }
    parts.draw(points);
    const waits = model.view.gates.some(({ state }) => state === "waiting");
    showState(model.view, live.isLive, waits);
    if (toAnswer) {
      answerGate(model, toAnswer);
      toAnswer = null;
    }
  }

  function selectRange(index) {
    points = new Points(name, RANGES[index]);
    refreshPoints();
  }

  async function refreshPoints() {
    try {
      if (await points.refresh()) draw();
    } catch {
      // The header says already that the page is not live.
    }
  }

  const stream = new Stream(name, {
    event(event) {
      if (!model.events.add(event)) return;
      if (event.kind === "variables_set" || event.kind === "rolled_back" || event.kind === "halted")
        parts.variables.refresh();
      draw();
    },
    view(view) {
      live.live();
      notice.remove();
      model.take(view);
      refreshPoints();
    },
    reset: () => model.events.addGap(),
    // It can return: a process that restarts loses its canaries for a moment.
    gone() {
      if (notice.isConnected) return;
      if (isShown) parts.element.before(notice);
      else main.replaceChildren(notice);
    },
    state({ retryAt, reason }) {
      live.lost(reason, retryAt);
      draw();
    },
  });
  model.onChange = draw;
  live.connecting(() => stream.retryNow());
  showTitle(name);
  return () => {
    isClosed = true;
    stream.stop();
    setShortcuts([]);
  };
}

function createParts(model, selectRange) {
  const overview = createOverview(model);
  const findings = createFindings();
  const charts = createCharts(selectRange);
  const events = createEventCard();
  const openCalls = createOpenCalls(model);
  const variables = createVariables(model);
  const mirror = createMirror();
  const process = createProcess();
  const left = h("div", { class: "column" }, findings.element, charts.element);
  const cards = [events, openCalls, variables, mirror, process];
  const right = h(
    "div",
    { class: "column side" },
    cards.map(({ element }) => element),
  );
  return {
    element: h("div", { class: "dashboard" }, overview.element, left, right),
    charts,
    variables,
    draw(points) {
      overview.update();
      findings.update(model.view, points);
      charts.update(points, model.events);
      events.update(model.events, model.view.storage.unsaved);
      openCalls.update(model.view);
      mirror.update(model.view);
      process.update(model.view);
    },
  };
}

function shortcutsOf(model, charts) {
  const command = (name) => () => press(model, { command: name });
  return [
    ["r", "Roll back", command("roll_back")],
    ["h", "Halt", command("halt")],
    ["p", "Start, pause or resume", () => pressPlay(model)],
    ["s", "Skip the step", command("skip_step")],
    ["m", "Promote", command("promote")],
    ["w", "Set the weight", command("set_weight")],
    ...RANGES.map(({ name }, index) => [
      String(index + 1),
      `Charts of the last ${name}`,
      () => charts.selectRange(index),
    ]),
  ];
}

/// Opens the dialog of a gate, for a link in a notice.
function answerGate(model, gate) {
  const command = { command: "approve", gate };
  const isWaiting = model.view.gates.some(
    ({ name, state }) => name === gate && state === "waiting",
  );
  if (isWaiting && !refusal(model, command)) {
    openGate(model, command);
    return;
  }
  const body = h("p");
  setText(
    body,
    isWaiting
      ? capitalized(`${refusal(model, command)}.`)
      : `It may have been answered already; the events say by which operator. Now: ${model.view.summary}.`,
  );
  openDialog({
    title: isWaiting
      ? `You cannot answer gate “${gate}”`
      : `Gate “${gate}” is not waiting for an answer`,
    body: [body],
    buttons: [closeButton("Close")],
  });
}
