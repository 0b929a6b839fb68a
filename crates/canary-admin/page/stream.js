// The stream of a canary: server-sent events, read by `fetch`. An `EventSource` cannot send the token,
// and does not say why it failed.

import { NoResponse, Problem, canaryPath, json, open } from "./api.js";

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10_000;
/// The server sends a view in each interval of the controller, and a comment after two seconds of
/// silence. After this time without a byte, the connection is dead.
const SILENCE_MS = 6_000;
/// A page that is hidden for this long gives its connection back. Browsers open six per server over
/// HTTP/1.1, and forgotten tabs would take them all.
const HIDDEN_MS = 20_000;
/// A hidden page asks for the state this often, for its title.
const HIDDEN_REFRESH_MS = 5_000;

/// Follows a canary until it is stopped. `listener` has `event`, `view`, `reset`, `gone` and `state`.
///
/// A state is `{ retryAt, reason }`: the connection is lost, and the next attempt is at that time.
export class Stream {
  #name;
  #listener;
  #stopped = new AbortController();
  #wake = () => {};
  #hidden = new AbortController();
  #hiddenTimer;
  #lastId = null;
  #attempts = 0;

  constructor(name, listener) {
    this.#name = name;
    this.#listener = listener;
    const { signal } = this.#stopped;
    for (const type of ["online", "pageshow"]) {
      addEventListener(type, () => this.retryNow(), { signal });
    }
    document.addEventListener("visibilitychange", () => this.#visibilityChanged(), { signal });
    this.#run();
  }

  stop() {
    this.#stopped.abort();
    this.#wake();
  }

  /// Ends the wait for the next attempt.
  retryNow() {
    this.#wake();
  }

  #visibilityChanged() {
    clearTimeout(this.#hiddenTimer);
    if (document.hidden) {
      this.#hiddenTimer = setTimeout(() => this.#hidden.abort(), HIDDEN_MS);
    } else if (this.#hidden.signal.aborted) {
      this.#hidden = new AbortController();
      this.#wake();
    }
  }

  async #run() {
    while (!this.#stopped.signal.aborted) {
      let reason;
      try {
        if (this.#hidden.signal.aborted) {
          await this.#readHidden();
          continue;
        }
        const isGone = await this.#read();
        if (isGone) this.#listener.gone();
        reason = "the server ended the connection";
      } catch (error) {
        if (this.#stopped.signal.aborted) return;
        if (this.#hidden.signal.aborted && error.name === "AbortError") continue;
        // A server that has just started may not manage it yet.
        if (error instanceof Problem && error.status === 404) this.#listener.gone();
        reason = error.message;
      }
      await this.#waitForRetry(reason);
    }
  }

  async #waitForRetry(reason) {
    // Up to a quarter is random, so that many pages do not return to a restarted server at once.
    const delay =
      Math.min(FIRST_RETRY_MS * 2 ** this.#attempts, LAST_RETRY_MS) * (1 - Math.random() / 4);
    this.#attempts += 1;
    this.#listener.state({ retryAt: Date.now() + delay, reason });
    await this.#pause(delay);
  }

  /// Waits, unless it is woken earlier.
  #pause(ms) {
    return new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, ms);
    });
  }

  /// Reads the state alone. The events follow when the page is visible again.
  async #readHidden() {
    this.#listener.view(await json(canaryPath(this.#name), { signal: this.#stopped.signal }));
    await this.#pause(HIDDEN_REFRESH_MS);
  }

  /// Reads one connection to its end. Returns whether the canary is gone.
  async #read() {
    const silence = new AbortController();
    const signal = AbortSignal.any([this.#stopped.signal, this.#hidden.signal, silence.signal]);
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    const headers = { accept: "text/event-stream" };
    if (this.#lastId) headers["last-event-id"] = this.#lastId;
    try {
      const response = await open(canaryPath(this.#name, "events"), { headers, signal });
      const parser = new Parser();
      const text = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await text.read();
        if (done) return false;
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        for (const message of parser.push(value)) if (this.#handle(message)) return true;
      }
    } catch (error) {
      if (silence.signal.aborted) throw new NoResponse("the server is silent");
      throw error instanceof TypeError ? new NoResponse("the connection broke") : error;
    } finally {
      clearTimeout(timer);
    }
  }

  #handle({ type, data, id }) {
    this.#attempts = 0;
    if (id) this.#lastId = id;
    if (type === "reset") this.#lastId = null;
    switch (type) {
      case "event":
        this.#listener.event(JSON.parse(data));
        break;
      case "view":
        this.#listener.view(JSON.parse(data));
        break;
      case "reset":
        this.#listener.reset();
        break;
      case "gone":
        return true;
      // A newer server may send more.
      default:
        break;
    }
    return false;
  }
}

/// Parses server-sent events from pieces of text.
export class Parser {
  #rest = "";
  #message = { type: "message", data: [], id: null };

  /// Returns the messages that `text` completes.
  push(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    const complete = [];
    for (const line of lines) {
      if (line !== "") this.#field(line);
      else {
        const { type, data, id } = this.#message;
        if (data.length) complete.push({ type, data: data.join("\n"), id });
        this.#message = { type: "message", data: [], id: null };
      }
    }
    return complete;
  }

  #field(line) {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.#message.type = value;
    else if (name === "data") this.#message.data.push(value);
    else if (name === "id") this.#message.id = value;
  }
}
