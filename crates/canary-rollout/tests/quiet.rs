//! Quiet time: ticks that a driver may leave out.

#![allow(clippy::unwrap_used, reason = "test code")]

mod sim;

use std::time::Duration;

use canary_core::{StickySecret, Verdict};
use canary_rollout::{
    Actor, Command, Order, Phase, Tick, Timestamp,
    replica::{
        BEAT, Build, CommandId, EvidenceSwapped, Input, Loaded, Moment, Output, Replica, ReplicaId,
        Swapped,
    },
    tick::GateAnswer,
};

/// A replica with a store that always answers.
#[derive(Clone)]
struct Driver {
    replica: Replica,
    seconds: u64,
    /// The outputs without those about the store, as text.
    effects: Vec<String>,
    beats: usize,
}

impl Driver {
    fn new(plan: &str, auto_start: bool) -> Self {
        let build = Build {
            releases: sim::releases("v2"),
            plan: sim::plan(plan),
            auto_start,
            sticky_secret: StickySecret::from_bytes([1; 16]),
        };
        let replica = Replica::new("shop".parse().unwrap(), ReplicaId::from_random(1), build);
        Self { replica, seconds: 0, effects: Vec::new(), beats: 0 }
    }

    fn started(plan: &str) -> Self {
        let mut driver = Self::new(plan, false);
        driver.command(Command::Start);
        driver.effects.clear();
        driver
    }

    fn command(&mut self, command: Command) {
        let order = Order::new(command, Actor::person("ada"), "");
        self.feed(Input::Command { id: CommandId(7), order, seen: None });
    }

    fn moment(&self) -> Moment {
        let uptime = Duration::from_secs(self.seconds);
        let at: Timestamp = "2026-11-24T09:00:00Z".parse().unwrap();
        Moment { at: at + uptime, uptime, random: self.seconds }
    }

    fn feed(&mut self, input: Input) {
        let mut next = Some(input);
        while let Some(input) = next.take() {
            for output in self.replica.handle(self.moment(), input) {
                match output {
                    Output::Load => next = Some(Input::Loaded(Ok(Loaded::Absent))),
                    Output::Swap { .. } => next = Some(Input::Swapped(Swapped::Saved)),
                    Output::SwapEvidence => {
                        self.beats += 1;
                        next = Some(Input::EvidenceSwapped(EvidenceSwapped::Done));
                    }
                    Output::InForce | Output::ResumeEvidence => {}
                    other => self.effects.push(format!("{other:?}")),
                }
            }
        }
    }

    fn tick(&mut self, tick: &Tick) {
        self.feed(Input::Tick { tick: Box::new(tick.clone()), trip: None });
    }

    fn is_quiet(&self, seconds: u64, tick: &Tick) -> bool {
        let later = Self { seconds: self.seconds + seconds, ..self.clone() };
        self.replica.is_quiet(later.moment(), tick)
    }

    /// Passes some seconds with this time between two ticks.
    fn pass(mut self, seconds: u64, between: u64, tick: &Tick) -> Self {
        self.effects.clear();
        for _ in 0..seconds / between {
            self.seconds += between;
            self.tick(tick);
        }
        self
    }
}

fn tick(verdict: Verdict) -> Tick {
    Tick::new(verdict, "evidence")
}

const PLANS: [&str; 7] = [
    "steps = [{ weight = '1%', min_duration = '23s', min_calls = 20 },
              { weight = '50%', min_duration = '41s', min_calls = 5 }]
     bake = { duration = '17s' }",
    "on_inconclusive = 'roll_back'
     steps = [{ weight = '5%', min_calls = 200, deadline = '57s' }]",
    "deadline = '61s'
     steps = [{ weight = '5%', min_duration = '31s', min_calls = 5000 }]",
    "start = { probes = ['p'] }
     steps = [{ weight = '5%', min_duration = '5m', probes = ['p'] }]
     probes = { p = { kind = { function = 'p' }, every = '13s', failure_threshold = 2 } }",
    "steps = [{ weight = '5%', min_duration = '7s', gates = ['g'] }]
     gates = { g = { kind = { function = 'g' }, every = '19s', deadline = '83s' } }",
    "on_degraded = { ramp_down = { over = '40s' } }
     steps = [{ weight = '20%', min_duration = '1h' }]",
    "steps = [{ weight = '5%', min_duration = '5s', min_calls = 1 },
              { weight = '30%', min_duration = '9s', min_calls = 1 }]
     calendar = { hours = ['09:00-09:01', '09:02-24:00'] }",
];

/// The guarantee of `Replica::is_quiet`.
#[test]
fn ticks_of_quiet_time_have_no_effect_and_the_next_tick_counts_their_time() {
    for plan in PLANS {
        let (mut driver, mut quiet_seconds, mut effects) = (Driver::started(plan), 0, 0);
        for second in 1..180 {
            let calls = if second % 40 < 8 { 4 } else { 0 };
            let verdict = match second {
                150.. => Verdict::Degraded,
                _ if second % 60 < 30 => Verdict::Healthy,
                _ => Verdict::Inconclusive,
            };
            driver.seconds += 1;
            let mut now = tick(verdict).with_calls(calls);
            if second == 70 {
                now = now.with_answer("g", GateAnswer::NotYet("asked".to_owned()));
            }
            driver.tick(&now);
            let next = tick(verdict);
            if driver.is_quiet(5, &next) {
                quiet_seconds += 1;
                let each = driver.clone().pass(5, 1, &next);
                let one = driver.clone().pass(5, 5, &next);
                assert!(each.effects.is_empty(), "{plan} at {second} s: {:?}", each.effects);
                let states = [&each, &one].map(|it| it.replica.rollout().state().clone());
                assert_eq!(states[0], states[1], "{plan} at {second} s");
            } else {
                effects += driver.clone().pass(5, 1, &next).effects.len();
            }
        }
        assert!(quiet_seconds > 20, "{plan}: {quiet_seconds} s");
        assert!(effects > 0, "{plan}");
    }
}

#[test]
fn a_raise_that_is_due_before_the_calendar_closes_is_not_left_out() {
    let mut driver = Driver::started(
        "on_inconclusive = 'advance'
         steps = [{ weight = '5%', min_duration = '1s', min_calls = 1, deadline = '178s' },
                  { weight = '50%' }]
         calendar = { hours = ['09:00-09:01', '09:02-09:03'] }",
    );
    for second in 1..=175 {
        driver.seconds += 1;
        // The proof comes while the calendar is closed, and is gone when it opens.
        let verdict =
            if (61..90).contains(&second) { Verdict::Healthy } else { Verdict::Inconclusive };
        driver.tick(&tick(verdict).with_calls(1));
    }
    let next = tick(Verdict::Inconclusive);
    assert!(!driver.is_quiet(5, &next));
    let weight = driver.pass(5, 1, &next).replica.rollout().weight();
    assert_eq!(weight.to_string(), "50%");
}

#[test]
fn nothing_is_quiet_that_waits_for_a_tick() {
    let next = tick(Verdict::Inconclusive);
    let mut new = Driver::new(PLANS[0], false);
    assert!(!new.is_quiet(5, &next), "the rollout is not loaded");
    new.tick(&next);
    assert!(new.is_quiet(5, &next), "no rollout is in progress");

    let mut starts = Driver::new(PLANS[0], true);
    starts.tick(&next);
    assert!(starts.replica.rollout().phase() == Phase::Running || !starts.is_quiet(5, &next));

    let driver = Driver::started(PLANS[2]);
    assert!(driver.is_quiet(5, &next), "nothing is due");
    let mut behind = driver.clone();
    behind.replica.handle(behind.moment(), Input::StoreChanged);
    assert!(!behind.is_quiet(5, &next), "another replica has saved the rollout");

    let mut unsaved = driver.clone();
    let order = Order::new(Command::Pause, Actor::person("ada"), "");
    let pause = Input::Command { id: CommandId(1), order, seen: None };
    unsaved.replica.handle(unsaved.moment(), pause);
    let failed = Input::Swapped(Swapped::Failed("away".to_owned()));
    unsaved.replica.handle(unsaved.moment(), failed);
    assert!(!unsaved.is_quiet(5, &next), "a change is not saved");

    let mut follower = driver;
    follower.feed(Input::EvidenceSeen(Some(ReplicaId::from_random(2))));
    assert!(!follower.is_quiet(5, &next), "the driver has to be watched");
}

#[test]
fn beats_go_on_in_quiet_time() {
    let mut driver = Driver::started(PLANS[2]);
    driver.beats = 0;
    for _ in 0..20 {
        driver.seconds += 1;
        driver.feed(Input::Beat);
    }
    assert_eq!(driver.beats, 10, "one per {BEAT:?}");
    assert!(driver.effects.is_empty(), "{:?}", driver.effects);

    let mut idle = Driver::new(PLANS[2], false);
    idle.tick(&tick(Verdict::Inconclusive));
    idle.seconds += 100;
    idle.feed(Input::Beat);
    assert_eq!(idle.beats, 0, "only a driver has beats");
}
