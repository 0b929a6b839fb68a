//! What holds whatever happens, shown by random histories.

#![allow(clippy::unwrap_used, reason = "all of it is tests")]

mod sim;

use std::time::Duration;

use canary_core::{Verdict, Weight};
use canary_rollout::{
    Action, Actor, Command, Order, Phase, Plan, Rollout, State, Tick, Timestamp, Transition,
    command::Refusal,
    plan::{Bake, OnInconclusive},
    state::{PromotionBasis, Stage},
    tick::{GateAnswer, ProbeOutcome},
};
use proptest::prelude::*;

/// Short enough for random histories to reach the end.
const PLANS: [&str; 5] = [
    "steps = [
        { weight = '1%', min_duration = '15s', min_calls = 20 },
        { weight = '10%', min_duration = '5s', min_calls = 10 },
        { weight = '50%', min_calls = 5 },
    ]
    bake = { duration = '10s' }",
    "on_degraded = 'freeze'
    on_inconclusive = 'advance'
    deadline = '5m'
    start = { probes = ['p'], gates = ['g'] }
    steps = [
        { weight = '5%', min_duration = '5s', min_calls = 1, deadline = '30s', gates = ['g'] },
        { weight = '20%', min_calls = 1, deadline = '20s', probes = ['p'] },
    ]
    bake = { duration = '10s', deadline = '30s', holdback = '5%' }
    gates = { g = { kind = { approval = 'g' }, deadline = '20s' } }
    probes = { p = { kind = { function = 'p' }, every = '5s', failure_threshold = 2 } }",
    "on_degraded = { ramp_down = { over = '40s' } }
    on_inconclusive = 'roll_back'
    steps = [{ weight = '5%', min_duration = '5s', min_calls = 5, deadline = '60s', gates = ['g'] }]
    gates = { g = { kind = { webhook = { url = 'http://x' } }, deadline = '20s', on_rejected = 'roll_back' } }",
    "max_weight = '30%'
    advance_when = 'healthy'
    steps = [{ weight = '5%', min_calls = 1 }, { weight = '30%', min_duration = '9s', min_calls = 1 }]",
    "steps = [{ weight = '5%', min_calls = 1 }, { weight = '30%', min_duration = '9s', min_calls = 1 }]
    bake = { duration = '10s' }
    calendar = { hours = ['09:00-09:01', '09:02-24:00'] }",
];

#[derive(Clone, Debug)]
enum Input {
    Tick {
        millis: i64,
        verdict: Verdict,
        calls: u64,
        gate: Option<GateAnswer>,
        probe: Option<bool>,
    },
    Command(Command),
    Release(bool),
}

/// A rollout, and what an honest witness has seen of it.
struct Witness {
    rollout: Rollout,
    now: Timestamp,
    /// Of the step that runs: time that was ticked through, and calls.
    seen: Duration,
    calls: u64,
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        12 => Just(Verdict::Healthy),
        6 => Just(Verdict::Inconclusive),
        1 => Just(Verdict::Degraded),
    ]
}

fn ticks() -> impl Strategy<Value = Input> {
    const DAY: i64 = 86_400_000;
    let millis = prop_oneof![
        20 => 500..4_000_i64,
        3 => 9_000..12_000_i64,
        1 => -3_000..0_i64,
        1 => prop::sample::select(vec![DAY, -DAY, 0, 3_600_000, -3_600_000]),
    ];
    let calls = prop_oneof![3 => 0..20_u64, 1 => Just(0), 1 => 0..u64::MAX];
    let answers =
        vec![GateAnswer::Open, GateAnswer::NotYet("no".into()), GateAnswer::Rejected("no".into())];
    let gate = prop::option::weighted(0.2, prop::sample::select(answers));
    let probe = prop::option::weighted(0.4, prop::bool::weighted(0.8));
    (millis, verdicts(), calls, gate, probe).prop_map(|(millis, verdict, calls, gate, probe)| {
        Input::Tick { millis, verdict, calls, gate, probe }
    })
}

fn commands() -> impl Strategy<Value = Command> {
    let weight = prop_oneof![Just(0_u32), 0..1_000_000_u32, Just(1_000_000)];
    prop_oneof![
        6 => Just(Command::Start),
        1 => Just(Command::Pause),
        4 => Just(Command::Resume),
        2 => Just(Command::SkipStep),
        2 => weight.prop_map(|ppm| Command::SetWeight { weight: Weight::from_ppm(ppm) }),
        1 => Just(Command::Promote),
        1 => Just(Command::PromoteFully),
        1 => Just(Command::RollBack),
        1 => Just(Command::Halt),
        3 => Just(Command::LiftHalt),
        2 => Just(Command::Restart),
        3 => Just(Command::Approve { gate: "g".into() }),
        1 => Just(Command::Reject { gate: "g".into() }),
    ]
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let input = prop_oneof![
        12 => ticks(),
        3 => commands().prop_map(Input::Command),
        1 => prop::bool::weighted(0.9).prop_map(Input::Release),
    ];
    prop::collection::vec(input, 1..80).prop_map(|mut inputs| {
        inputs.insert(0, Input::Command(Command::Start));
        inputs
    })
}

impl Witness {
    fn new(plan: usize) -> Self {
        let plan = sim::plan(PLANS[plan]);
        let rollout = Rollout::new("shop".parse().unwrap(), sim::releases("v2"), plan);
        let now = "2026-11-24T09:00:30Z".parse().unwrap();
        Self { rollout, now, seen: Duration::ZERO, calls: 0 }
    }

    /// Applies the input, and returns what came of it.
    fn apply(&mut self, input: &Input) -> Result<Transition, Refusal> {
        match input {
            Input::Tick { millis, verdict, calls, gate, probe } => {
                let before = self.now;
                self.now = Timestamp::from_millis(before.as_millis() + millis);
                if self.rollout.phase() == Phase::Running {
                    self.seen += self.now.since(before).min(Rollout::MAX_TICK);
                    self.calls = self.calls.saturating_add(*calls);
                }
                let mut tick = Tick::new(*verdict, "evidence").with_calls(*calls);
                if let Some(answer) = gate {
                    tick = tick.with_answer("g", answer.clone());
                }
                if let Some(passed) = probe {
                    let failed = ProbeOutcome::Failed("status 500".into());
                    tick =
                        tick.with_probe("p", if *passed { ProbeOutcome::Passed } else { failed });
                }
                Ok(self.rollout.tick(self.now, &tick))
            }
            Input::Command(command) => {
                let order = Order::new(command.clone(), Actor::person("anna"), "\"why\"");
                self.rollout.command(self.now, &order)
            }
            Input::Release(is_same) => {
                let canary = if *is_same { "v2" } else { "v3" };
                Ok(self.rollout.set_releases(self.now, sim::releases(canary)))
            }
        }
    }
}

/// The step that runs, or is paused.
fn step(rollout: &Rollout) -> Option<usize> {
    match rollout.state().stage() {
        Some(Stage::Step { step }) => Some(step),
        _ => None,
    }
}

fn bake_weight(plan: &Plan) -> Weight {
    let holdback = plan.bake().map_or(0, |Bake { holdback, .. }| holdback.ppm());
    Weight::from_ppm(1_000_000 - holdback)
}

/// The highest weight that a state may ask for.
fn limit(rollout: &Rollout) -> Weight {
    let plan = rollout.plan();
    match rollout.state() {
        State::Running { step, .. } => plan.steps()[*step].weight,
        State::Paused { stage: Stage::Bake { .. }, .. } => bake_weight(plan),
        State::Paused { .. } => plan.max_weight(),
        State::RampingDown { from, .. } => *from,
        State::Baking { .. } => bake_weight(plan),
        State::Promoted { .. } => Weight::FULL,
        _ => Weight::ZERO,
    }
}

/// Whether the input is a proof, a person's word, or the plan's leave to promote.
fn is_warranted(before: &Rollout, input: &Input) -> bool {
    match input {
        Input::Tick { verdict: Verdict::Healthy, .. } => true,
        Input::Tick { verdict: Verdict::Inconclusive, .. } => {
            let is_manual = |basis: &PromotionBasis| matches!(basis, PromotionBasis::Manual { .. });
            let is_baked_on_word =
                matches!(before.state(), State::Baking { basis, .. } if is_manual(basis));
            before.plan().on_inconclusive() == OnInconclusive::Advance || is_baked_on_word
        }
        Input::Command(Command::Promote | Command::PromoteFully) => true,
        // A bake that was paused goes on.
        Input::Command(Command::Resume) => {
            matches!(before.state(), State::Paused { stage: Stage::Bake { .. }, .. })
        }
        _ => false,
    }
}

const fn rank(phase: Phase) -> u8 {
    match phase {
        Phase::Promoted => 2,
        Phase::Baking => 1,
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_weight_is_within_the_plan(plan in 0..PLANS.len(), inputs in inputs()) {
        let mut witness = Witness::new(plan);
        for input in &inputs {
            let _ = witness.apply(input);
            let rollout = &witness.rollout;
            prop_assert!(rollout.weight() <= limit(rollout), "{:?} at {}", rollout.state(), rollout.weight());
            if !matches!(rollout.phase(), Phase::Baking | Phase::Promoted | Phase::RampingDown) {
                let in_bake = matches!(rollout.state().stage(), Some(Stage::Bake { .. }));
                prop_assert!(in_bake || rollout.weight() <= rollout.plan().max_weight());
            }
        }
    }

    #[test]
    fn nothing_but_a_start_raises_the_weight_after_a_rollback_or_a_halt(
        plan in 0..PLANS.len(), inputs in inputs()
    ) {
        let mut witness = Witness::new(plan);
        let mut is_back = false;
        for input in &inputs {
            let attempt = witness.rollout.attempt();
            let phase = witness.rollout.phase();
            let _ = witness.apply(input);
            let rollout = &witness.rollout;
            if rollout.attempt() > attempt {
                let is_start = matches!(
                    input,
                    Input::Command(Command::Start | Command::Restart | Command::SetWeight { .. })
                );
                prop_assert!(is_start, "{input:?} is no start");
                prop_assert!(phase != Phase::Halted, "started in a halt");
                is_back = false;
            }
            if is_back {
                prop_assert_eq!(rollout.weight(), Weight::ZERO);
            }
            is_back |= matches!(rollout.phase(), Phase::RolledBack | Phase::Halted);
        }
    }

    #[test]
    fn a_halt_ends_by_a_release_only(plan in 0..PLANS.len(), inputs in inputs()) {
        let mut witness = Witness::new(plan);
        for input in &inputs {
            let was_halted = witness.rollout.phase() == Phase::Halted;
            let _ = witness.apply(input);
            if was_halted && witness.rollout.phase() != Phase::Halted {
                prop_assert!(matches!(input, Input::Command(Command::LiftHalt)), "{:?}", input);
                prop_assert_eq!(witness.rollout.phase(), Phase::RolledBack);
            }
        }
    }

    #[test]
    fn a_promotion_rests_on_proof_or_on_somebodys_word(
        plan in 0..PLANS.len(), inputs in inputs()
    ) {
        let mut witness = Witness::new(plan);
        for input in &inputs {
            let before = witness.rollout.clone();
            let _ = witness.apply(input);
            if rank(witness.rollout.phase()) > rank(before.phase()) {
                prop_assert!(is_warranted(&before, input), "{:?} after {:?}", input, before.state());
                let is_by_itself = matches!(input, Input::Tick { .. });
                if is_by_itself && before.phase() == Phase::Running {
                    prop_assert_eq!(before.plan().max_weight(), Weight::FULL);
                }
            }
        }
    }

    #[test]
    fn a_step_is_left_only_after_its_time_and_calls_whatever_the_clock_does(
        plan in 0..PLANS.len(), inputs in inputs()
    ) {
        let mut witness = Witness::new(plan);
        for input in &inputs {
            let before = (step(&witness.rollout), witness.rollout.attempt());
            let _ = witness.apply(input);
            let after = (step(&witness.rollout), witness.rollout.attempt());
            let is_promoted = rank(witness.rollout.phase()) > 0;
            if let (Some(step), Input::Tick { .. }) = (before.0, input)
                && (after.0 > before.0 || is_promoted)
            {
                let step = &witness.rollout.plan().steps()[step];
                prop_assert!(witness.seen >= step.min_duration, "after {:?}", witness.seen);
                prop_assert!(witness.calls >= step.min_calls, "after {} calls", witness.calls);
            }
            if after != before {
                (witness.seen, witness.calls) = (Duration::ZERO, 0);
            }
        }
    }

    #[test]
    fn a_degraded_canary_never_gets_more_calls(plan in 0..PLANS.len(), inputs in inputs()) {
        let mut witness = Witness::new(plan);
        for input in &inputs {
            let before = witness.rollout.clone();
            let _ = witness.apply(input);
            if before.phase() == Phase::RampingDown {
                prop_assert!(witness.rollout.weight() <= before.weight());
            }
            if let Input::Tick { verdict: Verdict::Degraded, .. } = input {
                prop_assert!(witness.rollout.weight() <= before.weight());
                prop_assert_eq!(rank(witness.rollout.phase()) / 2, rank(before.phase()) / 2);
                let phase = witness.rollout.phase();
                prop_assert!(!matches!(phase, Phase::Starting | Phase::Running | Phase::Baking));
            }
        }
    }

    #[test]
    fn the_plan_raises_nothing_while_the_calendar_is_closed(inputs in inputs()) {
        let mut witness = Witness::new(4);
        for input in &inputs {
            let before = witness.rollout.weight();
            let _ = witness.apply(input);
            let calendar = witness.rollout.plan().calendar().unwrap();
            if matches!(input, Input::Tick { .. }) && !calendar.is_open(witness.now) {
                prop_assert!(witness.rollout.weight() <= before);
            }
        }
    }

    #[test]
    fn the_same_inputs_have_the_same_outcome_stored_between_or_not(
        plan in 0..PLANS.len(), inputs in inputs()
    ) {
        let (mut one, mut other) = (Witness::new(plan), Witness::new(plan));
        for input in &inputs {
            let stored = serde_json::to_string(&other.rollout).unwrap();
            other.rollout = serde_json::from_str(&stored).unwrap();
            prop_assert_eq!(one.apply(input), other.apply(input));
            prop_assert_eq!(&one.rollout, &other.rollout);
        }
    }

    #[test]
    fn a_refusal_changes_nothing_and_names_what_is_allowed(
        plan in 0..PLANS.len(), inputs in inputs()
    ) {
        let mut witness = Witness::new(plan);
        for input in &inputs {
            let before = witness.rollout.clone();
            if let Err(refusal) = witness.apply(input) {
                prop_assert_eq!(&witness.rollout, &before);
                prop_assert!(!refusal.allowed.is_empty());
                // Another weight, or another gate, might be allowed.
                let depends = matches!(
                    input,
                    Input::Command(Command::SetWeight { .. } | Command::Approve { .. })
                );
                prop_assert!(depends || !refusal.allowed.contains(&refusal.command));
            }
        }
    }

    #[test]
    fn what_lowers_comes_before_saving_and_what_raises_after(
        plan in 0..PLANS.len(), inputs in inputs()
    ) {
        let mut witness = Witness::new(plan);
        for input in &inputs {
            let (generation, before) = (witness.rollout.generation(), witness.rollout.weight());
            let Ok(outcome) = witness.apply(input) else { continue };
            let saves = outcome.actions.iter().filter(|action| **action == Action::Save).count();
            prop_assert_eq!(witness.rollout.generation(), generation + u64::try_from(saves).unwrap());
            if outcome.events.is_empty() && witness.rollout.weight() == before {
                continue;
            }
            prop_assert_eq!(saves, 1);
            let save = outcome.actions.iter().position(|it| *it == Action::Save).unwrap();
            let mut weight = before;
            for (index, action) in outcome.actions.iter().enumerate() {
                let next = match action {
                    Action::SetWeight(weight) => *weight,
                    Action::RollBack | Action::Halt(_) => Weight::ZERO,
                    Action::Promote => Weight::FULL,
                    _ => continue,
                };
                prop_assert!(next <= weight || index > save, "{:?}", outcome.actions);
                prop_assert!(next >= weight || index < save, "{:?}", outcome.actions);
                weight = next;
            }
            prop_assert_eq!(weight, witness.rollout.weight(), "the data plane is told");
        }
    }

    #[test]
    fn a_stored_rollout_is_short_and_its_events_are_in_order(
        plan in 0..PLANS.len(), inputs in inputs(), noise in "\\PC{0,300}"
    ) {
        let mut witness = Witness::new(plan);
        let mut latest = 0;
        for input in &inputs {
            let order = Order::new(Command::Pause, Actor::person(&noise), &noise);
            let _ = witness.rollout.command(witness.now, &order);
            let Ok(outcome) = witness.apply(input) else { continue };
            if outcome.actions.contains(&Action::Save) {
                let stored = serde_json::to_string(&witness.rollout).unwrap();
                prop_assert!(stored.len() <= Rollout::MAX_BYTES);
            }
            let numbers: Vec<u64> = witness.rollout.history().map(|event| event.number).collect();
            prop_assert!(numbers.len() <= 64);
            prop_assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
            prop_assert!(numbers.last() >= Some(&latest));
            latest = numbers.last().copied().unwrap_or_default();
        }
    }
}
