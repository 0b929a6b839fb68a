// The recent past of a canary, in columns. Only new points are requested.

import { canaryPath, json } from "./api.js";

/// The ranges of the charts: the time shown, and the time between two points.
export const RANGES = [
  { name: "5 min", seconds: 300, step: 1 },
  { name: "1 h", seconds: 3600, step: 10 },
  { name: "24 h", seconds: 86_400, step: 60 },
];

/// The columns of one range, by path, such as `calls_per_second.stable`.
export class Points {
  range;
  #name;
  #columns = new Map();
  #at = [];
  #isLoading = false;

  constructor(name, range) {
    this.#name = name;
    this.range = range;
  }

  /// The end of each point's time, in milliseconds since 1970.
  get at() {
    return this.#at;
  }

  column(path) {
    return this.#columns.get(path) ?? [];
  }

  /// The past of a finding, by the names of its columns.
  finding(monitor) {
    const names = ["ratio", "lower", "upper", "harm", "good"];
    return Object.fromEntries(
      names.map((name) => [name, this.column(`findings.${monitor}.${name}`)]),
    );
  }

  /// The indexes before which points are missing, such as after a restart of the server.
  breaks() {
    const gap = 2.5 * this.range.step * 1000;
    const breaks = new Set();
    for (let index = 1; index < this.#at.length; index += 1) {
      if (this.#at[index] - this.#at[index - 1] > gap) breaks.add(index);
    }
    return breaks;
  }

  /// Requests the points since the last one, if there can be any. Returns whether there were some.
  async refresh() {
    const last = this.#at.at(-1);
    if (this.#isLoading || (last && Date.now() - last < this.range.step * 500)) return false;
    this.#isLoading = true;
    try {
      const since = last ?? Date.now() - this.range.seconds * 1000;
      return this.#append(
        await json(canaryPath(this.#name, `points?step=${this.range.step}&since=${since}`)),
      );
    } finally {
      this.#isLoading = false;
    }
  }

  #append(points) {
    const last = this.#at.at(-1) ?? -Infinity;
    const first = points.at_ms.findIndex((at) => at > last);
    if (first < 0) return false;
    const old = this.#at.length;
    const fresh = flatten(points);
    const added = points.at_ms.slice(first);
    const at = [...this.#at, ...added];
    const expired = Math.max(
      0,
      at.findIndex((time) => time > at.at(-1) - this.range.seconds * 1000),
    );
    const unknown = (length) => Array(length).fill(null);
    const columns = new Map();
    for (const path of new Set([...this.#columns.keys(), ...fresh.keys()])) {
      const before = this.#columns.get(path) ?? unknown(old);
      const after = fresh.get(path)?.slice(first) ?? unknown(added.length);
      columns.set(path, [...before, ...after].slice(expired));
    }
    this.#columns = columns;
    this.#at = at.slice(expired);
    return true;
  }
}

/// Returns the columns of a response by path.
function flatten(points) {
  const columns = new Map([["weight_ppm", points.weight_ppm]]);
  const add = (path, group) => {
    for (const [name, values] of Object.entries(group)) columns.set(`${path}.${name}`, values);
  };
  for (const path of ["calls_per_second", "failure_rate", "p50_ms", "p99_ms"])
    add(path, points[path]);
  for (const [monitor, group] of Object.entries(points.findings)) add(`findings.${monitor}`, group);
  return columns;
}
