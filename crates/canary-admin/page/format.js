// Numbers and times in words, as the server's sentences have them.

import { h } from "./dom.js";

const grouped = new Intl.NumberFormat("en-US");
const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});
const clockWithSeconds = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

/// `1,234`.
export function count(number) {
  return grouped.format(number);
}

/// Rounds to significant digits: `1,234`, `31`, `3.1`, `0.031`.
export function digits(number, kept = 2) {
  if (!Number.isFinite(number)) return "–";
  if (Math.abs(number) < 1e-9) return "0";
  const decimals = Math.max(0, kept - 1 - Math.floor(Math.log10(Math.abs(number))));
  const power = 10 ** Math.min(decimals, 12);
  return new Intl.NumberFormat("en-US", { maximumFractionDigits: 12 }).format(
    Math.round(number * power) / power,
  );
}

/// `1.1%`, from a fraction. A dash if it is unknown.
export function percent(fraction, kept = 2) {
  return isKnown(fraction) ? `${digits(100 * fraction, kept)}%` : "–";
}

/// `10.3%`, from a fraction, with the digits of a weight. A dash if it is unknown.
export function share(fraction) {
  return percent(fraction, 3);
}

/// `430µs`, `182ms` or `1.8s`, from milliseconds.
export function milliseconds(ms) {
  if (!isKnown(ms)) return "–";
  if (ms >= 1000) return `${digits(ms / 1000)}s`;
  return ms < 1 && ms > 0 ? `${digits(ms * 1000)}µs` : `${digits(ms, ms >= 100 ? 3 : 2)}ms`;
}

/// `438 calls/s`.
export function rate(perSecond) {
  return `${digits(perSecond, perSecond >= 100 ? 3 : 2)} calls/s`;
}

const UNITS = [
  ["d", 86_400],
  ["h", 3600],
  ["m", 60],
];

/// `45s`, `5m`, `1h30m`, from seconds.
export function duration(seconds) {
  const whole = Math.round(seconds);
  const index = UNITS.findIndex(([, length]) => whole >= length);
  if (index < 0) return `${digits(seconds)}s`;
  const [unit, length] = UNITS[index];
  const [nextUnit, nextLength] = UNITS[index + 1] ?? ["s", 1];
  const rest = Math.floor((whole % length) / nextLength);
  return `${Math.floor(whole / length)}${unit}${rest ? `${rest}${nextUnit}` : ""}`;
}

export function isKnown(number) {
  return number !== null && number !== undefined && Number.isFinite(number);
}

/// `14:32`, or `Nov 24, 14:32` on another day than today.
export function time(date, { seconds = false } = {}) {
  const text = (seconds ? clockWithSeconds : clock).format(date);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? text : `${day.format(date)}, ${text}`;
}

/// A time as an element that shows local time, and the exact time in its title.
export function timeElement(iso, options) {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return h("span", { text: iso });
  return h("time", { datetime: iso, title: iso, text: time(date, options) });
}

const ISO_TIME = /(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/;

/// A sentence of the server as nodes. Its times become local.
export function sentence(text) {
  return (text ?? "").split(ISO_TIME).map((part, index) => (index % 2 ? timeElement(part) : part));
}

/// `the_name` as `the name`.
export function words(name) {
  return name.replaceAll("_", " ");
}

/// Makes the first letter upper case.
export function capitalized(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
