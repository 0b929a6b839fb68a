//! The outputs of a replica in each state of the store, for each result of the store.

#![allow(clippy::unwrap_used, reason = "test code")]

mod sim;

use std::time::Duration;

use canary_core::{StickySecret, Verdict, Weight};
use canary_rollout::{
    Action, Actor, Command, Order, Phase, Rollout, Tick, Timestamp,
    event::EventKind,
    replica::{
        BEAT, Build, CommandFailure, CommandId, DataPlane, EvidenceOrder, EvidenceSwapped, Input,
        Loaded, Mode, Moment, Output, Replica, ReplicaId, StoreState, Swapped,
    },
};

const PLAN: &str = "
steps = [{ weight = '10%', min_duration = '1h' }, { weight = '50%', min_duration = '1h' }]";

const STATES: [&str; 5] = ["loading", "in sync", "behind", "dirty", "in doubt"];

struct Driven {
    replica: Replica,
    seconds: u64,
}

impl Driven {
    fn new(plan: &str) -> Self {
        let build = Build {
            releases: sim::releases("v2"),
            plan: sim::plan(plan),
            auto_start: false,
            sticky_secret: StickySecret::from_bytes([1; 16]),
        };
        let replica = Replica::new("shop".parse().unwrap(), ReplicaId::from_random(1), build);
        Self { replica, seconds: 0 }
    }

    /// A replica that drives a rollout at the first step of this plan.
    fn started(plan: &str) -> Self {
        let mut driven = Self::new(plan);
        driven.command(Command::Start);
        driven.feed(Input::Loaded(Ok(Loaded::Absent)));
        driven.feed(Input::Swapped(Swapped::Saved));
        driven.feed(Input::EvidenceSwapped(EvidenceSwapped::Done));
        driven
    }

    /// Another replica, which follows this driver.
    fn following(driver: &Self) -> Self {
        Self::following_with(driver, PLAN)
    }

    fn following_with(driver: &Self, plan: &str) -> Self {
        let mut follower = Self::new(plan);
        follower.feed(Input::EvidenceSeen(Some(ReplicaId::from_random(2))));
        follower.tick(Verdict::Inconclusive);
        let stored = Box::new(driver.replica.rollout().clone());
        follower.feed(Input::Loaded(Ok(Loaded::Found(stored))));
        follower
    }

    /// A replica that drives a rollout at its first step, in this state of the store.
    fn in_state(state: &str) -> Self {
        if state == "loading" {
            return Self::new(PLAN);
        }
        let mut driven = Self::started(PLAN);
        match state {
            "behind" => {
                driven.feed(Input::StoreChanged);
                driven.feed(Input::Loaded(Err("away".to_owned())));
            }
            "dirty" => {
                driven.command(Command::Pause);
                driven.feed(Input::Swapped(Swapped::Failed("away".to_owned())));
            }
            "in doubt" => {
                driven.command(Command::SkipStep);
                driven.feed(Input::Swapped(Swapped::Unknown("away".to_owned())));
            }
            _ => {}
        }
        assert_eq!(driven.state(), state);
        driven
    }

    fn feed(&mut self, input: Input) -> Vec<Output> {
        let at: Timestamp = "2026-11-24T09:00:00Z".parse().unwrap();
        let uptime = Duration::from_secs(self.seconds);
        let now = Moment { at: at + uptime, uptime, random: self.seconds };
        self.replica.handle(now, input)
    }

    fn command(&mut self, command: Command) -> Vec<Output> {
        let order = Order::new(command, Actor::person("ada"), "");
        self.feed(Input::Command { id: CommandId(7), order, seen: None })
    }

    fn tick(&mut self, verdict: Verdict) -> Vec<Output> {
        let tick = Box::new(Tick::new(verdict, "evidence").with_calls(1));
        self.feed(Input::Tick { tick, trip: None })
    }

    fn state(&self) -> &'static str {
        match self.replica.store() {
            StoreState::Loading { .. } => "loading",
            StoreState::InSync => "in sync",
            StoreState::Behind => "behind",
            StoreState::Dirty { .. } => "dirty",
            StoreState::InDoubt { .. } => "in doubt",
            other => panic!("unknown state {other:?}"),
        }
    }

    /// The rollout of another replica that has built on the stored one.
    fn rival(&self, command: Command) -> Box<Rollout> {
        let mut rival = self.replica.rollout().clone();
        let order = Order::new(command, Actor::person("eve"), "");
        rival.command("2026-11-24T09:00:01Z".parse().unwrap(), &order).unwrap();
        Box::new(rival)
    }
}

fn name(output: &Output) -> &'static str {
    match output {
        Output::Load => "load",
        Output::Swap { .. } => "swap",
        Output::SwapEvidence => "swap evidence",
        Output::InForce => "in force",
        Output::ResumeEvidence => "resume evidence",
        Output::Lower(_) => "lower",
        Output::Apply(_) => "apply",
        Output::Enforce(_) => "enforce",
        Output::AcknowledgeTrip => "acknowledge",
        Output::Reply { result: Ok(_), .. } => "reply",
        Output::Reply { result: Err(_), .. } => "refuse",
        Output::Release(_) => "release",
        Output::Audit(_) => "audit",
        Output::Emit(_) => "emit",
        Output::Warn(_) => "warn",
    }
}

fn names(outputs: &[Output]) -> String {
    outputs.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// The outputs of an input in each state of the store.
fn table(input: impl Fn(&mut Driven) -> Vec<Output>) -> [String; 5] {
    STATES.map(|state| names(&input(&mut Driven::in_state(state))))
}

#[test]
fn a_tick_loads_unless_the_rollout_in_force_is_the_stored_one() {
    let outputs = table(|driven| driven.tick(Verdict::Inconclusive));
    assert_eq!(outputs, ["load", "in force", "load", "load", "load"]);
}

#[test]
fn a_verdict_against_the_canary_lowers_the_weight_before_any_request() {
    let outputs = table(|driven| driven.tick(Verdict::Degraded));
    assert_eq!(outputs, ["load", "lower, swap", "lower, load", "lower, load", "lower, load"]);
}

#[test]
fn a_rollback_lowers_the_weight_before_any_request() {
    let outputs = table(|driven| driven.command(Command::RollBack));
    assert_eq!(outputs, ["load", "lower, swap", "lower, load", "lower, load", "lower, load"]);
}

#[test]
fn a_command_that_raises_the_weight_applies_nothing_before_it_is_stored() {
    let outputs =
        table(|driven| driven.command(Command::SetWeight { weight: sim::percent("20%") }));
    assert_eq!(outputs, ["load", "swap", "load", "load", "load"]);
}

#[test]
fn a_hint_of_a_watch_loads() {
    let outputs = table(|driven| driven.feed(Input::StoreChanged));
    assert_eq!(outputs, ["", "load", "load", "load", "load"]);
}

#[test]
fn a_direct_rollback_becomes_a_command() {
    let observed =
        || DataPlane { weight: Weight::ZERO, applied: sim::percent("10%"), mode: Mode::Splitting };
    let outputs = table(|driven| driven.feed(Input::DataPlane(observed())));
    assert_eq!(outputs, ["", "lower, swap", "lower, load", "lower, load", "lower, load"]);
}

#[test]
fn a_copy_is_in_force_until_the_stored_rollout_is_loaded() {
    let driver = Driven::started(PLAN);
    let copy = || Input::Copy(Box::new(driver.replica.rollout().clone()));
    let outputs = table(|driven| driven.feed(copy()));
    assert_eq!(outputs, ["resume evidence, in force, enforce", "", "", "", ""]);

    let mut driven = Driven::new(PLAN);
    driven.feed(copy());
    assert!(!driven.replica.is_loaded() && !driven.replica.takes_part());
    driven.tick(Verdict::Healthy);
    driven.feed(Input::Loaded(Err("away".to_owned())));
    assert_eq!(driven.replica.rollout().weight(), Weight::from_percent(10));
    driven.tick(Verdict::Healthy);
    driven.feed(Input::Loaded(Ok(Loaded::Absent)));
    assert_eq!(driven.replica.rollout().phase(), Phase::Idle, "a copy is not stored");
}

#[test]
fn a_raise_is_applied_only_if_the_swap_has_succeeded() {
    type Result = fn(&Driven) -> Swapped;
    let cases: [(Result, &str, &str); 4] = [
        (|_| Swapped::Saved, "in force, audit, apply, emit, reply, release", "in sync"),
        (|_| Swapped::Failed("away".to_owned()), "refuse, release, enforce", "dirty"),
        (|_| Swapped::Unknown("away".to_owned()), "refuse, release", "in doubt"),
        (
            |driven| Swapped::Conflict(Some(driven.rival(Command::Halt))),
            "in force, apply, emit, enforce, refuse, release",
            "in sync",
        ),
    ];
    for (result, outputs, state) in cases {
        let mut driven = Driven::in_state("in sync");
        driven.command(Command::SkipStep);
        let result = result(&driven);
        assert_eq!(names(&driven.feed(Input::Swapped(result.clone()))), outputs, "{result:?}");
        assert_eq!(driven.state(), state, "{result:?}");
    }
}

#[test]
fn a_rollback_is_in_force_whether_or_not_it_is_stored() {
    let cases: [(Swapped, &str); 3] = [
        (Swapped::Saved, "in sync"),
        (Swapped::Failed("away".to_owned()), "dirty"),
        (Swapped::Unknown("away".to_owned()), "dirty"),
    ];
    for (result, state) in cases {
        let mut driven = Driven::in_state("in sync");
        driven.command(Command::RollBack);
        let outputs = driven.feed(Input::Swapped(result.clone()));
        assert!(names(&outputs).contains("reply, release"), "{outputs:?}");
        assert_eq!(driven.replica.rollout().phase(), Phase::RolledBack);
        assert_eq!(driven.state(), state, "{result:?}");
        let unsaved = driven.replica.unsaved().len();
        assert_eq!(unsaved, usize::from(state == "dirty"), "{result:?}");
    }
}

#[test]
fn a_raise_whose_swap_was_made_is_taken_over_by_the_next_load() {
    let mut driven = Driven::in_state("in doubt");
    let stored = {
        let mut stored = driven.replica.rollout().clone();
        let order = Order::new(Command::SkipStep, Actor::person("ada"), "");
        stored.command("2026-11-24T09:00:00Z".parse().unwrap(), &order).unwrap();
        Box::new(stored)
    };
    assert_eq!(names(&driven.tick(Verdict::Inconclusive)), "load");
    let outputs = driven.feed(Input::Loaded(Ok(Loaded::Found(stored))));
    assert!(names(&outputs).contains("audit, in force, apply, emit, enforce"), "{outputs:?}");
    assert_eq!(driven.replica.rollout().weight(), sim::percent("50%"));
}

#[test]
fn a_deposed_driver_stores_nothing() {
    let mut driven = Driven::in_state("in sync");
    driven.command(Command::Pause);
    let rival = Some(ReplicaId::from_random(2));
    let outputs = driven.feed(Input::Swapped(Swapped::Deposed(rival)));
    assert!(!driven.replica.is_driving());
    // The command is applied as that of a follower.
    assert_eq!(names(&outputs), "resume evidence, swap");
}

#[test]
fn a_driver_beats_and_a_follower_waits_for_three_beats() {
    let mut driver = Driven::in_state("in sync");
    driver.seconds = BEAT.as_secs();
    let beat = driver.tick(Verdict::Inconclusive);
    // The progress of the step is saved with the evidence that it is made of.
    let is_both = |it: &Output| matches!(it, Output::Swap { evidence: EvidenceOrder::Before, .. });
    assert!(beat.last().is_some_and(is_both), "{beat:?}");
    driver.feed(Input::Swapped(Swapped::Saved));

    let (mut follower, rival) = (Driven::following(&driver), Some(ReplicaId::from_random(2)));
    for second in 1..6 {
        follower.seconds = second;
        assert_eq!(names(&follower.tick(Verdict::Inconclusive)), "", "{second} s");
    }
    follower.seconds = 5;
    follower.feed(Input::EvidenceSeen(rival));
    follower.seconds = 10;
    assert_eq!(names(&follower.tick(Verdict::Inconclusive)), "", "the driver has saved at 5 s");
    follower.seconds = 13;
    assert_eq!(names(&follower.tick(Verdict::Inconclusive)), "swap evidence");
    // It saves the rollout too, so that a late save of the previous driver conflicts.
    let outputs = follower.feed(Input::EvidenceSwapped(EvidenceSwapped::Done));
    assert_eq!(names(&outputs), "swap");
}

#[test]
fn a_new_driver_counts_the_time_of_the_change_together_with_its_own_calls() {
    let mut follower = Driven::following(&Driven::in_state("in sync"));
    follower.seconds = 9;
    assert_eq!(names(&follower.tick(Verdict::Inconclusive)), "swap evidence");
    follower.feed(Input::EvidenceSwapped(EvidenceSwapped::Done));
    follower.feed(Input::Swapped(Swapped::Saved));
    let progress = |driven: &Driven| {
        let progress = driven.replica.rollout().state().progress().unwrap();
        (progress.waited, progress.calls)
    };
    assert_eq!(progress(&follower), (Duration::ZERO, 0));

    follower.seconds = 10;
    let tick = Tick::new(Verdict::Inconclusive, "evidence").with_calls(40);
    follower.feed(Input::Tick { tick: Box::new(tick), trip: None });
    follower.feed(Input::Swapped(Swapped::Saved));
    assert_eq!(progress(&follower), (Duration::from_secs(10), 41));
}

#[test]
fn a_new_driver_applies_a_trip_of_its_guard_at_once() {
    let mut follower = Driven::following(&Driven::in_state("in sync"));
    follower.seconds = 9;
    let tick = Box::new(Tick::new(Verdict::Inconclusive, "evidence"));
    follower.feed(Input::Tick { tick, trip: Some("too many failures".to_owned()) });
    let outputs = follower.feed(Input::EvidenceSwapped(EvidenceSwapped::Done));
    assert_eq!(names(&outputs), "lower, swap");
}

/// A plan that asks in its second step, after a second and a call.
#[test]
fn a_command_whose_author_has_missed_an_event_is_refused_unless_it_lowers_the_weight() {
    let mut driven = Driven::started(PLAN);
    let seen = driven.replica.rollout().latest();
    let at = |command: Command| {
        let order = Order::new(command, Actor::person("eve"), "");
        Input::Command { id: CommandId(8), order, seen }
    };
    // Saved progress is not an event.
    for _ in 0..10 {
        driven.seconds += 1;
        driven.tick(Verdict::Inconclusive);
        driven.feed(Input::EvidenceSwapped(EvidenceSwapped::Done));
        driven.feed(Input::Swapped(Swapped::Saved));
    }
    driven.feed(at(Command::Pause));
    driven.feed(Input::Swapped(Swapped::Saved));
    assert_eq!(driven.replica.rollout().phase(), Phase::Paused);

    let latest = driven.replica.rollout().latest();
    let outputs = driven.feed(at(Command::Resume));
    let [Output::Reply { result: Err(refused), .. }, Output::Release(CommandId(8))] = &*outputs
    else {
        panic!("expected a refusal, got {outputs:?}");
    };
    assert!(
        matches!(refused, CommandFailure::Changed { seen: of, latest: now, .. } if (Some(*of), *now) == (seen, latest)),
        "{refused}"
    );
    assert_eq!(driven.replica.rollout().phase(), Phase::Paused);
    let outputs = driven.feed(at(Command::RollBack));
    assert_eq!(outputs[0], Output::Lower(vec![Action::RollBack]));
}

fn asking(question: &str) -> String {
    format!(
        "
gates.release.kind = {{ webhook = {{ url = 'https://gates.example/release' }} }}
probes.health.kind = {{ http = {{ path = '/health' }} }}
[[steps]]
weight = '10%'
min_duration = '1h'
[[steps]]
weight = '50%'
min_duration = '1s'
min_calls = 1
{question}
[[steps]]
weight = '90%'
min_duration = '1h'
"
    )
}

fn asks(outputs: &[Output]) -> bool {
    let is_question = |action: &Action| matches!(action, Action::RunProbe(_) | Action::AskGate(_));
    outputs
        .iter()
        .any(|output| matches!(output, Output::Apply(actions) if actions.iter().any(is_question)))
}

#[test]
fn a_command_at_a_follower_leaves_probes_and_gates_to_the_driver() {
    for question in ["gates = ['release']", "probes = ['health']"] {
        let plan = asking(question);
        let mut driver = Driven::started(&plan);
        let mut follower = Driven::following_with(&driver, &plan);
        let swap = follower.command(Command::SkipStep);
        let Some(Output::Swap { rollout, evidence: EvidenceOrder::Never }) = swap.last() else {
            panic!("a follower stores the rollout only: {swap:?}");
        };
        let stored = rollout.clone();
        let mut outputs = follower.feed(Input::Swapped(Swapped::Saved));
        assert!(names(&outputs).contains("reply"), "{outputs:?}");
        follower.seconds = 2;
        outputs.extend(follower.tick(Verdict::Healthy));
        assert!(!asks(&outputs), "{question}: {outputs:?}");

        driver.feed(Input::StoreChanged);
        let mut outputs = driver.feed(Input::Loaded(Ok(Loaded::Found(stored))));
        driver.seconds = 2;
        outputs.extend(driver.tick(Verdict::Healthy));
        outputs.extend(driver.feed(Input::Swapped(Swapped::Saved)));
        assert!(asks(&outputs), "{question}: {outputs:?}");
    }
}

const NEXT_PLAN: &str = "steps = [{ weight = '3%', min_duration = '1h' }]";

/// A replica of the same build with another plan, which has taken over the rollout of PLAN.
fn with_next_plan() -> Driven {
    let stopped = Driven::started(PLAN).replica.rollout().clone();
    let mut next = Driven::new(NEXT_PLAN);
    next.tick(Verdict::Inconclusive);
    next.feed(Input::EvidenceSeen(None));
    let outputs = next.feed(Input::Loaded(Ok(Loaded::Found(Box::new(stopped)))));
    let is_warning = |output: &&Output| matches!(output, Output::Warn(text) if text.contains("applies from the next start"));
    assert_eq!(outputs.iter().filter(is_warning).count(), 1, "{outputs:?}");
    assert_eq!(next.replica.pending_plan(), Some(&sim::plan(NEXT_PLAN)));
    next
}

/// Saves whatever the replica offers, until it waits for the next input.
fn save_all(driven: &mut Driven, mut outputs: Vec<Output>) {
    loop {
        let result = match outputs.last() {
            Some(Output::Swap { .. }) => Input::Swapped(Swapped::Saved),
            Some(Output::SwapEvidence) => Input::EvidenceSwapped(EvidenceSwapped::Done),
            Some(Output::Load) => Input::Loaded(Ok(Loaded::Unchanged)),
            _ => return,
        };
        outputs = driven.feed(result);
    }
}

#[test]
fn a_plan_that_changed_during_a_rollout_replaces_the_plan_when_the_rollout_is_over() {
    let mut driven = with_next_plan();
    let outputs = driven.tick(Verdict::Inconclusive);
    save_all(&mut driven, outputs);
    assert_eq!(driven.replica.rollout().plan(), &sim::plan(PLAN), "the rollout keeps its plan");
    let outputs = driven.command(Command::RollBack);
    save_all(&mut driven, outputs);
    assert_eq!(driven.replica.rollout().phase(), Phase::RolledBack);
    assert_eq!(driven.replica.rollout().plan(), &sim::plan(NEXT_PLAN));
    assert_eq!(driven.replica.pending_plan(), None);
    let outputs = driven.command(Command::Start);
    save_all(&mut driven, outputs);
    assert_eq!(driven.replica.rollout().weight(), sim::percent("3%"));
    let events = driven.replica.rollout().history().map(|event| event.kind.as_str());
    let events: Vec<_> = events.collect();
    let expected = ["started", "step_begun", "rolled_back", "plan_replaced", "started"];
    assert_eq!(events[..5], expected, "{events:?}");
}

#[test]
fn a_rollback_by_another_replica_makes_way_for_the_new_plan_too() {
    let mut driven = with_next_plan();
    let rolled_back = driven.rival(Command::RollBack);
    driven.feed(Input::StoreChanged);
    let outputs = driven.feed(Input::Loaded(Ok(Loaded::Found(rolled_back))));
    save_all(&mut driven, outputs);
    assert_eq!(driven.replica.rollout().plan(), &sim::plan(NEXT_PLAN));
}

#[test]
fn no_start_uses_the_old_plan_although_the_new_one_could_not_be_stored() {
    let mut driven = with_next_plan();
    driven.command(Command::RollBack);
    driven.feed(Input::Swapped(Swapped::Saved));
    // The deployment of the plan fails, and is repeated with the next tick.
    driven.feed(Input::Swapped(Swapped::Failed("away".to_owned())));
    assert_eq!(driven.replica.rollout().plan(), &sim::plan(PLAN));
    let outputs = driven.command(Command::Start);
    save_all(&mut driven, outputs);
    assert_eq!(driven.replica.rollout().plan(), &sim::plan(NEXT_PLAN));
    assert_eq!(driven.replica.rollout().weight(), sim::percent("3%"));
}

#[test]
fn a_restart_begins_with_the_new_plan() {
    let mut driven = with_next_plan();
    let outputs = driven.command(Command::SkipStep);
    save_all(&mut driven, outputs);
    assert_eq!(driven.replica.rollout().weight(), sim::percent("50%"));
    let now = "2026-11-24T09:00:00Z".parse().unwrap();
    let (rollout, next) = (driven.replica.rollout(), driven.replica.pending_plan());
    let preview = rollout.preview_with(now, &Command::Restart, next).unwrap();
    assert_eq!(
        preview.to_string(),
        "From the next call on, v2 gets 3% of the calls, not 50%. The new plan of this build applies. \
         A new attempt begins, without evidence."
    );
    let events: Vec<_> = preview.events.iter().map(EventKind::as_str).collect();
    assert_eq!(events, ["plan_replaced", "started", "step_begun"]);
    let other = rollout.preview_with(now, &Command::Pause, next).unwrap();
    assert_eq!(other, rollout.preview(now, &Command::Pause).unwrap());
    let outputs = driven.command(Command::Restart);
    save_all(&mut driven, outputs);
    assert_eq!(driven.replica.rollout().plan(), &sim::plan(NEXT_PLAN));
    assert_eq!(driven.replica.rollout().weight(), sim::percent("3%"));
    assert_eq!(driven.replica.rollout().attempt(), 2);
}

#[test]
fn a_plan_by_an_operator_holds_until_the_process_restarts() {
    let mut driven = with_next_plan();
    driven.command(Command::RollBack);
    driven.feed(Input::Swapped(Swapped::Saved));
    driven.feed(Input::Swapped(Swapped::Failed("away".to_owned())));
    let plan = "steps = [{ weight = '7%', min_duration = '1h' }]";
    let (by, reason) = (Actor::person("ada"), String::new());
    let plan = Box::new(sim::plan(plan));
    let id = CommandId(8);
    let outputs = driven.feed(Input::Plan { id, plan: plan.clone(), by, reason, seen: None });
    save_all(&mut driven, outputs);
    let outputs = driven.tick(Verdict::Inconclusive);
    save_all(&mut driven, outputs);
    let outputs = driven.command(Command::Start);
    save_all(&mut driven, outputs);
    assert_eq!(driven.replica.rollout().plan(), &*plan);
}

#[test]
fn a_plan_by_an_operator_at_another_replica_holds_too() {
    let operators = "steps = [{ weight = '7%', min_duration = '1h' }]";
    // The operator may also return to the plan of the rollout.
    for (is_deployed, plan) in [(false, operators), (true, operators), (true, PLAN)] {
        let [mut driven, mut other] = [with_next_plan(), with_next_plan()];
        other.command(Command::RollBack);
        other.feed(Input::Swapped(Swapped::Saved));
        other.feed(Input::Swapped(match is_deployed {
            true => Swapped::Saved,
            false => Swapped::Failed("away".to_owned()),
        }));
        let (by, reason, id) = (Actor::person("ada"), String::new(), CommandId(8));
        let plan = Box::new(sim::plan(plan));
        let outputs = other.feed(Input::Plan { id, plan: plan.clone(), by, reason, seen: None });
        save_all(&mut other, outputs);
        assert_eq!(other.replica.rollout().plan(), &*plan);

        let stored = Box::new(other.replica.rollout().clone());
        driven.feed(Input::StoreChanged);
        let outputs = driven.feed(Input::Loaded(Ok(Loaded::Found(stored))));
        save_all(&mut driven, outputs);
        let outputs = driven.tick(Verdict::Inconclusive);
        save_all(&mut driven, outputs);
        assert_eq!(driven.replica.pending_plan(), None);
        let outputs = driven.command(Command::Start);
        save_all(&mut driven, outputs);
        assert_eq!(driven.replica.rollout().plan(), &*plan);
        assert_eq!(driven.replica.pending_plan(), None);
    }
}
