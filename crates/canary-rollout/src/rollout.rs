use std::time::Duration;

use canary_core::{CanaryName, PerChannel, ReleaseId, Verdict, Weight};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    action::Action,
    event::Event,
    history::History,
    plan::{definition::Plan, stored::StoredPlan},
    serialize,
    state::phase::{Phase, State},
    timestamp::Timestamp,
};

mod apply_command;
mod change;
mod decide;
mod degrade;
mod gates;
pub(crate) mod needs;
mod proceed;
mod releases;
mod stored;
mod tick;

use self::stored::StoredRollout;

/// A plan under way: the state machine, and the one document that is stored and shared.
///
/// It does nothing by itself. Whoever drives it [ticks](Self::tick) it with what was seen, gives it
/// [commands](Self::command), and carries out the [actions](Action) that come of that. The same
/// inputs have the same outcome, on every replica.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use canary_core::Verdict;
/// use canary_rollout::{Action, Actor, Command, Order, Phase, Releases, Rollout, Tick, Timestamp, plan::Preset};
///
/// let releases = Releases { stable: "v1".parse()?, canary: "v2".parse()? };
/// let plan = Preset::all()[0].plan();
/// let mut rollout = Rollout::new("checkout".parse()?, releases, plan);
///
/// let mut now: Timestamp = "2026-11-24T09:00:00Z".parse()?;
/// let start = Order::new(Command::Start, Actor::person("anna"), "v2 is built");
/// let outcome = rollout.command(now, &start)?;
/// assert!(outcome.actions.contains(&Action::SetWeight("10%".parse()?)));
///
/// for _ in 0..60 {
///     now = now + Duration::from_secs(1);
///     rollout.tick(now, &Tick::new(Verdict::Healthy, "no failure").with_calls(4));
/// }
/// assert_eq!(rollout.pending(now).to_string(), "step 1 of 1, holding at 10%: 1m of 5m");
///
/// let outcome = rollout.tick(now, &Tick::new(Verdict::Degraded, "canary fails every call"));
/// assert_eq!(outcome.actions[0], Action::RollBack);
/// assert_eq!(rollout.phase(), Phase::RolledBack);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Storing it
///
/// It is stored as JSON, in [`Rollout::MAX_BYTES`] at most, and can be read and gone on with at any time,
/// by this version of the crate or another: fields that a version does not know are kept. Of a
/// stored rollout [`in_force`](Self::in_force) says what the data plane must be told, and
/// [`set_releases`](Self::set_releases) starts anew if the releases are not those it was about.
/// [`generation`](Self::generation) grows by one with each [`Action::Save`].
///
/// While releases are being replaced in a fleet, replicas of both run, so let only the one that drives
/// the rollout say which releases there are.
///
/// Replicas share it by compare-and-swap. Clone it, let the clone tick or obey, store the clone, and
/// carry out what follows [`Action::Save`] only if that has succeeded.
///
/// # Time
///
/// Clocks of machines jump, and are not those of other machines. What a step waits for has to pass by
/// two measures: the wall clock since the weight came into force, and the sum of the times between
/// ticks, of which none counts for more than [`Rollout::MAX_TICK`]. Deadlines go by the latter
/// alone. So a clock that jumps ahead by a day brings a step forward by ten seconds, and no
/// deadline about; one that jumps behind the step's beginning lets the step's time begin anew. The
/// time for which nobody ticks does not count.
///
/// So tick at least every ten seconds; once a second is usual.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(try_from = "StoredRollout")]
pub struct Rollout {
    schema: Schema,
    #[serde(with = "serialize::name")]
    name: CanaryName,
    releases: Releases,
    generation: u64,
    attempt: u64,
    state: State,
    #[serde(with = "serialize::weight")]
    weight: Weight,
    clock: Clock,
    #[serde(with = "serialize::verdict")]
    verdict: Verdict,
    evidence: String,
    plan: StoredPlan,
    history: History,
    /// What a newer version has stored.
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// The builds that the two channels run.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "there are two channels")]
pub struct Releases {
    /// Stable's.
    #[serde(with = "serialize::name")]
    pub stable: ReleaseId,
    /// The canary's.
    #[serde(with = "serialize::name")]
    pub canary: ReleaseId,
}

/// The form in which a rollout is stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Schema;

/// The time that was seen in ticks.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
struct Clock {
    latest: Option<Timestamp>,
    /// Since the start.
    #[serde(with = "serialize::span")]
    elapsed: Duration,
    /// Since the document was last saved.
    #[serde(with = "serialize::span")]
    unsaved: Duration,
}

impl Rollout {
    /// No tick counts for more than this time.
    pub const MAX_TICK: Duration = Duration::from_secs(10);

    /// Progress is saved after this time, if nothing else is to be saved before.
    pub const SAVE_INTERVAL: Duration = Duration::from_secs(10);

    /// As JSON, a rollout that is to be saved is not longer than this; old events make room for the
    /// rest. It leaves two of the 16 KiB of a shared document to the store.
    pub const MAX_BYTES: usize = 14 * 1024;

    /// A rollout of the canary's release, idle, at weight zero.
    #[must_use]
    pub fn new(name: CanaryName, releases: Releases, plan: Plan) -> Self {
        Self {
            schema: Schema,
            name,
            releases,
            generation: 0,
            attempt: 0,
            state: State::Idle,
            weight: Weight::ZERO,
            clock: Clock::default(),
            verdict: Verdict::Inconclusive,
            evidence: String::new(),
            plan: plan.into(),
            history: History::default(),
            unknown: Map::new(),
        }
    }

    /// The canary's name.
    #[must_use]
    pub const fn name(&self) -> &CanaryName {
        &self.name
    }

    /// The releases that it is about.
    #[must_use]
    pub const fn releases(&self) -> &Releases {
        &self.releases
    }

    /// The plan that it runs, or would run.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan.plan
    }

    /// Where it is.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Where it is, without the data.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.state.phase()
    }

    /// The weight that is asked for.
    #[must_use]
    pub const fn weight(&self) -> Weight {
        self.weight
    }

    /// How often it was stored, or is to be.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// How often it was started, by all releases.
    #[must_use]
    pub const fn attempt(&self) -> u64 {
        self.attempt
    }

    /// The salt with which keys are assigned to channels. Each start has another, so that a fixed
    /// canary is not tried by those whom the broken one has hit.
    #[must_use]
    pub fn salt(&self) -> String {
        format!("{}:{}", self.name, self.attempt)
    }

    /// The verdict of the latest tick, and its evidence.
    #[must_use]
    pub fn verdict(&self) -> (Verdict, &str) {
        (self.verdict, &self.evidence)
    }

    /// The latest events, oldest first: 64 at most, and as many as fit into [`Self::MAX_BYTES`]. Whoever
    /// wants all of them keeps those that each [`Transition`](crate::Transition) brings.
    #[must_use]
    pub fn history(&self) -> impl ExactSizeIterator<Item = &Event> + DoubleEndedIterator {
        self.history.events.iter()
    }

    /// Lets old events go, until the document is short enough.
    fn drop_events_to_fit(&mut self) {
        let size = |rollout: &Self| serde_json::to_string(rollout).map_or(0, |text| text.len());
        while size(self) > Self::MAX_BYTES && self.history.events.pop_front().is_some() {}
    }

    /// What the data plane must be told, when a process has loaded the rollout, or seen that another
    /// replica has changed it.
    #[must_use]
    pub fn in_force(&self) -> Vec<Action> {
        match &self.state {
            State::Halted { reason, .. } => vec![Action::Halt(reason.clone())],
            State::Promoted { .. } => vec![Action::Promote],
            State::Idle | State::RolledBack { .. } => vec![Action::LiftHalt, Action::RollBack],
            _ => vec![Action::LiftHalt, Action::SetWeight(self.weight)],
        }
    }
}

impl From<PerChannel<ReleaseId>> for Releases {
    fn from(PerChannel { stable, canary }: PerChannel<ReleaseId>) -> Self {
        Self { stable, canary }
    }
}

impl Serialize for Schema {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(SCHEMA)
    }
}

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            SCHEMA => Ok(Self),
            other => Err(serde::de::Error::custom(format!(
                "the rollout is stored in schema {other}, expected {SCHEMA}"
            ))),
        }
    }
}

const SCHEMA: u32 = 1;
