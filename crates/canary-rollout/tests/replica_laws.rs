//! Laws of replicas that share a store, with random faults, rivals, restarts and restored backups.

#![allow(clippy::unwrap_used, reason = "test code")]

mod sim;

use std::collections::BTreeMap;

use canary_core::{Verdict, Weight};
use canary_rollout::{
    Actor, Command, Order, Phase, Timestamp,
    event::{Event, EventKind},
    replica::StoreState,
};
use proptest::prelude::*;

use crate::sim::cluster::{Cluster, Fault};

const PLAN: &str = "
steps = [
    { weight = '1%', min_duration = '10s', min_calls = 20 },
    { weight = '10%', min_duration = '5s', min_calls = 10 },
    { weight = '50%', min_calls = 5 },
]
bake = { duration = '10s' }";

#[derive(Clone, Debug)]
enum Step {
    Tick(usize, Verdict, u64),
    Command(usize, Command),
    Watch(usize),
    Trip(usize),
    /// The next requests fail in these ways.
    Faults(Vec<Fault>),
    Outage(Option<Fault>),
    /// Time passes, and no replica runs.
    Freeze(u64),
    Restart(usize),
    BackUp,
    Restore,
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        20 => Just(Verdict::Healthy),
        5 => Just(Verdict::Inconclusive),
        1 => Just(Verdict::Degraded),
    ]
}

fn commands() -> impl Strategy<Value = Command> {
    prop_oneof![
        4 => Just(Command::Start),
        2 => Just(Command::Pause),
        4 => Just(Command::Resume),
        2 => Just(Command::SkipStep),
        2 => (0..900_000_u32).prop_map(|ppm| Command::SetWeight { weight: Weight::from_ppm(ppm) }),
        1 => Just(Command::Promote),
        1 => Just(Command::PromoteFully),
        1 => Just(Command::RollBack),
        1 => Just(Command::Halt),
        2 => Just(Command::LiftHalt),
        1 => Just(Command::Restart),
    ]
}

fn faults() -> impl Strategy<Value = Fault> {
    prop::sample::select(vec![
        Fault::None,
        Fault::Unavailable,
        Fault::RequestLost,
        Fault::ReplyLost,
    ])
}

fn steps(with_restore: bool) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        30 => (0..2_usize, verdicts(), 0..30_u64).prop_map(|(n, v, c)| Step::Tick(n, v, c)),
        6 => (0..2_usize, commands()).prop_map(|(n, command)| Step::Command(n, command)),
        12 => (0..2_usize).prop_map(Step::Watch),
        1 => (0..2_usize).prop_map(Step::Trip),
        4 => prop::collection::vec(faults(), 1..6).prop_map(Step::Faults),
        1 => faults().prop_map(|fault| Step::Outage(Some(fault))),
        3 => Just(Step::Outage(None)),
        1 => (1..30_u64).prop_map(Step::Freeze),
        1 => (0..2_usize).prop_map(Step::Restart),
        1 => Just(Step::BackUp),
        1 => Just(Step::Restore),
    ];
    prop::collection::vec(step, 1..120).prop_map(move |mut steps| {
        steps.retain(|step| with_restore || !matches!(step, Step::Restore));
        steps.insert(0, Step::Command(0, Command::Start));
        steps
    })
}

/// Two replicas of one build, and what has to hold between their steps.
struct Checked {
    cluster: Cluster,
    /// The start that each replica has rolled back.
    rolled_back: [Option<Event>; 2],
    /// The weights to which each replica has lowered its own. They are in force before they are stored.
    lowered: [Vec<Weight>; 2],
}

fn order(command: Command) -> Order {
    Order::new(command, Actor::person("ada"), "because")
}

impl Checked {
    fn new() -> Self {
        let cluster = Cluster::new(PLAN, &["v2", "v2"]);
        Self { cluster, rolled_back: [None, None], lowered: [vec![], vec![]] }
    }

    fn apply(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let cluster = &mut self.cluster;
        let before = [0, 1].map(|n: usize| cluster.nodes[n].weight);
        match step {
            Step::Tick(n, verdict, calls) => cluster.tick(*n, *verdict, *calls),
            Step::Command(n, command) => {
                let id = cluster.command(*n, order(command.clone()));
                if let Some(Ok(transition)) = cluster.nodes[*n].replies.get(&id)
                    && transition.note.is_none()
                {
                    for event in &transition.events {
                        let is_stored = cluster.store.events.contains(event);
                        prop_assert!(is_stored, "{event} is acknowledged and not stored");
                    }
                }
            }
            Step::Watch(n) => cluster.watch(*n),
            Step::Trip(n) => cluster.trip(*n),
            Step::Faults(faults) => cluster.faults.clone_from(faults),
            Step::Outage(fault) => cluster.outage = *fault,
            Step::Freeze(seconds) => cluster.pass(std::time::Duration::from_secs(*seconds)),
            Step::Restart(n) => {
                cluster.restart(*n, "v2");
                self.rolled_back[*n] = None;
                self.lowered[*n].clear();
                return Ok(());
            }
            Step::BackUp => cluster.store.back_up(),
            Step::Restore => cluster.store.restore(),
        }
        self.check(before)
    }

    fn check(&mut self, before: [Weight; 2]) -> Result<(), TestCaseError> {
        for n in 0..2 {
            let Cluster { store, nodes, .. } = &mut self.cluster;
            let node = &mut nodes[n];
            let mut weight = before[n];
            for next in node.take_weights() {
                if next > weight {
                    // A restart that cannot be stored returns to the weight before it.
                    prop_assert!(
                        store.weights.contains(&next) || self.lowered[n].contains(&next),
                        "replica {n} at {next}, which was never stored"
                    );
                } else {
                    self.lowered[n].push(next);
                }
                weight = next;
            }
            let rollout = node.replica.rollout();
            // After a backup was restored, the number of an attempt can be used again.
            let started =
                rollout.history().rfind(|it| matches!(it.kind, EventKind::Started { .. }));
            let started = started.cloned();
            if started.is_some() && self.rolled_back[n] == started {
                prop_assert_eq!(node.weight, Weight::ZERO, "replica {} has rolled back", n);
            } else {
                self.rolled_back[n] = None;
            }
            if matches!(rollout.phase(), Phase::RolledBack | Phase::Halted) {
                self.rolled_back[n] = started;
            }
        }
        Ok(())
    }

    /// Ends all faults and lets the replicas agree.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        self.cluster.faults.clear();
        self.cluster.outage = None;
        for round in 0..40 {
            self.apply(&Step::Tick(round % 2, Verdict::Inconclusive, 0))?;
            self.apply(&Step::Watch(0))?;
            self.apply(&Step::Watch(1))?;
        }
        Ok(())
    }
}

/// An event without its number, which it gets again when it is merged.
fn content(event: &Event) -> (Timestamp, String, String) {
    (event.at, event.by.to_string(), event.kind.to_string())
}

#[test]
fn a_restart_that_cannot_be_stored_returns_to_the_weight_before_it() {
    let mut checked = Checked::new();
    let weight = |ppm| Command::SetWeight { weight: Weight::from_ppm(ppm) };
    for step in [
        Step::Command(0, Command::Start),
        Step::Command(0, weight(466_386)),
        Step::Tick(1, Verdict::Healthy, 0),
        Step::Outage(Some(Fault::Unavailable)),
        Step::Command(1, weight(1)),
        Step::Command(1, Command::Restart),
    ] {
        checked.apply(&step).unwrap();
    }
    assert_eq!(checked.cluster.nodes[1].weight, Weight::from_ppm(1));
    checked.settle().unwrap();
}

#[test]
fn a_save_after_an_outage_is_not_taken_for_an_older_rollout() {
    let (healthy, unavailable) = (Verdict::Healthy, Fault::Unavailable);
    let mut checked = Checked::new();
    for step in [
        Step::Command(0, Command::Start),
        Step::Faults(vec![unavailable]),
        Step::Tick(0, healthy, 0),
        Step::Faults(vec![unavailable, unavailable, unavailable, Fault::None, unavailable]),
        Step::Tick(0, healthy, 0),
        Step::Command(1, Command::SkipStep),
        Step::Tick(0, healthy, 0),
        Step::Tick(0, healthy, 0),
        Step::Tick(0, healthy, 0),
        Step::Faults(vec![unavailable]),
        Step::Command(0, Command::Pause),
        Step::Tick(1, healthy, 0),
        Step::Tick(0, healthy, 0),
    ] {
        checked.apply(&step).unwrap();
    }
    checked.settle().unwrap();
    let events = checked.cluster.store.events.iter().map(|event| event.kind.to_string());
    assert_eq!(events.collect::<Vec<_>>(), ["started (attempt 1)", "began step 1", "paused"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_raised_weight_is_stored_and_nothing_raises_it_after_a_rollback(steps in steps(true)) {
        let mut checked = Checked::new();
        for step in &steps {
            checked.apply(step)?;
        }
        checked.settle()?;
    }

    #[test]
    fn replicas_agree_when_the_store_answers_again(steps in steps(true)) {
        let mut checked = Checked::new();
        for step in &steps {
            checked.apply(step)?;
        }
        checked.settle()?;
        let [one, other] = &checked.cluster.nodes[..] else { unreachable!() };
        let stored = checked.cluster.store.stored().unwrap();
        for node in [one, other] {
            prop_assert_eq!(node.replica.store(), &StoreState::InSync);
            prop_assert_eq!(node.replica.rollout().state().stage(), stored.state().stage());
            prop_assert_eq!(node.weight, stored.weight());
            prop_assert!(node.replica.unsaved().is_empty());
        }
        let drivers = [one, other].map(|node| node.replica.is_driving());
        prop_assert!(drivers != [true, true], "both drive");
    }

    #[test]
    fn each_event_is_stored_once_and_emitted_in_order(steps in steps(false)) {
        let mut checked = Checked::new();
        let mut recorded = Vec::new();
        for step in &steps {
            let restarts = matches!(step, Step::Restart(_));
            checked.apply(step)?;
            if restarts {
                // Events that were not stored are lost with their process.
                recorded.clear();
            }
            for node in &checked.cluster.nodes {
                recorded.extend(node.replica.unsaved().iter().map(content));
            }
        }
        checked.settle()?;
        let cluster = &checked.cluster;
        let mut by_number = BTreeMap::<u64, Event>::new();
        for event in &cluster.store.events {
            let known = by_number.insert(event.number, event.clone());
            prop_assert_eq!(known, None, "a number has two events");
        }
        let numbers: Vec<_> = by_number.keys().copied().collect();
        prop_assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{:?}", numbers);
        for node in &cluster.nodes {
            let emitted: Vec<_> = node.emitted.iter().map(|event| event.number).collect();
            prop_assert!(emitted.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{:?}", emitted);
        }
        let stored: Vec<_> = by_number.values().map(content).collect();
        for event in recorded {
            prop_assert!(stored.contains(&event), "{event:?} is lost");
        }
    }
}
