// The color theme: that of the system, or the operator's choice.

import { setText } from "./dom.js";

const KEY = "canary-theme";
const THEMES = ["system", "light", "dark"];

/// Makes the button switch between the themes.
export function startTheme() {
  const button = document.getElementById("theme");
  const set = (theme) => {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem(KEY, theme);
    setText(button, `Theme: ${theme}`);
  };
  const current = () => Math.max(0, THEMES.indexOf(localStorage.getItem(KEY)));
  const next = () => set(THEMES[(current() + 1) % THEMES.length]);
  button.addEventListener("click", next);
  set(THEMES[current()]);
  return next;
}
