use std::{collections::VecDeque, time::Duration};

use canary_core::{CanaryName, PerChannel, ReleaseId, StickySecret, Verdict, Weight};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    action::Action,
    event::{Event, EventId},
    fleet::Fleet,
    history::History,
    lineage::Lineage,
    plan::{definition::Plan, redact::redact, stored::StoredPlan},
    serialize,
    state::phase::{Phase, State},
    timestamp::Timestamp,
    variables::VariablePatches,
};

mod apply_command;
mod change;
mod cool_down;
mod decide;
mod degrade;
mod gates;
mod headroom;
pub(crate) mod needs;
mod outlook;
mod preview;
mod proceed;
mod recover;
mod releases;
mod stored;
mod tick;
mod unsaved;
mod variables;

pub use self::releases::Relation;
use self::{headroom::Headroom, releases::Superseded};

/// A rollout: the state machine that runs a [`Plan`], and the document that replicas share.
///
/// The driver feeds it [ticks](Self::tick) and [commands](Self::command), and carries out the
/// returned [actions](Action). The same inputs produce the same result on every replica.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use canary_core::Verdict;
/// use canary_rollout::{
///     Action, Actor, Command, Order, Phase, Releases, Rollout, Tick, Timestamp, plan::Preset,
/// };
///
/// let releases = Releases { stable: "v1".parse()?, canary: "v2".parse()? };
/// let plan = Preset::all()[0].plan();
/// let mut rollout = Rollout::new("checkout".parse()?, releases, plan);
///
/// let mut now: Timestamp = "2026-11-24T09:00:00Z".parse()?;
/// let start = Order::new(Command::Start, Actor::person("anna"), "v2 is built");
/// let transition = rollout.command(now, &start)?;
/// assert!(transition.actions.contains(&Action::SetWeight("10%".parse()?)));
///
/// for _ in 0..60 {
///     now = now + Duration::from_secs(1);
///     rollout.tick(now, &Tick::new(Verdict::Healthy, "no failure").with_calls(4));
/// }
/// assert_eq!(rollout.pending(now).to_string(), "step 1 of 1, holding at 10%: 1m of 5m");
///
/// let transition = rollout.tick(now, &Tick::new(Verdict::Degraded, "canary fails every call"));
/// assert_eq!(transition.actions[0], Action::RollBack);
/// assert_eq!(rollout.phase(), Phase::RolledBack);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Storage
///
/// A rollout serializes as JSON of at most [`Rollout::MAX_BYTES`]. It can continue at any time, even
/// in another version of this crate, which keeps unknown fields. Reading it fails if its parts do not
/// fit each other: a step that the plan does not have, or a weight above that of the stage that no
/// operator has set. After loading it, call
/// [`set_releases`](Self::set_releases), which resets the rollout if the releases have changed, and
/// apply [`in_force`](Self::in_force) to the data plane. [`generation`](Self::generation) increases
/// by one with each [`Action::Save`].
///
/// Replicas share a rollout by compare-and-swap. Clone it, apply the tick or command to the clone,
/// store the clone, and carry out the actions after [`Action::Save`] only if the store accepts it.
///
/// During a rolling update, replicas of old and new releases run side by side. Only one of them
/// drives the rollout and sets the releases; [`Relation`] is what the others go by. The module
/// [`replica`](crate::replica) implements all of this.
///
/// # Time
///
/// Clocks jump, and they differ between machines. The time of a step is therefore the lesser of two
/// measures: the wall-clock time since the weight came into force, and the sum of the times between
/// ticks. Each tick counts for at most [`Rollout::MAX_TICK`]. Deadlines use only the sum.
///
/// A clock that jumps ahead by a day shortens a step by at most ten seconds, and reaches no
/// deadline. A clock that jumps back to before the step began restarts the step's time. Time
/// without ticks does not count.
///
/// Tick at least every ten seconds; once a second is usual.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(remote = "Self")] // `stored` implements the traits, and validates what it reads.
pub struct Rollout {
    schema: SchemaVersion,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lineage: Option<Lineage>,
    #[serde(with = "serialize::name")]
    name: CanaryName,
    releases: Releases,
    /// The releases that the rollout was for before, oldest first.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    superseded: VecDeque<Superseded>,
    generation: u64,
    attempt: u64,
    #[serde(default, with = "serialize::maybe_secret", skip_serializing_if = "Option::is_none")]
    sticky_secret: Option<StickySecret>,
    state: State,
    #[serde(with = "serialize::weight")]
    weight: Weight,
    #[serde(default)]
    clock: MonotonicTime,
    #[serde(with = "serialize::verdict")]
    verdict: Verdict,
    #[serde(default)]
    evidence: String,
    /// The rest of the canary's warm-up at the latest tick.
    #[serde(default, with = "serialize::maybe_span", skip_serializing_if = "Option::is_none")]
    warm_up_left: Option<Duration>,
    /// The replicas that were heard at the latest tick, if they are fewer than the quorum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    without_quorum: Option<Fleet>,
    plan: StoredPlan,
    /// The number of the event that set the plan; zero for the plan of the first build.
    #[serde(default)]
    plan_event: u64,
    /// What commands have set. While the canary is promoted, the overrides hold for the stage.
    #[serde(default, skip_serializing_if = "VariablePatches::is_empty")]
    variables: VariablePatches,
    #[serde(default)]
    history: History,
    #[serde(skip)]
    headroom: Headroom,
    /// Fields that a newer version has stored.
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// The releases of the two channels.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "there are exactly two channels")]
pub struct Releases {
    /// The release of stable.
    #[serde(with = "serialize::name")]
    pub stable: ReleaseId,
    /// The release of the canary.
    #[serde(with = "serialize::name")]
    pub canary: ReleaseId,
}

/// The version of the stored form.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct SchemaVersion;

/// The time counted by ticks.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
struct MonotonicTime {
    latest: Option<Timestamp>,
    /// The time since the start.
    #[serde(with = "serialize::span")]
    elapsed: Duration,
    /// The time since the document was last saved.
    #[serde(with = "serialize::span")]
    unsaved: Duration,
}

impl Rollout {
    /// The longest time that a tick counts for.
    pub const MAX_TICK: Duration = Duration::from_secs(10);

    /// The interval at which progress is saved if nothing else causes a save. It is one
    /// [`BEAT`](crate::replica::BEAT): a driver saves the evidence and the calls of the step
    /// together, so that its successor has both.
    pub const SAVE_INTERVAL: Duration = crate::replica::BEAT;

    /// The maximum size of a saved rollout as JSON, in bytes. Old events are dropped to stay below
    /// it, so that it fits into a value of every common store, with 2 KiB to spare in 16 KiB.
    pub const MAX_BYTES: usize = 14 * 1024;

    /// Creates an idle rollout at weight zero.
    #[must_use]
    pub fn new(name: CanaryName, releases: Releases, plan: Plan) -> Self {
        Self {
            schema: SchemaVersion,
            lineage: None,
            name,
            releases,
            superseded: VecDeque::new(),
            generation: 0,
            attempt: 0,
            sticky_secret: None,
            state: State::Idle,
            weight: Weight::ZERO,
            clock: MonotonicTime::default(),
            verdict: Verdict::Inconclusive,
            evidence: String::new(),
            warm_up_left: None,
            without_quorum: None,
            plan: plan.into(),
            plan_event: 0,
            variables: VariablePatches::default(),
            history: History::default(),
            headroom: Headroom::default(),
            unknown: Map::new(),
        }
    }

    /// Sets the lineage. Call this when you create a document in the store.
    #[must_use]
    pub const fn with_lineage(mut self, lineage: Lineage) -> Self {
        self.lineage = Some(lineage);
        self
    }

    /// Returns the lineage; `None` if the rollout has not been stored.
    #[must_use]
    pub const fn lineage(&self) -> Option<Lineage> {
        self.lineage
    }

    /// Returns the canary's name.
    #[must_use]
    pub const fn name(&self) -> &CanaryName {
        &self.name
    }

    /// Returns the releases.
    #[must_use]
    pub const fn releases(&self) -> &Releases {
        &self.releases
    }

    /// Returns the plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        self.plan.plan()
    }

    /// Returns the number of the event that set the plan; zero for the plan of the first build.
    pub(crate) const fn plan_event(&self) -> u64 {
        self.plan_event
    }

    /// Returns the state.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Returns the state without its data.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.state.phase()
    }

    /// Returns the requested weight.
    #[must_use]
    pub const fn weight(&self) -> Weight {
        self.weight
    }

    /// Returns the number of saves, including a pending one.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the number of starts, including those of previous releases.
    #[must_use]
    pub const fn attempt(&self) -> u64 {
        self.attempt
    }

    /// Returns the salt of the hash that assigns keys to channels. Each start has a new salt, so
    /// that a fixed canary does not get the same users as the broken one. The salt is public.
    #[must_use]
    pub fn salt(&self) -> String {
        format!("{}:{}", self.name, self.attempt)
    }

    /// Sets the secret of the hash that assigns keys to channels, which is stored with the rollout
    /// so that all replicas have it.
    ///
    /// Set it while the weight is zero: it moves keys to other channels. One secret suffices for
    /// all attempts, because the hash of an attempt tells nothing about that of another
    /// [salt](Self::salt).
    #[must_use]
    pub fn with_sticky_secret(mut self, secret: Option<StickySecret>) -> Self {
        self.sticky_secret = secret;
        self
    }

    /// Returns the secret of the hash that assigns keys to channels, if the rollout has one.
    ///
    /// The serialized rollout contains it. Show a rollout
    /// [without it](Self::with_sticky_secret).
    #[must_use]
    pub const fn sticky_secret(&self) -> Option<StickySecret> {
        self.sticky_secret
    }

    /// Returns the verdict of the latest tick and its evidence.
    #[must_use]
    pub fn verdict(&self) -> (Verdict, &str) {
        (self.verdict, &self.evidence)
    }

    /// Returns the latest events, oldest first: at most 64, or fewer if they do not fit into
    /// [`Self::MAX_BYTES`]. To keep all events, collect those of each
    /// [`Transition`](crate::Transition).
    #[must_use]
    pub fn history(&self) -> impl ExactSizeIterator<Item = &Event> + DoubleEndedIterator {
        self.history.events.iter().map(|event| &**event)
    }

    /// Returns the id of the latest event; `None` if there is none. It changes with each event, and
    /// not when only progress is saved. Use it to detect that a rollout has changed since an operator
    /// last saw it.
    #[must_use]
    pub const fn latest(&self) -> Option<EventId> {
        self.history.latest
    }

    /// Returns the rollout as JSON for people who may see it but not its secrets: the stored form, with
    /// URLs reduced to scheme, host and port. It can also be read as a rollout, but its webhooks then
    /// lead nowhere.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "a rollout serializes as strings and numbers")]
    pub fn to_public_json(&self) -> Value {
        let mut json = serde_json::to_value(self).expect("it serializes as strings and numbers");
        redact(&mut json);
        json
    }

    /// Returns the actions that put the rollout's state into force on the data plane. Apply them
    /// after loading the rollout, and after another replica has changed it.
    #[must_use]
    pub fn in_force(&self) -> Vec<Action> {
        let variables = self.variables_action();
        match &self.state {
            State::Halted { reason, .. } => vec![Action::Halt(reason.clone()), variables],
            State::Idle | State::RolledBack { .. } => {
                vec![Action::LiftHalt, Action::RollBack, variables]
            }
            // The first call at the weight must see the variables.
            State::Promoted { .. } => vec![variables, Action::Promote],
            _ => vec![Action::LiftHalt, variables, Action::SetWeight(self.weight)],
        }
    }
}

impl From<PerChannel<ReleaseId>> for Releases {
    fn from(PerChannel { stable, canary }: PerChannel<ReleaseId>) -> Self {
        Self { stable, canary }
    }
}
