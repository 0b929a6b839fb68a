// The title and the icon of the tab, so that it can be read in the background.

const SIGNS = {
  idle: ["○", "#7a828c"],
  starting: ["●", "#d98e04"],
  running: ["●", "#d98e04"],
  baking: ["●", "#d98e04"],
  paused: ["‖", "#3f6fb5"],
  ramping_down: ["↓", "#c93a3a"],
  promoted: ["✓", "#1f8a5b"],
  rolled_back: ["↩", "#c93a3a"],
  halted: ["■", "#c93a3a"],
};
const UNKNOWN = ["?", "#7a828c"];
const icon = document.querySelector("link[rel=icon]");

/// Returns the sign of a phase.
export function sign(phase) {
  return (SIGNS[phase] ?? UNKNOWN)[0];
}

/// Shows the state of a canary, such as "● 10% shop".
export function showState({ name, phase, weight }, isLive, isWaitingForAnswer) {
  const [symbol, color] = isLive ? (SIGNS[phase] ?? UNKNOWN) : UNKNOWN;
  const gate = isWaitingForAnswer ? "approve? " : "";
  set(`${symbol} ${gate}${weight} ${name}${isLive ? "" : " (not live)"}`, symbol, color);
}

/// Shows a title without a state.
export function showTitle(title) {
  set(title, "●", "#d98e04");
}

function set(title, symbol, color) {
  if (document.title !== title) document.title = title;
  const picture =
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="${color}"/>` +
    `<text x="16" y="23" font-size="22" font-family="sans-serif" text-anchor="middle" fill="#fff">${symbol}</text></svg>`;
  const url = `data:image/svg+xml,${encodeURIComponent(picture)}`;
  if (icon.href !== url) icon.href = url;
}
