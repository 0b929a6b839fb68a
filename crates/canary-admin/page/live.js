// Says whether the page is live. Old data is gray, so that it cannot pass for the present.

import { setAttribute, setText, show } from "./dom.js";
import { time } from "./format.js";

/// Shows one of the states `connecting`, `live` and `lost` in the header.
export class LiveLabel {
  #label = document.getElementById("live");
  #retry = document.getElementById("retry");
  #state = { kind: "connecting" };
  #lastUpdate = null;
  #retryNow = () => {};

  constructor() {
    this.#retry.addEventListener("click", () => this.#retryNow());
    setInterval(() => this.#draw(), 500);
  }

  /// Begins with a new source of data. `retryNow` ends the wait for its next attempt.
  connecting(retryNow) {
    this.#lastUpdate = null;
    this.#retryNow = retryNow;
    this.#set({ kind: "connecting" });
  }

  /// The page shows the present.
  live() {
    this.#lastUpdate = new Date();
    this.#set({ kind: "live" });
  }

  /// The connection is lost.
  lost(reason, retryAt) {
    this.#set({ kind: "lost", reason, retryAt });
  }

  get isLive() {
    return this.#state.kind === "live";
  }

  #set(state) {
    this.#state = state;
    this.#draw();
  }

  #draw() {
    const { kind, reason, retryAt } = this.#state;
    setAttribute(document.body, "data-live", kind);
    show(this.#retry, kind === "lost");
    setAttribute(this.#label, "title", reason);
    setText(this.#label, this.#text(kind, retryAt));
  }

  #text(kind, retryAt) {
    switch (kind) {
      case "live":
        return "live";
      case "lost": {
        const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
        const since = this.#lastUpdate
          ? `not live since ${time(this.#lastUpdate, { seconds: true })}`
          : "not connected";
        return `${since}, ${seconds ? `next attempt in ${seconds}s` : "connecting"}`;
      }
      default:
        return "connecting";
    }
  }
}
