use std::collections::VecDeque;

use canary_core::Weight;

use super::{
    Build, CommandFailure, EvidenceSwapped, Input, Loaded, Moment, Output, ReplicaId, StoreState,
    job::{Active, CommandJob, Decision, Job, MergeJob, PlanJob, Proposal, TickJob},
    seat::Seat,
};
use crate::{
    action::Transition,
    event::Event,
    plan::definition::Plan,
    rollout::{Relation, Rollout},
    state::phase::Phase,
    tick::input::Tick,
};

/// The state machine of one replica. See the [module documentation](super).
///
/// ```
/// use std::time::Duration;
/// use canary_core::StickySecret;
/// use canary_rollout::{
///     Actor, Command, Order, Plan, Releases,
///     replica::{Build, CommandId, Input, Loaded, Moment, Output, Replica, ReplicaId, Swapped},
/// };
///
/// let releases = Releases { stable: "v1".parse()?, canary: "v2".parse()? };
/// let plan = Plan::from_toml("steps = [{ weight = '10%' }]")?;
/// let sticky_secret = StickySecret::from_bytes([7; 16]);
/// let build = Build { releases, plan, auto_start: false, sticky_secret };
/// let mut replica = Replica::new("shop".parse()?, ReplicaId::from_random(7), build);
/// let at = "2026-11-24T09:00:00Z".parse()?;
/// let now = Moment { at, uptime: Duration::ZERO, random: 7 };
///
/// let order = Order::new(Command::Start, Actor::person("ada"), "v2 is built");
/// let start = Input::Command { id: CommandId(1), order, seen: None };
/// assert_eq!(replica.handle(now, start), [Output::Load]);
///
/// let outputs = replica.handle(now, Input::Loaded(Ok(Loaded::Absent)));
/// assert!(matches!(outputs.last(), Some(Output::Swap { .. })));
///
/// // Only now the weight rises.
/// let outputs = replica.handle(now, Input::Swapped(Swapped::Saved));
/// assert!(outputs.iter().any(|output| matches!(output, Output::Reply { result: Ok(_), .. })));
/// assert_eq!(replica.rollout().weight(), "10%".parse()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Replica {
    pub(super) build: Build,
    /// The rollout in force. It is a placeholder or a copy while the stored one is not loaded.
    pub(super) rollout: Rollout,
    pub(super) store: StoreState,
    pub(super) seat: Seat,
    /// The rollout that was last loaded or saved.
    pub(super) base: Rollout,
    /// Events that are in force and not stored.
    pub(super) unsaved: Vec<Event>,
    /// The number of the latest event that was emitted.
    pub(super) emitted: u64,
    /// The event that set the plan which the plan of this build has to replace. A plan that is set
    /// later, here or by another replica, stays.
    pub(super) replaces: Option<u64>,
    /// Whether the application has lowered the weight of a build that the rollout is not for.
    pub(super) is_lowered_directly: bool,
    pub(super) active: Option<Active>,
    pub(super) jobs: VecDeque<Active>,
    /// Jobs for the next tick.
    pub(super) deferred: Vec<Job>,
    /// The calls and reports of ticks that were not applied.
    pub(super) leftover: Tick,
    /// Whether to enforce the rollout when all jobs that have lowered the weight are done.
    pub(super) enforces_later: bool,
    pub(super) outputs: Vec<Output>,
}

impl Replica {
    /// Creates a replica that has not loaded the rollout. The first tick or command loads it.
    #[must_use]
    pub fn new(name: canary_core::CanaryName, id: ReplicaId, build: Build) -> Self {
        let rollout = Rollout::new(name, build.releases.clone(), build.plan.clone());
        Self {
            build,
            base: rollout.clone(),
            rollout,
            store: StoreState::Loading {
                reason: "it has not been loaded yet".to_owned(),
                is_copy: false,
            },
            seat: Seat::new(id),
            unsaved: Vec::new(),
            emitted: 0,
            replaces: None,
            is_lowered_directly: false,
            active: None,
            jobs: VecDeque::new(),
            deferred: Vec::new(),
            leftover: Tick::default(),
            enforces_later: false,
            outputs: Vec::new(),
        }
    }

    /// Returns the rollout in force. It is a placeholder or a copy while the store is
    /// [`Loading`](StoreState::Loading).
    #[must_use]
    pub const fn rollout(&self) -> &Rollout {
        &self.rollout
    }

    /// Returns the relation to the stored rollout.
    #[must_use]
    pub const fn store(&self) -> &StoreState {
        &self.store
    }

    /// Returns the events that are in force and not stored yet.
    #[must_use]
    pub fn unsaved(&self) -> &[Event] {
        &self.unsaved
    }

    /// Returns the name of the driver, if it is known.
    #[must_use]
    pub fn driver(&self) -> Option<&ReplicaId> {
        self.seat.holder()
    }

    /// Returns whether this replica drives the rollout: it [takes part](Self::takes_part), and the
    /// evidence names it.
    #[must_use]
    pub fn is_driving(&self) -> bool {
        self.takes_part() && self.seat.is_mine()
    }

    /// Returns whether the calls of this replica are evidence of the rollout: it is in progress, and
    /// for this build.
    #[must_use]
    pub fn takes_part(&self) -> bool {
        self.is_loaded()
            && self.relation() == Relation::Same
            && is_in_progress(self.rollout.phase())
    }

    /// Returns the plan of this build, if it applies only from the next start, because the rollout was
    /// in progress with another plan when it was loaded.
    #[must_use]
    pub fn pending_plan(&self) -> Option<&Plan> {
        let is_pending = self.replaces == Some(self.rollout.plan_event())
            && self.relation() == Relation::Same
            && *self.rollout.plan() != self.build.plan;
        is_pending.then_some(&self.build.plan)
    }

    /// Returns the relation of this build to the rollout in force.
    #[must_use]
    pub fn relation(&self) -> Relation {
        self.rollout.relation(&self.build.releases)
    }

    /// Returns whether the stored rollout has been loaded.
    #[must_use]
    pub const fn is_loaded(&self) -> bool {
        !matches!(self.store, StoreState::Loading { .. })
    }

    /// Returns whether the evidence names this replica, or named it when the rollout ended.
    #[must_use]
    pub fn holds_evidence(&self) -> bool {
        self.seat.is_mine()
    }

    /// Handles an input, and returns what to do.
    pub fn handle(&mut self, now: Moment, input: Input) -> Vec<Output> {
        match input {
            Input::Tick { tick, trip } => {
                self.jobs.extend(self.deferred.drain(..).map(Active::from));
                self.push(Job::Tick(TickJob { tick: *tick, trip, observed: None }));
            }
            Input::Beat => self.beat(now),
            Input::Command { id, order, seen } => {
                let is_answered = false;
                self.push(Job::Command(CommandJob { id: Some(id), order, seen, is_answered }));
            }
            Input::Plan { id, plan, by, reason, seen } => {
                self.push(Job::Plan(PlanJob { id, plan, by, reason, seen }));
            }
            Input::Stop => {
                self.jobs.extend(self.deferred.drain(..).map(Active::from));
                self.push(Job::Stop);
            }
            Input::DataPlane(observed) => self.reconcile(&observed),
            Input::StoreChanged => {
                if self.store == StoreState::InSync {
                    self.store = StoreState::Behind;
                }
                if self.is_loaded() {
                    self.push(Job::Reload);
                }
            }
            Input::EvidenceSeen(holder) => self.seat.seen(holder, now.uptime),
            Input::Loaded(result) => {
                if let Some(active) = self.active.take() {
                    self.loaded(now, active, result);
                }
            }
            Input::Copy(copy) => self.begin_with_copy(*copy),
            Input::Swapped(result) => {
                if let Some(active) = self.active.take() {
                    self.swapped(now, active, result);
                }
            }
            Input::EvidenceSwapped(result) => {
                if let Some(active) = self.active.take() {
                    self.evidence_swapped(now, active, result);
                }
            }
        }
        self.run(now);
        std::mem::take(&mut self.outputs)
    }

    pub(super) fn push(&mut self, job: Job) {
        self.jobs.push_back(job.into());
    }

    /// Works on jobs until one needs the store.
    fn run(&mut self, now: Moment) {
        while self.active.is_none() {
            let Some(active) = self.jobs.pop_front() else { return };
            self.attempt(now, active);
        }
    }

    /// Decides what to do for a job, with the rollout in force.
    pub(super) fn attempt(&mut self, now: Moment, mut active: Active) {
        if !self.is_loaded() {
            return match active.job {
                Job::Stop => {}
                _ => self.wait(active, Output::Load),
            };
        }
        let has_claimed = active.is_fencing && self.is_driving();
        let decision = match &mut active.job {
            Job::Tick(job) if has_claimed && job.trip.is_none() => self.decide_first_tick(job),
            Job::Tick(job) => self.decide_tick(now, job),
            Job::Command(job) => self.decide_command(now, job),
            Job::Plan(job) => self.decide_plan(now, job),
            Job::Deploy => self.decide_deploy(now),
            Job::Merge(job) => self.decide_merge(now, job),
            Job::Reload if active.is_loaded || self.store == StoreState::InSync => {
                Decision::Finish(Ok(Transition::default()))
            }
            Job::Reload => return self.wait(active, Output::Load),
            Job::Stop if self.is_driving() || self.store.failing_since().is_some() => {
                active.is_fencing = true;
                Decision::Offer(Box::new(Proposal::unchanged(&self.rollout)))
            }
            Job::Stop => Decision::Finish(Ok(Transition::default())),
            Job::Beat => Decision::Claim,
        };
        match decision {
            Decision::Offer(proposal) => self.offer(now, active, *proposal),
            Decision::Claim => {
                self.seat.take(now.uptime);
                self.wait(active, Output::SwapEvidence);
            }
            Decision::Finish(result) => self.finish(now, active, result),
        }
    }

    pub(super) fn wait(&mut self, active: Active, request: Output) {
        self.active = Some(active);
        self.outputs.push(request);
    }

    fn loaded(&mut self, now: Moment, mut active: Active, result: Result<Loaded, String>) {
        active.is_loaded = true;
        let loaded = match result {
            Ok(loaded) => loaded,
            Err(reason) if self.is_loaded() => return self.fail(now, active, reason),
            Err(reason) => {
                let is_copy = self.has_copy();
                self.store = StoreState::Loading { reason: reason.clone(), is_copy };
                return self.finish(now, active, Err(CommandFailure::NotLoaded(reason)));
            }
        };
        if !self.is_loaded() {
            let merge = self.begin(loaded);
            // Commands that are in force here already come first. A tick that has loaded the rollout
            // has observed nothing of it.
            if !matches!(active.job, Job::Tick(_)) {
                self.jobs.push_front(active);
            }
            for job in self.deferred.drain(..).rev() {
                self.jobs.push_front(job.into());
            }
            let is_same = self.relation() == Relation::Same;
            self.replaces = is_same.then(|| self.rollout.plan_event());
            if is_same || self.may_deploy(now) {
                self.jobs.push_front(Job::Deploy.into());
            }
            if !merge.is_empty() {
                self.jobs.push_front(Job::Merge(merge).into());
            }
            return;
        }
        match loaded {
            Loaded::Unchanged => {
                if self.store == StoreState::Behind {
                    self.store = StoreState::InSync;
                }
                self.attempt(now, active);
            }
            Loaded::Found(theirs) => self.follow_and_retry(now, active, Some(*theirs)),
            Loaded::Absent => self.follow_and_retry(now, active, None),
        }
    }

    /// Puts the copy of a rollout into force, until the stored one is loaded.
    fn begin_with_copy(&mut self, copy: Rollout) {
        if let StoreState::Loading { is_copy, .. } = &mut self.store {
            *is_copy = true;
            self.rollout = copy;
            self.outputs.extend([Output::ResumeEvidence, Output::InForce]);
            self.enforce();
        }
    }

    const fn has_copy(&self) -> bool {
        matches!(self.store, StoreState::Loading { is_copy: true, .. })
    }

    /// Puts the rollout of the first load into force. Returns what is in force by a copy and was never
    /// stored.
    fn begin(&mut self, loaded: Loaded) -> MergeJob {
        let has_copy = self.has_copy();
        let theirs = match loaded {
            Loaded::Found(rollout) => *rollout,
            Loaded::Absent | Loaded::Unchanged => self.base.clone(),
        };
        let ours = std::mem::replace(&mut self.rollout, theirs);
        if self.rollout.sticky_secret().is_none() && self.rollout.weight() == Weight::ZERO {
            // The next change of the rollout stores it.
            let secret = Some(self.build.sticky_secret);
            self.rollout = self.rollout.clone().with_sticky_secret(secret);
        }
        self.base = self.rollout.clone();
        self.emitted = self.rollout.latest_number();
        self.store = StoreState::InSync;
        self.outputs.extend([Output::ResumeEvidence, Output::InForce]);
        let merge = if has_copy && self.relation() == Relation::Same {
            MergeJob::of_copy(&ours, &self.rollout)
        } else {
            MergeJob::default()
        };
        if merge.order.is_some() && self.rollout.weight() > ours.weight() {
            self.outputs.push(Output::Enforce(Vec::new()));
        } else {
            self.enforce();
        }
        merge
    }

    fn evidence_swapped(&mut self, now: Moment, mut active: Active, result: EvidenceSwapped) {
        let is_beat = matches!(active.job, Job::Beat);
        match result {
            EvidenceSwapped::Done | EvidenceSwapped::Impossible => active.is_fencing = true,
            EvidenceSwapped::Conflict(holder) => {
                self.seat.seen(holder, now.uptime);
                if !self.seat.is_mine() {
                    self.outputs.push(Output::ResumeEvidence);
                }
            }
            // A driver goes on although its evidence is not stored. Others cannot become one.
            EvidenceSwapped::Failed(_) if is_beat => {}
            EvidenceSwapped::Failed(reason) => {
                self.seat.seen(None, now.uptime);
                return self.finish(now, active, Err(CommandFailure::NotStored(reason)));
            }
        }
        if is_beat {
            self.finish(now, active, Ok(Transition::default()));
        } else {
            self.retry(now, active);
        }
    }
}

/// Adds to a transition that it is in force and not stored.
pub(super) fn not_stored_yet(mut transition: Transition, reason: &str) -> Transition {
    transition.note = Some(format!("in force, but not stored yet: {reason}"));
    transition
}

/// Returns whether a rollout in this phase has a driver.
pub(super) const fn is_in_progress(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Starting | Phase::Running | Phase::Paused | Phase::RampingDown | Phase::Baking
    )
}

/// The number of attempts of a job while other replicas store the rollout.
pub(super) const MAX_ATTEMPTS: usize = 5;
/// The actor of changes at the start of a process.
pub(super) const DEPLOYMENT: &str = "deployment";
