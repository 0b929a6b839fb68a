// The commands, and the dialog that previews one before it is sent.

import { NoResponse, Problem, canaryPath, json } from "./api.js";
import { closeButton, openDialog } from "./dialogs.js";
import { h, setAttribute, setText, show } from "./dom.js";
import { eventLine } from "./events.js";
import { capitalized, sentence } from "./format.js";

export const VERBS = {
  start: "Start",
  pause: "Pause",
  resume: "Resume",
  skip_step: "Skip step",
  set_weight: "Set weight",
  promote: "Promote",
  promote_fully: "Promote fully",
  roll_back: "Roll back",
  halt: "Halt",
  lift_halt: "Lift halt",
  restart: "Restart",
  approve: "Approve",
  reject: "Reject",
  set_variables: "Set variables",
};

/// What a dialog asks. `NAME` is the canary.
const QUESTIONS = {
  skip_step: "Skip the step of NAME?",
  set_weight: "Set the weight of NAME?",
  promote_fully: "Promote NAME fully?",
  lift_halt: "Lift the halt of NAME?",
};

/// Commands that must work even if the preview does not. They only lower the weight.
export const EMERGENCY = ["roll_back", "halt"];
const HARMFUL = [...EMERGENCY, "reject"];

/// Opens the dialog of a command. `command` is the JSON of the command, and `model` the shown canary.
///
/// `fields` are inputs for the command's data: `{ elements, read }`, where `read` returns the data, or
/// `null` while it is incomplete.
export function openCommand(model, command, { question, effect, fields, alternative } = {}) {
  return new CommandDialog(model, command, { question, effect, fields, alternative }).dialog;
}

class CommandDialog {
  #model;
  #command;
  #fields;
  #seen;
  #needsLatest;
  #isEmergency;
  #previews = 0;
  /// Whether a response was lost, so that the command may have been carried out.
  #isLost = false;
  #effect = h("p", { class: "effect" });
  #consequences = h("ul");
  #changes = h("div", { class: "problem", role: "alert", hidden: true });
  #problem = h("div", { class: "problem", role: "alert", hidden: true });
  #reason = h("input", {
    id: "reason",
    maxlength: 256,
    autocomplete: "off",
    placeholder: "Why? It goes into the history.",
  });
  #send;

  constructor(model, command, { question, effect, fields, alternative }) {
    const verb = VERBS[command.command];
    this.#model = model;
    this.#command = command;
    this.#fields = fields;
    this.#seen = model.latestId();
    this.#needsLatest = model.offer(command)?.needs_latest ?? false;
    this.#isEmergency = EMERGENCY.includes(command.command);
    const style = HARMFUL.includes(command.command) ? "button danger" : "button main";
    this.#send = h("button", { class: style, text: verb });
    this.dialog = openDialog({
      title:
        question ??
        (QUESTIONS[command.command] ?? `${verb} NAME?`).replace("NAME", () => model.name),
      body: [
        ...(fields?.elements ?? []),
        this.#effect,
        this.#consequences,
        this.#changes,
        this.#problem,
        h("label", { for: "reason", text: "Reason" }),
        this.#reason,
      ],
      buttons: [alternative ?? null, closeButton(), this.#send].filter(Boolean),
      submit: () => this.#submit(),
    });
    this.dialog.classList.add("command");
    this.#showEffect(effect ?? model.offer(command)?.effect ?? "", []);
    this.#allow(this.#isEmergency);
    if (!fields) this.#reason.focus();
    let timer;
    fields?.elements.forEach((element) =>
      element.addEventListener("input", () => {
        this.#allow(false);
        clearTimeout(timer);
        timer = setTimeout(() => this.#preview(), 250);
      }),
    );
    this.#preview();
  }

  /// Asks the server for the effect that the command would have now.
  async #preview() {
    const data = this.#data();
    if (!data) return;
    const number = ++this.#previews;
    setAttribute(this.#effect, "aria-busy", "true");
    try {
      const preview = await json(`${canaryPath(this.#model.name, "commands")}?dry=1`, {
        method: "POST",
        body: data,
      });
      if (number !== this.#previews) return;
      this.#needsLatest = preview.needs_latest;
      this.#showEffect(preview.effect, preview.consequences, preview.note);
      show(this.#problem, false);
      this.#allow(true);
    } catch (error) {
      if (number !== this.#previews) return;
      this.#previewFailed(error);
    } finally {
      setAttribute(this.#effect, "aria-busy", null);
    }
  }

  #previewFailed(error) {
    if (error instanceof Problem) {
      this.#showEffect("", []);
      this.#showProblem([capitalized(error.message)]);
      this.#allow(false);
    } else {
      const hint = this.#isEmergency ? " You can send the command nevertheless." : "";
      this.#showProblem([`There is no preview: ${error.message}.${hint}`]);
      this.#allow(this.#isEmergency);
    }
  }

  #showEffect(effect, consequences, note) {
    // The effect repeats its consequences, which become a list.
    const rest = consequences.reduce((text, part) => text.replace(part, ""), effect).trim();
    this.#effect.replaceChildren(
      ...sentence(note ? `This would change nothing: ${note}.` : rest || effect),
    );
    this.#consequences.replaceChildren(...consequences.map((text) => h("li", {}, sentence(text))));
    show(this.#consequences, consequences.length > 0);
  }

  #showProblem(nodes) {
    this.#problem.replaceChildren(...nodes);
    show(this.#problem, true);
  }

  #allow(isAllowed) {
    setAttribute(this.#send, "disabled", !isAllowed);
  }

  #data() {
    const data = this.#fields ? this.#fields.read() : {};
    return data && { ...this.#command, ...data };
  }

  async #submit() {
    const data = this.#data();
    if (!data || this.#send.disabled) return;
    this.#allow(false);
    const headers = this.#needsLatest && this.#seen ? { "if-match": `"${this.#seen}"` } : {};
    const body = { ...data, reason: this.#reason.value.trim() };
    try {
      this.#done(
        await json(canaryPath(this.#model.name, "commands"), { method: "POST", body, headers }),
      );
    } catch (error) {
      this.#failed(error);
    }
  }

  #done({ note, events, canary }) {
    this.#model.take(canary);
    const isUnsaved = events.some((event) => !event.id);
    if (!note && !isUnsaved) {
      this.dialog.close();
      return;
    }
    const text = note
      ? `Nothing changed: ${note}.`
      : "It is in force here, but not stored yet: the store does not answer.";
    this.#showEffect(text, []);
    this.#reason.disabled = true;
    show(this.#problem, false);
    this.#send.remove();
    setText(this.dialog.querySelector(".buttons button"), "Close");
  }

  #failed(error) {
    if (error instanceof Problem && error.status === 412) {
      if (this.#isLost && error.details.already_done) {
        this.dialog.close();
        return;
      }
      this.#conflict(error.details);
      return;
    }
    if (error instanceof NoResponse) {
      this.#isLost = true;
      this.#showProblem([
        `${capitalized(error.message)}. The command may have been carried out; the history will show it.`,
      ]);
      setText(this.#send, `${VERBS[this.#command.command]}: try again`);
    } else {
      this.#showProblem([capitalized(error.message)]);
    }
    this.#allow(true);
  }

  /// Shows what others did since the state that this page knew, and the effect on the new one.
  #conflict({ detail, events = [], latest }) {
    const { name } = this.#model;
    this.#changes.replaceChildren(
      h("p", {}, h("b", { text: `Not done: ${name} has changed since you opened this dialog.` })),
      events.length ? h("ul", { class: "log" }, events.map(eventLine)) : h("p", { text: detail }),
      h("p", { text: "The effect above is the one on the new state." }),
    );
    show(this.#changes, true);
    this.#seen = latest ?? this.#model.latestId();
    setText(this.#send, `${VERBS[this.#command.command]} anyway`);
    this.#preview();
  }
}
