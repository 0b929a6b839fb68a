// Geometry of charts: paths, scales and ticks. No element is created here.

import { isKnown } from "./format.js";

/// Returns the path of a line. Unknown values interrupt it, and a value without neighbors is a dot.
/// `breaks` has the indexes before which time is missing.
export function linePath(values, x, y, { breaks, isStep } = {}) {
  let path = "";
  let isDrawing = false;
  values.forEach((value, index) => {
    if (!isKnown(value)) {
      isDrawing = false;
      return;
    }
    const place = x(index, values.length).toFixed(1);
    const height = y(value).toFixed(1);
    const continues = isDrawing && !breaks?.has(index);
    if (!continues) path += `M${place} ${height}h.01`;
    else path += isStep ? `H${place}V${height}` : `L${place} ${height}`;
    isDrawing = true;
  });
  return path;
}

/// Returns the path around the area between two lines. Unknown values interrupt it.
export function bandPath(lower, upper, x, y) {
  let path = "";
  let start = null;
  const close = (end) => {
    const indexes = Array.from({ length: end - start }, (_, index) => start + index);
    const corners = [
      ...indexes.map((index) => [x(index), y(upper[index])]),
      ...indexes.toReversed().map((index) => [x(index), y(lower[index])]),
    ];
    path += `M${corners.map(([left, top]) => `${left.toFixed(1)} ${top.toFixed(1)}`).join("L")}Z`;
    start = null;
  };
  lower.forEach((value, index) => {
    const isInside = isKnown(value) && isKnown(upper[index]);
    if (isInside && start === null) start = index;
    if (!isInside && start !== null) close(index);
  });
  if (start !== null) close(lower.length);
  return path;
}

/// Returns a round number that is not below `value`, as the end of an axis.
export function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10]
    .map((factor) => factor * power)
    .find((end) => end >= value * 0.9999);
}

const MINUTE_MS = 60_000;
const TICK_MINUTES = [1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360];

/// Returns times for an axis from `from` to `to`: at most `most`, at round local times.
export function timeTicks(from, to, most) {
  const minutes =
    TICK_MINUTES.find((candidate) => (to - from) / (candidate * MINUTE_MS) <= most) ?? 720;
  const step = minutes * MINUTE_MS;
  const zone = new Date(to).getTimezoneOffset() * MINUTE_MS;
  const ticks = [];
  for (let at = Math.ceil((from - zone) / step) * step + zone; at <= to; at += step) ticks.push(at);
  return ticks;
}

/// Returns the index of the value that is nearest to `wanted` in a rising list.
export function nearest(values, wanted) {
  let low = 0;
  let high = values.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low > 0 && wanted - values[low - 1] < values[low] - wanted ? low - 1 : low;
}
