use serde::{Deserialize, Serialize};

use crate::{
    channel::{ChannelView, PerChannel},
    command::CommandName,
    event::{EventId, EventView},
    finding::JudgmentView,
};

/// A canary with its rollout, at one moment, as one process sees it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CanaryView {
    /// The name of the canary.
    pub name: String,
    /// The time of this state.
    pub at: String,
    /// The phase of the rollout.
    pub phase: Phase,
    /// A sentence about the state and the conditions that the rollout waits for. Events, notices and
    /// the command line use the same words.
    pub summary: String,
    /// The state without the conditions, such as "step 2 of 5, holding at 10%".
    pub status: String,
    /// The conditions that the rollout waits for.
    pub waiting_for: Vec<WaitView>,
    /// The number of the attempt, from 1; 0 before the first start.
    pub attempt: u64,
    /// The weight of this process, such as `10%`.
    pub weight: String,
    /// The weight of this process, in millionths.
    pub weight_ppm: u32,
    /// The canary's fraction of the calls of the last ten seconds; `None` without calls.
    pub observed_share: Option<f64>,
    /// The channels.
    pub channels: PerChannel<ChannelView>,
    /// Whether the weight changes only by hand. Such a rollout has no stages.
    pub by_hand: bool,
    /// The highest weight that an operator can set, such as `50%`.
    pub max_weight: String,
    /// The stages of the plan in order: steps, and the bake if there is one.
    pub stages: Vec<StageView>,
    /// The gates that are waiting for an answer.
    pub gates: Vec<GateView>,
    /// What the judge thinks of the canary.
    pub judgment: JudgmentView,
    /// When the canary will be promoted; `None` if no traffic was observed, or if the rollout is not
    /// in progress.
    pub outlook: Option<OutlookView>,
    /// All commands, with their effects now. Commands that need data, such as a weight, are offered
    /// without an effect: ask for a preview.
    pub offers: Vec<Offer>,
    /// The id of the latest stored event.
    pub latest: Option<EventId>,
    /// The state of the storage.
    pub storage: StorageView,
    /// The process that drives the rollout.
    pub driver: DriverView,
    /// The replicas that take part in the rollout; `None` while no rollout is in progress.
    #[serde(default)]
    pub fleet: Option<FleetView>,
    /// The mirror, if the application has one and has registered it.
    pub mirror: Option<MirrorView>,
}

/// The phase of a rollout.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant is the phase of the same name in canary-rollout")]
pub enum Phase {
    Idle,
    Starting,
    Running,
    Paused,
    RampingDown,
    Baking,
    Promoted,
    RolledBack,
    Halted,
    /// The stored rollout is not loaded, or the phase is one of a newer server.
    #[serde(other)]
    Unknown,
}

impl Phase {
    /// Returns the phase in words, such as "ramping down".
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::RampingDown => "ramping down",
            Self::Baking => "baking",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled back",
            Self::Halted => "halted",
            Self::Unknown => "in an unknown phase",
        }
    }
}

/// A condition that a rollout waits for.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WaitView {
    /// The kind: `calls`, `time`, `warm_up`, `proof`, `probe`, `replicas`, `gate`, `calendar` or
    /// `operator`.
    pub kind: String,
    /// The condition in words, such as "312 of 1,000 needed canary calls".
    pub text: String,
    /// The fraction that is fulfilled, `0.0..=1.0`, for calls and times.
    pub progress: Option<f64>,
}

/// A stage of the plan.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StageView {
    /// Whether the stage is a step or the bake.
    pub kind: StageKind,
    /// Whether the stage is done, current or still to come.
    pub state: StageState,
    /// The weight, such as `10%`.
    pub weight: String,
    /// The minimum duration, in seconds.
    pub min_duration_s: f64,
    /// The minimum number of canary calls; 0 in a bake.
    pub min_calls: u64,
    /// The names of the gates at its end.
    pub gates: Vec<String>,
    /// The fraction of the duration and the calls that is fulfilled, whichever is less, if the stage
    /// is current.
    pub progress: Option<f64>,
}

/// The kind of a [`StageView`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StageKind {
    /// A step.
    Step,
    /// The bake: the canary serves all calls except the holdback.
    Bake,
    /// A kind of a newer server.
    #[serde(other)]
    Unknown,
}

/// The state of a [`StageView`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StageState {
    /// The stage is over.
    Done,
    /// The plan is in the stage.
    Current,
    /// The plan has not reached the stage.
    Ahead,
    /// A state of a newer server.
    #[serde(other)]
    Unknown,
}

/// A gate of the plan.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GateView {
    /// The name in the plan.
    pub name: String,
    /// The people who may approve, as the plan names them; `None` if the gate asks a program.
    pub approvers: Option<String>,
    /// The latest message of the gate; it may be empty.
    pub message: String,
    /// The state.
    pub state: GateState,
}

/// The state of a [`GateView`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GateState {
    /// The gate waits for an answer.
    Waiting,
    /// The gate has not been asked yet.
    NotAsked,
    /// A state of a newer server.
    #[serde(other)]
    Unknown,
}

/// When the canary will be promoted, and what would be caught by then.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OutlookView {
    /// The outlook in one sentence.
    pub sentence: String,
    /// The time of the promotion; `None` if it is unknown, or if the plan does not get there.
    pub promoted_at: Option<String>,
    /// The smallest failure rate of the canary that is caught by then with a probability of 95%.
    pub caught_failure_rate: Option<f64>,
}

/// A command that an operator could give now.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Offer {
    /// The command.
    pub command: CommandName,
    /// The effect in sentences, for the place beside a button.
    pub effect: Option<String>,
    /// The reason why the command is refused now; `None` if it is allowed.
    pub refused: Option<String>,
    /// The gate, for an approval or a rejection.
    pub gate: Option<String>,
    /// Whether the command needs an `If-Match` header with the latest event: acting on an outdated
    /// state would do harm.
    pub needs_latest: bool,
}

/// How much of the state is stored.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StorageView {
    /// The reason why the stored rollout is not loaded yet; `None` once it is.
    pub load_error: Option<String>,
    /// The seconds since saves began to fail; `None` if the latest save succeeded. Until then the
    /// weight does not rise.
    pub unsaved_for_s: Option<f64>,
    /// Events that are in force here and not stored yet.
    pub unsaved: Vec<EventView>,
    /// The operations on the store that fail now, the longest first.
    #[serde(default)]
    pub failures: Vec<StoreFailureView>,
}

/// An operation on the store that fails now.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoreFailureView {
    /// The operation: `read`, `write`, `watch` or `history`.
    pub operation: String,
    /// The place of the document, such as the path of a file.
    pub path: String,
    /// The latest error.
    pub error: String,
    /// The time of the first failure since the operation last succeeded.
    pub since: String,
    /// The operation, the document and the error in one sentence.
    pub sentence: String,
}

/// The process that drives the rollout: it judges, advances the plan, runs probes and asks gates.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DriverView {
    /// Its name, if it is known.
    pub name: Option<String>,
    /// Whether it is the process that answers.
    pub is_this: bool,
}

/// The replicas that take part in a rollout, as its driver hears them.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FleetView {
    /// The number of replicas that are heard.
    pub heard: usize,
    /// The number of all replicas: those that are heard, and the silent ones.
    pub of: usize,
    /// The names of the silent ones.
    pub silent: Vec<String>,
    /// The numbers in words, such as "7 of 9 replicas heard".
    pub sentence: String,
}

/// The copies of calls that the canary has got, and how its responses differ.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MirrorView {
    /// Calls that were copied.
    pub copied: u64,
    /// Copies whose responses were compared.
    pub compared: u64,
    /// Compared responses that differ.
    pub different: u64,
    /// The differing places with their numbers, the most frequent first, such as `body.total`. They
    /// have no values, because those can be private.
    pub places: Vec<(String, u64)>,
}
