use canary_api::{Offer, PreviewView};
use canary_controller::{Command, CommandName, RolloutHandle, Status, rollout::preview::Preview};
use canary_core::Weight;

use super::{command_name, phase};

/// Returns all commands with their effects. A gate that waits has an approval and a rejection.
pub(super) fn offers(rollout: &RolloutHandle, status: &Status) -> Vec<Offer> {
    let gates: Vec<&str> = status.rollout.waiting_gates().collect();
    let offer = |command: Command, gate: Option<&str>| offer(rollout, status, &command, gate);
    let mut offers = Vec::new();
    for name in CommandName::ALL {
        match name {
            CommandName::Approve => {
                let approve =
                    |gate: &&str| offer(Command::Approve { gate: (*gate).to_owned() }, Some(gate));
                offers.extend(gates.iter().map(approve));
            }
            CommandName::Reject => {
                let reject =
                    |gate: &&str| offer(Command::Reject { gate: (*gate).to_owned() }, Some(gate));
                offers.extend(gates.iter().map(reject));
            }
            name => offers.extend(without_data(name).map(|command| offer(command, None))),
        }
    }
    offers
}

/// Returns a command to learn whether it is allowed. Its data stands for all.
fn without_data(name: CommandName) -> Option<Command> {
    Some(match name {
        CommandName::Start => Command::Start,
        CommandName::Pause => Command::Pause,
        CommandName::Resume => Command::Resume,
        CommandName::SkipStep => Command::SkipStep,
        CommandName::SetWeight => Command::SetWeight { weight: Weight::ZERO },
        CommandName::Promote => Command::Promote,
        CommandName::PromoteFully => Command::PromoteFully,
        CommandName::RollBack => Command::RollBack,
        CommandName::Halt => Command::Halt,
        CommandName::LiftHalt => Command::LiftHalt,
        CommandName::Restart => Command::Restart,
        CommandName::SetVariables => Command::SetVariables(Default::default()),
        _ => return None,
    })
}

fn offer(rollout: &RolloutHandle, status: &Status, command: &Command, gate: Option<&str>) -> Offer {
    let has_data = matches!(command, Command::SetWeight { .. } | Command::SetVariables(_));
    let preview = rollout.preview(command);
    let refused = match &preview {
        Err(refusal) => Some(refusal.reason.to_string()),
        Ok(preview) if !has_data => preview.note.clone(),
        Ok(_) => None,
    };
    let effect = preview.as_ref().ok().filter(|_| !has_data).map(ToString::to_string);
    Offer {
        command: command_name(command.name()),
        effect,
        refused,
        gate: gate.map(str::to_owned),
        needs_latest: status.rollout.latest().is_some()
            && must_know(command, preview.ok().as_ref()),
    }
}

/// Returns whether a command needs the id of the latest event.
pub(crate) fn needs_latest(rollout: &RolloutHandle, command: &Command) -> bool {
    rollout.feed().borrow().is_some() && must_know(command, rollout.preview(command).ok().as_ref())
}

/// Returns whether acting on an outdated state would do harm: the command gives the canary more calls,
/// opens a gate, discards evidence, or overwrites variables.
fn must_know(command: &Command, preview: Option<&Preview>) -> bool {
    match command {
        Command::RollBack | Command::Halt => false,
        Command::Start
        | Command::Restart
        | Command::SkipStep
        | Command::Promote
        | Command::PromoteFully
        | Command::Approve { .. }
        | Command::SetVariables(_) => true,
        _ => preview.is_some_and(|it| it.to > it.from || it.discards_evidence),
    }
}

/// Returns the effect of a command.
pub(crate) fn preview(
    rollout: &RolloutHandle,
    command: &Command,
    preview: &Preview,
) -> PreviewView {
    PreviewView {
        effect: preview.to_string(),
        consequences: preview.consequences.clone(),
        note: preview.note.clone(),
        phase: phase(preview.phase),
        from: preview.from.to_string(),
        to: preview.to.to_string(),
        discards_evidence: preview.discards_evidence,
        drained_calls: preview.open_calls,
        needs_latest: rollout.feed().borrow().is_some() && must_know(command, Some(preview)),
    }
}
