// The buttons for commands. Each says its effect, or why it is refused, before it is pressed.

import { EMERGENCY, openCommand, VERBS } from "./commands.js";
import { closeButton, openDialog } from "./dialogs.js";
import { h, reconcile, setAttribute, setText } from "./dom.js";
import { capitalized, sentence } from "./format.js";

/// Creates the row of buttons below the sentence. A button never moves, and a command that is refused
/// keeps its place.
export function createActions(model) {
  const element = h("div", { class: "actions", role: "group", "aria-label": "Commands" });
  const more = h("button", {
    type: "button",
    class: "button",
    text: "More…",
    onclick: () => openAllCommands(model),
  });
  return {
    element,
    update() {
      const places = [
        playCommand(model.view),
        model.view.by_hand ? "set_weight" : "skip_step",
        "promote",
      ];
      const emergency = [model.view.phase === "halted" ? "lift_halt" : "halt", "roll_back"];
      const items = [...places, "more", ...emergency].map((name, place) => ({ name, place }));
      reconcile(
        element,
        items,
        ({ name }) => name,
        ({ name }) =>
          name === "more"
            ? { element: h("div", { class: "action" }, more), update() {} }
            : createButton(model, { command: name }),
      );
    },
  };
}

/// The command that starts, holds or continues the plan, whichever makes sense now.
function playCommand({ phase }) {
  if (phase === "paused") return "resume";
  return ["idle", "promoted", "rolled_back", "halted"].includes(phase) ? "start" : "pause";
}

/// Opens the dialog of a command, or says why it is refused.
export function press(model, command) {
  const refused = refusal(model, command);
  if (refused) {
    openDialog({
      title: `${VERBS[command.command]} is not possible now`,
      body: [h("p", {}, sentence(capitalized(refused)))],
      buttons: [closeButton("Close")],
    });
    return;
  }
  if (command.command === "set_weight") openCommand(model, command, { fields: weightField(model) });
  else if (command.command === "approve" || command.command === "reject") openGate(model, command);
  else openCommand(model, command);
}

/// Presses the button whose place depends on the phase.
export function pressPlay(model) {
  press(model, { command: playCommand(model.view) });
}

/// Returns the reason why a command cannot be given, or `null`.
export function refusal(model, command) {
  const { role, gates } = model.session.operator;
  const isAnswer = command.command === "approve" || command.command === "reject";
  if (role === "view" || (role === "approve" && !isAnswer)) {
    const needed = isAnswer ? "approve" : "operate";
    return `this needs the role ${needed}; yours is ${role}`;
  }
  if (isAnswer && gates && !gates.includes(command.gate))
    return `your role does not include gate "${command.gate}"`;
  // The page may be out of date, and these must not depend on that.
  if (EMERGENCY.includes(command.command)) return null;
  const offer = model.offer(command);
  return offer
    ? offer.refused
    : isAnswer
      ? `gate "${command.gate}" is not waiting for an answer`
      : null;
}

/// Creates a button with its effect as description.
export function createButton(model, command, { style } = {}) {
  const id = `effect-${command.command}-${command.gate ?? ""}`;
  const effect = h("span", { class: "tip", id, role: "tooltip" });
  const kinds = { roll_back: "danger", halt: "caution", ...style };
  const button = h("button", {
    type: "button",
    class: `button ${kinds[command.command] ?? ""}`,
    text: VERBS[command.command],
    "aria-describedby": id,
    "data-command": command.command,
    onclick: () => press(model, command),
  });
  return {
    element: h("div", { class: "action" }, button, effect),
    update() {
      const refused = refusal(model, command);
      // Not `disabled`: such a button could not be reached to learn why.
      setAttribute(button, "aria-disabled", refused ? "true" : null);
      setText(effect, describe(model, command, refused));
    },
  };
}

function describe(model, command, refused) {
  if (refused) return `Not possible now: ${refused}.`;
  const offer = model.offer(command);
  if (offer?.refused) return `Would change nothing now: ${offer.refused}.`;
  if (offer?.effect) return offer.effect;
  return command.command === "set_weight"
    ? "Sets a weight of your choice."
    : "Shows its effect first.";
}

/// A dialog with every command, its effect or the reason why it is refused.
function openAllCommands(model) {
  const commands = Object.keys(VERBS).filter(
    (name) => !["approve", "reject", "set_variables"].includes(name),
  );
  const rows = commands.map((name) => {
    const command = { command: name };
    const refused = refusal(model, command);
    const button = h("button", {
      type: "button",
      class: "button",
      text: VERBS[name],
      disabled: Boolean(refused),
      "aria-describedby": `all-${name}`,
      onclick: () => {
        dialog.close();
        press(model, command);
      },
    });
    return h(
      "li",
      { class: refused ? "refused" : null },
      button,
      h("p", { id: `all-${name}` }, sentence(describe(model, command, refused))),
    );
  });
  const dialog = openDialog({
    title: `Commands for ${model.name}`,
    body: [h("ul", { class: "commands" }, rows)],
    buttons: [closeButton("Close")],
    wide: true,
  });
}

function weightField(model) {
  const input = h("input", {
    id: "weight",
    inputmode: "decimal",
    autocomplete: "off",
    required: true,
    placeholder: "such as 12.5%",
  });
  const label = h("label", {
    for: "weight",
    text: `Weight, at most ${model.view.max_weight}; now ${model.view.weight}`,
  });
  return {
    elements: [label, input],
    read() {
      const text = input.value.trim();
      if (text === "") return null;
      return { weight: text.endsWith("%") ? text : `${text}%` };
    },
  };
}

/// Opens the dialog of a gate: one button opens it, the other rejects it.
export function openGate(model, command) {
  const gate = model.view.gates.find(({ name }) => name === command.gate);
  const isApproval = command.command === "approve";
  const other = { command: isApproval ? "reject" : "approve", gate: command.gate };
  const alternative = h("button", {
    type: "button",
    class: "button aside",
    text: `${VERBS[other.command]} instead`,
    onclick: () => {
      dialog.close();
      press(model, other);
    },
  });
  const dialog = openCommand(model, command, {
    question: `${VERBS[command.command]} gate “${command.gate}” of ${model.name}?`,
    alternative,
  });
  const facts = [gate?.approvers ? `For ${gate.approvers}.` : "", gate?.message ?? ""]
    .filter(Boolean)
    .join(" ");
  const context = [facts, model.view.judgment.sentence]
    .filter(Boolean)
    .map((text) => h("p", { class: "dim" }, sentence(capitalized(text))));
  dialog.querySelector("h2").after(...context);
}
