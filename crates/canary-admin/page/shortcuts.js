// Keyboard shortcuts. They open dialogs and move the view, but never carry out a command.

import { closeButton, isDialogOpen, openDialog } from "./dialogs.js";
import { h } from "./dom.js";

const OFF = "canary-shortcuts-off";

/// The shortcuts of the page that is shown: key, meaning, function.
let shortcuts = [];

export function setShortcuts(list) {
  shortcuts = list;
}

export function startShortcuts(always) {
  const all = () => [...shortcuts, ...always, ["?", "Show this list", showShortcuts]];
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isDialogOpen()) return;
    if (event.target.closest("input, textarea, select")) return;
    const shortcut = all().find(([key]) => key === event.key);
    if (!shortcut || (localStorage.getItem(OFF) && event.key !== "?")) return;
    event.preventDefault();
    shortcut[2]();
  });
  document.getElementById("help").addEventListener("click", showShortcuts);

  function showShortcuts() {
    const list = all().flatMap(([key, meaning]) => [
      h("dt", {}, h("kbd", { text: key })),
      h("dd", { text: meaning }),
    ]);
    const isOn = h("input", {
      type: "checkbox",
      id: "shortcuts-on",
      checked: !localStorage.getItem(OFF),
      onchange: () =>
        isOn.checked ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, "1"),
    });
    const body = [
      h("dl", { class: "keys" }, list),
      h(
        "p",
        { class: "check" },
        isOn,
        h("label", { for: "shortcuts-on", text: "Shortcuts are on" }),
      ),
    ];
    openDialog({ title: "Keyboard shortcuts", body, buttons: [closeButton("Close")] });
  }
}
