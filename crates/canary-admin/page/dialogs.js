// Dialogs. The browser's `<dialog>` keeps the focus inside and returns it afterwards.

import { h } from "./dom.js";

/// Opens a modal dialog with a form. `submit` is called with the event of the pressed button.
export function openDialog({ title, body, buttons, submit, closed, wide }) {
  const heading = h("h2", { id: "dialog-title", text: title });
  const form = h(
    "form",
    { method: "dialog" },
    heading,
    body,
    h("div", { class: "buttons" }, buttons),
  );
  const dialog = h(
    "dialog",
    { "aria-labelledby": "dialog-title", class: wide ? "wide" : null },
    form,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (submit) submit(event);
    else dialog.close();
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    closed?.();
  });
  // A click on the backdrop, but not one that began inside, such as a selection of text.
  dialog.addEventListener("mousedown", (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/// Returns a button that closes its dialog.
export function closeButton(text = "Cancel") {
  return h("button", {
    type: "button",
    class: "button",
    text,
    autofocus: text === "Close",
    onclick: (event) => event.target.closest("dialog").close(),
  });
}

/// Returns whether a dialog is open.
export function isDialogOpen() {
  return document.querySelector("dialog[open]") !== null;
}

/// Asks for a token until the operator enters one. It stays in this tab.
export function askForToken(reason) {
  return new Promise((resolve, reject) => {
    const input = h("input", {
      id: "token",
      type: "password",
      autocomplete: "current-password",
      required: true,
    });
    const body = [
      h("p", { text: "This server asks for a token. It stays in this tab until you close it." }),
      reason ? h("p", { class: "harm", role: "alert", text: reason }) : null,
      h("label", { for: "token", text: "Token" }),
      input,
    ].filter(Boolean);
    let token = null;
    const dialog = openDialog({
      title: "Sign in",
      body,
      buttons: [closeButton(), h("button", { class: "button main", text: "Sign in" })],
      submit: () => {
        token = input.value.trim();
        dialog.close();
      },
      closed: () => (token ? resolve(token) : reject(new Error("not signed in"))),
    });
  });
}

/// Shows a table. `rows` are lists of texts.
export function showTable(title, columns, rows) {
  const cells = (tag, texts) =>
    h(
      "tr",
      {},
      texts.map((text) => h(tag, { text, scope: tag === "th" ? "col" : null })),
    );
  const table = h(
    "table",
    {},
    h("thead", {}, cells("th", columns)),
    h(
      "tbody",
      {},
      rows.map((row) => cells("td", row)),
    ),
  );
  const body = rows.length
    ? h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title }, table)
    : h("p", { text: "There is no data yet." });
  openDialog({
    title,
    body,
    buttons: [closeButton("Close")],
    wide: true,
  });
}
