// The variables of the stage and those that the canary overrides. Only operators see them.

import { canaryPath, json } from "./api.js";
import { openCommand } from "./commands.js";
import { card, h, reconcile, setAttribute, setText, show } from "./dom.js";

export function createVariables(model) {
  const table = h("table", { class: "variables", "aria-label": "Variables" });
  const body = h("tbody");
  table.append(
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        ["name", "stage", "canary"].map((text) => h("th", { scope: "col", text })),
      ),
    ),
    body,
  );
  const empty = h("p", { class: "dim" });
  const add = h("button", {
    type: "button",
    class: "quiet",
    text: "Set a variable…",
    onclick: () => openVariable(model, null, variables),
  });
  const element = card("variables", "Variables", null, empty, table, add);
  let variables = { stage: {}, overrides: {} };

  const draw = () => {
    const names = [
      ...new Set([...Object.keys(variables.stage), ...Object.keys(variables.overrides)]),
    ].sort();
    show(table, names.length > 0);
    show(empty, names.length === 0);
    setText(empty, "No variable is set.");
    reconcile(
      body,
      names,
      (name) => name,
      (name) => createRow(name, () => openVariable(model, name, variables)),
    );
    for (const row of body.children) drawRow(row, variables);
  };
  return {
    element,
    async refresh() {
      if (!show(element, model.session.operator.role === "operate")) return;
      try {
        variables = await json(canaryPath(model.name, "variables"));
        draw();
      } catch (error) {
        show(empty, true);
        setText(empty, error.message);
      }
    },
  };
}

function createRow(name, edit) {
  const button = h("button", {
    type: "button",
    class: "quiet name",
    text: name,
    title: name,
    "aria-label": `Change ${name}`,
    onclick: edit,
  });
  const element = h(
    "tr",
    { "data-name": name },
    h("th", { scope: "row" }, button),
    h("td"),
    h("td"),
  );
  return { element, update() {} };
}

function drawRow(row, { stage, overrides }) {
  const { name } = row.dataset;
  const isOverridden = Object.hasOwn(overrides, name);
  const [, stageCell, canaryCell] = row.children;
  setText(stageCell, Object.hasOwn(stage, name) ? shown(stage[name]) : "–");
  setText(canaryCell, isOverridden ? shown(overrides[name]) : "as stage");
  setAttribute(canaryCell, "class", isOverridden ? "overridden" : "dim");
  for (const cell of [stageCell, canaryCell]) setAttribute(cell, "title", cell.textContent);
}

/// Texts as they are, other values as JSON.
function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/// A text that is JSON stands for its value, so that `3` is a number and `"3"` a text.
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/// Returns a text that `parsed` reads as the same value.
function editable(value) {
  return typeof value === "string" && parsed(value) === value ? value : JSON.stringify(value);
}

function openVariable(model, name, { stage, overrides }) {
  const isOverridden = name !== null && Object.hasOwn(overrides, name);
  const nameInput = h("input", {
    id: "variable-name",
    autocomplete: "off",
    required: true,
    value: name ?? "",
    readonly: name !== null,
  });
  const scopes = [
    ["overrides", "the canary"],
    ["stage", "the stage"],
  ].map(([value, text]) =>
    h("option", {
      value,
      text: `${text}${value === "stage" ? ", which is also the canary's unless overridden" : " only"}`,
    }),
  );
  const scope = h("select", { id: "variable-scope" }, scopes);
  const value = h("input", {
    id: "variable-value",
    autofocus: name !== null,
    autocomplete: "off",
    placeholder: "a text, or JSON",
  });
  const remove = h("input", { type: "checkbox", id: "variable-remove" });
  const fill = () => {
    const group = scope.value === "stage" ? stage : overrides;
    const exists = name !== null && Object.hasOwn(group, name);
    value.value = exists ? editable(group[name]) : "";
    remove.disabled = !exists;
    remove.checked = false;
    value.disabled = false;
  };
  if (name !== null && !isOverridden) scope.value = "stage";
  fill();
  scope.addEventListener("change", fill);
  remove.addEventListener("change", () => {
    value.disabled = remove.checked;
  });
  const elements = [
    h("label", { for: "variable-name", text: "Name" }),
    nameInput,
    h("label", { for: "variable-scope", text: "For" }),
    scope,
    h("label", { for: "variable-value", text: "Value" }),
    value,
    h(
      "p",
      { class: "check" },
      remove,
      h("label", { for: "variable-remove", text: "Remove it there" }),
    ),
  ];
  openCommand(
    model,
    { command: "set_variables" },
    {
      question:
        name === null ? `Set a variable of ${model.name}?` : `Change ${name} of ${model.name}?`,
      effect: "Enter a value to see the effect.",
      fields: {
        elements,
        read() {
          const key = nameInput.value.trim();
          if (key === "" || (!remove.checked && value.value === "")) return null;
          return { [scope.value]: { [key]: remove.checked ? null : parsed(value.value) } };
        },
      },
    },
  );
}
