use std::{path::PathBuf, str, time::Duration};

use clap::{Args, Subcommand};
use clap_complete::Shell;

use super::{
    orders::{GateOrder, How, Order, Target, WeightOrder},
    parse_duration,
};

/// A verb with its options.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Verb {
    /// List all canaries, one per line
    #[command(visible_alias = "ls")]
    List,
    /// Show a canary: its state, its channels, the plan and the findings
    #[command(visible_alias = "get")]
    Show(Target),
    /// Watch a canary live, with keys for its commands
    Watch(WatchOptions),
    /// Wait until a canary is promoted, for scripts
    Wait(WaitOptions),

    /// Start the plan at its first step, with new evidence
    Start(Order),
    /// Keep the weight until the plan is resumed; a degraded canary is still rolled back
    Pause(Order),
    /// Continue a paused plan
    Resume(Order),
    /// Begin the next step without waiting for the current one
    SkipStep(Order),
    /// Set the weight, and pause the plan
    SetWeight(WeightOrder),
    /// Promote the canary without proof, after the bake if the plan has one
    Promote(Order),
    /// Promote the canary at once
    PromoteFully(Order),
    /// Send all calls to stable; allowed in every state, and never asks
    RollBack(Order),
    /// Send all calls to stable, and refuse every start until the halt is lifted; never asks
    Halt(Order),
    /// Lift a halt
    LiftHalt(Order),
    /// Start the plan again at its first step, with new evidence
    Restart(Order),
    /// Open a gate that waits for an answer
    #[command(override_usage = "canaryctl approve [OPTIONS] [CANARY] <GATE>")]
    Approve(GateOrder),
    /// Reject a gate that waits for an answer
    #[command(override_usage = "canaryctl reject [OPTIONS] [CANARY] <GATE>")]
    Reject(GateOrder),

    /// Show variables, or change them
    #[command(visible_aliases = ["variables", "set-variables"])]
    Vars(VarsOptions),
    /// Show the history
    Events(EventsOptions),
    /// Explain a decision, or the current state, with its evidence
    Why(WhyOptions),
    /// Show, check or replace the plan
    Plan {
        #[command(subcommand)]
        verb: PlanVerb,
    },
    /// Ask the open calls and streams of a channel to end
    Drain(DrainOptions),

    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write those of all verbs to a directory
    Man {
        /// The directory
        directory: Option<PathBuf>,
    },
}

#[derive(Args, Clone, Debug)]
pub(crate) struct WatchOptions {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Print a line per event, as if the output were no terminal
    #[arg(long)]
    pub(crate) plain: bool,
    /// Print the screen once, in this size, for a chat or a document
    #[arg(long, value_name = "COLUMNSxROWS", conflicts_with = "plain", require_equals = true)]
    #[arg(num_args = 0..=1, default_missing_value = "100x30")]
    pub(crate) once: Option<ScreenSize>,
}

/// The size of a screen in characters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ScreenSize {
    pub(crate) columns: u16,
    pub(crate) rows: u16,
}

impl str::FromStr for ScreenSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().ok().filter(|number| (1..=500).contains(number));
        text.split_once('x')
            .and_then(|(columns, rows)| {
                Some(Self { columns: number(columns)?, rows: number(rows)? })
            })
            .ok_or_else(|| "expected a size up to 500x500, such as 100x30".to_owned())
    }
}

#[derive(Args, Clone, Debug)]
#[command(after_help = WAIT_HELP)]
pub(crate) struct WaitOptions {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The state to wait for: promoted, decided, paused or step=N
    #[arg(long = "for", value_name = "STATE", default_value = "promoted")]
    pub(crate) goal: WaitGoal,
    /// The release of the canary; wait until the server has it
    #[arg(long, value_name = "RELEASE")]
    pub(crate) release: Option<String>,
    /// Give up after this time, such as 30m [default: never]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
}

const WAIT_HELP: &str = "\
States:
  promoted  the canary is promoted; ends with status 3 as soon as a person is needed
  decided   the canary is promoted (0) or rolled back (2); waits while a person decides
  paused    the plan is paused, or waits for an approval
  step=N    the plan has reached step N, from 1; status 3 as for promoted

Without --release, the release that the server has now counts, even if it was decided long ago.
A pipeline names the release that it has just deployed. The server may restart meanwhile.

Exit status:
  0  reached
  1  an error
  2  the canary was rolled back or halted
  3  the rollout waits for a person
  4  the time is over
  5  the canary has another release now";

/// The state that `wait` waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WaitGoal {
    Promoted,
    Decided,
    Paused,
    /// The number of the step, from 1.
    Step(usize),
}

impl str::FromStr for WaitGoal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let step = text.strip_prefix("step=").and_then(|number| number.parse().ok());
        match (text, step) {
            ("promoted", _) => Ok(Self::Promoted),
            ("decided", _) => Ok(Self::Decided),
            ("paused", _) => Ok(Self::Paused),
            (_, Some(number @ 1..)) => Ok(Self::Step(number)),
            _ => {
                Err("expected promoted, decided, paused or step=N with a number from 1".to_owned())
            }
        }
    }
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Without changes, all variables are shown. NAME=VALUE takes VALUE as JSON if it is, and as text
otherwise. NAME- removes a variable; for the canary, the stage's value applies again.

  canaryctl vars shop backend=b2 limit=10 -m 'try the new backend'
  canaryctl vars shop backend-")]
pub(crate) struct VarsOptions {
    /// The name of the canary, and the changes
    #[arg(value_name = "CANARY | NAME=VALUE | NAME-")]
    pub(crate) words: Vec<String>,
    /// Change the variables of the stage, and not those that the canary overrides
    #[arg(long)]
    pub(crate) stage: bool,
    #[command(flatten)]
    pub(crate) how: How,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct EventsOptions {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Go on with events as they happen
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Show only events after this one
    #[arg(long, value_name = "EVENT")]
    pub(crate) after: Option<String>,
    /// Show at most this many events
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) most: u32,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct WhyOptions {
    /// The name of the canary, and the id or the number of an event
    #[arg(value_name = "CANARY | EVENT", num_args = 0..=2)]
    pub(crate) words: Vec<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct DrainOptions {
    #[command(flatten)]
    pub(crate) target: Target,
    /// End the calls of stable, and not those of the canary
    #[arg(long)]
    pub(crate) stable: bool,
    /// Close the calls, and do not only ask them to end
    #[arg(long)]
    pub(crate) close: bool,
    /// The reason, for the audit log
    #[arg(short = 'm', long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Show the effect, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum PlanVerb {
    /// Show the plan as JSON, without secrets
    Show(Target),
    /// Let the server check a plan, and tell how long it takes and what it would catch
    Check(PlanCheckOptions),
    /// Replace the plan; the new one applies from the next start
    #[command(override_usage = "canaryctl plan apply [OPTIONS] [CANARY] <FILE>")]
    Apply {
        /// The name of the canary, and the file with the plan, in TOML, JSON or YAML; - for the
        /// standard input
        #[arg(value_name = "FILE", num_args = 1..=2, required = true)]
        words: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Print the JSON schema of plans
    Schema,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct PlanCheckOptions {
    /// The file with the plan, in TOML, JSON or YAML; - for the standard input
    pub(crate) file: PathBuf,
    /// The canary whose traffic and requirements apply
    #[arg(long, value_name = "NAME")]
    pub(crate) canary: Option<String>,
    /// The calls per second on both channels, instead of the observed ones
    #[arg(long, value_name = "NUMBER")]
    pub(crate) calls_per_second: Option<f64>,
    /// The fraction of stable's calls that fail, such as 0.5%, instead of the observed one
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    pub(crate) failure_rate: Option<f64>,
}

fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    let fraction = number.map(|percent| percent / 100.0).filter(|it| (0.0..=1.0).contains(it));
    fraction.ok_or_else(|| "expected a percentage from 0% to 100%".to_owned())
}
