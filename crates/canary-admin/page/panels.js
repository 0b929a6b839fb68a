// The smaller cards: open calls, mirror, and the process that drives.

import { Problem, canaryPath, json } from "./api.js";
import { closeButton, openDialog } from "./dialogs.js";
import { card, h, reconcile, setText, show } from "./dom.js";
import { capitalized, count, percent } from "./format.js";

/// Calls and streams that have not ended, with the means to end them once their channel gets no more.
export function createOpenCalls(model) {
  const rows = h("dl", { class: "facts" });
  const said = h("p", { class: "dim" });
  const drain = h("button", {
    type: "button",
    class: "button",
    text: "Ask to end…",
    onclick: () => openDrain(model, channel, false),
  });
  const close = h("button", {
    type: "button",
    class: "button caution",
    text: "Close…",
    onclick: () => openDrain(model, channel, true),
  });
  const buttons = h("div", { class: "actions" }, drain, close);
  let channel = null;
  return {
    element: card("open-calls", "Open calls", null, rows, said, buttons),
    update({ channels, weight_ppm, phase }) {
      reconcile(
        rows,
        ["stable", "canary"],
        (name) => name,
        (name) => createFact(`${name} ${channels[name].release}`),
      );
      for (const [index, name] of ["stable", "canary"].entries()) {
        setText(rows.children[index].querySelector("dd"), count(channels[name].open));
      }
      // Only then does the number fall to zero by itself.
      const unused = phase === "promoted" ? "stable" : weight_ppm === 0 ? "canary" : null;
      channel = unused !== null && channels[unused].open > 0 ? unused : null;
      show(said, channel !== null);
      show(buttons, channel !== null && model.session.operator.role === "operate");
      setText(
        said,
        channel &&
          `${capitalized(channel)} gets no new calls, and ${isOrAre(channels[channel].open)} still open.`,
      );
    },
  };
}

function isOrAre(number) {
  return `${count(number)} ${number === 1 ? "is" : "are"}`;
}

function createFact(name) {
  const element = h("div", {}, h("dt", { text: name }), h("dd"));
  return { element, update() {} };
}

function openDrain(model, channel, close) {
  const verb = close ? "Close" : "Ask to end";
  const { open } = model.view.channels[channel];
  const effect = close
    ? "They are broken off: callers see an incomplete response or a closed connection."
    : "Streams and sockets that listen for it end by themselves. The others continue.";
  const reason = h("input", { id: "reason", maxlength: 256, autocomplete: "off" });
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const dialog = openDialog({
    title: `${verb} ${count(open)} open ${open === 1 ? "call" : "calls"} of ${channel}?`,
    body: [
      h("p", { class: "effect", text: effect }),
      h("p", { class: "dim", text: "This concerns the process that answers this page." }),
      problem,
      h("label", { for: "reason", text: "Reason" }),
      reason,
    ],
    buttons: [
      closeButton(),
      h("button", { class: `button ${close ? "danger" : "main"}`, text: verb }),
    ],
    submit: async () => {
      try {
        await json(canaryPath(model.name, "drain"), {
          method: "POST",
          body: { channel, close, reason: reason.value.trim() },
        });
        dialog.close();
      } catch (error) {
        setText(problem, capitalized(error.message));
        show(problem, true);
      }
    },
  });
}

/// The copies of calls, and where the responses differ.
export function createMirror() {
  const facts = h("dl", { class: "facts" });
  const places = h("table", { "aria-label": "Differing places" });
  const body = h("tbody");
  places.append(
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col", text: "differing place" }),
        h("th", { scope: "col", text: "responses" }),
      ),
    ),
    body,
  );
  const element = card("mirror", "Mirror", null, facts, places);
  return {
    element,
    update({ mirror }) {
      if (!show(element, Boolean(mirror))) return;
      const different = mirror.compared ? ` (${percent(mirror.different / mirror.compared)})` : "";
      const numbers = [
        ["copied", count(mirror.copied)],
        ["compared", count(mirror.compared)],
        ["different", count(mirror.different) + different],
      ];
      reconcile(
        facts,
        numbers,
        ([name]) => name,
        ([name]) => {
          const fact = createFact(name);
          return {
            element: fact.element,
            update: ([, number]) => setText(fact.element.lastChild, number),
          };
        },
      );
      show(places, mirror.places.length > 0);
      reconcile(
        body,
        mirror.places,
        ([place]) => place,
        ([place]) => {
          const number = h("td");
          return {
            element: h("tr", {}, h("td", {}, h("code", { text: place })), number),
            update: ([, times]) => setText(number, count(times)),
          };
        },
      );
    },
  };
}

/// The process that drives, the replicas that it hears, and the state of the storage.
export function createProcess() {
  const driver = createFact("driver");
  const replicas = createFact("replicas");
  const storage = createFact("storage");
  return {
    element: card(
      "process",
      "Process",
      null,
      h("dl", { class: "facts" }, driver.element, replicas.element, storage.element),
    ),
    update({
      driver: { name, is_this: isThis },
      fleet,
      storage: { load_error: loadError, unsaved_for_s: unsavedFor, unsaved },
    }) {
      setText(
        driver.element.lastChild,
        `${name ?? (isThis ? "" : "none")}${isThis ? " this process" : ""}`.trim(),
      );
      setText(
        replicas.element.lastChild,
        fleet ? `${count(fleet.heard)} of ${count(fleet.of)} heard` : "no rollout in progress",
      );
      const isSaved = unsavedFor === null || unsavedFor === undefined;
      const pending = unsaved.length ? `, ${count(unsaved.length)} events wait` : "";
      setText(
        storage.element.lastChild,
        loadError ? "not loaded" : isSaved ? "all stored" : `failing${pending}`,
      );
    },
  };
}

/// Returns the error of a request as text for people.
export function errorText(error) {
  return error instanceof Problem ? capitalized(error.message) : `${capitalized(error.message)}.`;
}
