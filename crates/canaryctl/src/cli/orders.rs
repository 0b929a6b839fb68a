use clap::Args;

use canary_api::{Command, EventId};

use super::Verb;

/// The canary of a verb.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Target {
    /// The name of the canary
    #[arg(value_name = "CANARY")]
    pub(crate) canary: Option<String>,
}

/// How to give a command.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct How {
    /// The reason, for the history and the people who get a notice
    #[arg(short = 'm', long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    pub(crate) reason: String,

    /// Show the effect, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Refuse the command if another event than this one is the latest
    #[arg(long, value_name = "EVENT")]
    pub(crate) if_latest: Option<String>,
}

impl How {
    /// Returns the event that has to be the latest one.
    pub(crate) fn latest(&self) -> Option<EventId> {
        self.if_latest.as_ref().map(|id| EventId::new(id.clone()))
    }
}

/// A command without data.
#[derive(Args, Clone, Debug)]
pub(crate) struct Order {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) how: How,
}

/// A new weight.
#[derive(Args, Clone, Debug)]
#[command(override_usage = "canaryctl set-weight [OPTIONS] [CANARY] <PERCENT>")]
pub(crate) struct WeightOrder {
    /// The name of the canary, and the weight, such as 0.1%
    #[arg(value_name = "PERCENT", num_args = 1..=2, required = true)]
    // The server says what is expected instead of a negative number.
    #[arg(allow_negative_numbers = true)]
    pub(crate) words: Vec<String>,
    #[command(flatten)]
    pub(crate) how: How,
}

/// The answer of a gate.
#[derive(Args, Clone, Debug)]
pub(crate) struct GateOrder {
    /// The name of the canary, and the name of the gate in the plan
    #[arg(value_name = "GATE", num_args = 1..=2, required = true)]
    pub(crate) words: Vec<String>,
    #[command(flatten)]
    pub(crate) how: How,
}

/// Splits `[CANARY] VALUE`.
///
/// clap has `allow_missing_positional` for it, which fails if a flag is between the two.
pub(crate) fn split(words: &[String]) -> (Target, String) {
    match words {
        [canary, value, ..] => (Target { canary: Some(canary.clone()) }, value.clone()),
        [value] => (Target::default(), value.clone()),
        [] => unreachable!("clap requires one"),
    }
}

impl Verb {
    /// Returns the command, if the verb is one. Variables have a way of their own.
    pub(crate) fn order(&self) -> Option<(Command, Target, &How)> {
        let (command, order) = match self {
            Self::Start(order) => (Command::Start, order),
            Self::Pause(order) => (Command::Pause, order),
            Self::Resume(order) => (Command::Resume, order),
            Self::SkipStep(order) => (Command::SkipStep, order),
            Self::SetWeight(WeightOrder { words, how }) => {
                let (target, text) = split(words);
                let weight = if text.ends_with('%') { text } else { format!("{text}%") };
                return Some((Command::SetWeight { weight }, target, how));
            }
            Self::Promote(order) => (Command::Promote, order),
            Self::PromoteFully(order) => (Command::PromoteFully, order),
            Self::RollBack(order) => (Command::RollBack, order),
            Self::Halt(order) => (Command::Halt, order),
            Self::LiftHalt(order) => (Command::LiftHalt, order),
            Self::Restart(order) => (Command::Restart, order),
            Self::Approve(GateOrder { words, how }) => {
                let (target, gate) = split(words);
                return Some((Command::Approve { gate }, target, how));
            }
            Self::Reject(GateOrder { words, how }) => {
                let (target, gate) = split(words);
                return Some((Command::Reject { gate }, target, how));
            }
            _ => return None,
        };
        Some((command, order.target.clone(), &order.how))
    }
}
