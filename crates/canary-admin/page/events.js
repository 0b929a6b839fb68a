// The history: what happened, by which actor, and why.

import { card, h, reconcile, setText, show } from "./dom.js";
import { capitalized, sentence, time, timeElement } from "./format.js";

const FIRST_SHOWN = 10;

/// Stored events, each once, oldest first.
export class EventList {
  #events = [];
  #ids = new Set();

  /// Adds an event, and returns whether it is new.
  add(event) {
    if (this.#ids.has(event.id)) return false;
    this.#ids.add(event.id);
    this.#events.push(event);
    return true;
  }

  /// The server no longer has the events between the last one and the next.
  addGap() {
    if (this.#events.length && !this.#events.at(-1).isGap) {
      this.#events.push({ isGap: true, id: `gap after ${this.#events.at(-1).id}` });
    }
  }

  /// The latest id; `null` if there is none, or if it is unknown after a gap.
  latestId() {
    const latest = this.#events.at(-1);
    return !latest || latest.isGap ? null : latest.id;
  }

  /// All entries, including gaps.
  get entries() {
    return this.#events;
  }

  /// The events between two times, for marks.
  between(fromMs, toMs) {
    return this.#events.filter((event) => {
      const at = event.isGap ? NaN : Date.parse(event.at);
      return at >= fromMs && at <= toMs;
    });
  }
}

/// Creates the card with the history.
export function createEventCard() {
  const list = h("ol", { class: "log" });
  const empty = h("p", { class: "dim", text: "Nothing has happened yet." });
  const more = h("button", {
    type: "button",
    class: "quiet",
    onclick: () => {
      showsAll = true;
      draw();
    },
  });
  let showsAll = false;
  let entries = [];

  function draw() {
    const newestFirst = entries.toReversed();
    const shown = showsAll ? newestFirst : newestFirst.slice(0, FIRST_SHOWN);
    reconcile(list, shown, (event) => event.id ?? `unsaved ${event.at} ${event.kind}`, createEntry);
    show(empty, entries.length === 0);
    show(more, shown.length < entries.length);
    setText(more, `Show all ${entries.length}`);
  }

  return {
    element: card("events", "Events", null, empty, list, more),
    update(events, unsaved) {
      entries = [...events.entries, ...unsaved.map((event) => ({ ...event, id: null }))];
      draw();
    },
  };
}

function createEntry(event) {
  const element = event.isGap
    ? h("li", { class: "gap", text: "The server no longer has the events in between." })
    : eventLine(event);
  return { element, update() {} };
}

/// Returns an event as an item of a list.
export function eventLine(event) {
  const { at, by, reason, evidence, weight, id } = event;
  const text = h(
    "div",
    {},
    h("span", { class: "said" }, actorInBold(event)),
    " ",
    h("span", { class: "weight", text: weight }),
  );
  if (!id) text.append(" ", h("span", { class: "tag harm", text: "not stored yet" }));
  if (reason) text.append(h("q", {}, sentence(reason)));
  if (evidence) {
    const details = h(
      "details",
      {},
      h("summary", { text: "Evidence" }),
      h("p", {}, sentence(evidence)),
    );
    text.append(details);
  }
  return h("li", { "data-id": id }, timeElement(at, { seconds: true }), text);
}

/// The sentence begins with the actor. Persons and programs are bold: the others are routine.
function actorInBold({ sentence: text, by }) {
  const isOperator = by.kind === "person" || by.kind === "program";
  if (!isOperator || !text.startsWith(by.name)) return sentence(capitalized(text));
  return [h("b", { text: by.name }), ...sentence(text.slice(by.name.length))];
}

/// Returns an event as one line of text.
export function eventText({ at, sentence: text, reason }) {
  return `${time(new Date(at), { seconds: true })} ${text}${reason ? `: ${reason}` : ""}`;
}
