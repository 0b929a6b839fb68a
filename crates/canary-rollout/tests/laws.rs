//! Tests of the guarantees R1 to R14 with random inputs.

#![allow(clippy::unwrap_used, reason = "test code")]

mod sim;

use std::time::Duration;

use canary_core::{Verdict, Weight};
use canary_rollout::{
    Action, Actor, Command, Lineage, Order, Phase, Plan, Rollout, State, Tick, Timestamp,
    Transition,
    command::Refusal,
    plan::{Bake, OnInconclusive},
    state::{PromotionBasis, Stage, StoreLoss},
    tick::{GateAnswer, ProbeOutcome},
    variables::{VariablePatch, VariablePatches},
};
use proptest::prelude::*;

/// Plans that are short enough for random inputs to reach their end.
const PLANS: [&str; 9] = [
    "steps = [
        { weight = '0%', min_duration = '3s', deadline = 'none' },
        { weight = '1%', min_duration = '15s', min_calls = 20 },
        { weight = '10%', min_duration = '5s', min_calls = 10 },
        { weight = '50%', min_calls = 5 },
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
    "without_proof_after = '20s'
    steps = [
        { weight = '10%', min_duration = '5s', min_calls = 5 },
        { weight = '50%', min_duration = '10s', min_calls = 5 },
        { weight = '100%', min_duration = '10s', min_calls = 5 },
        { weight = '100%', min_calls = 5 },
    ]",
    "steps = [
        { weight = '50%', min_duration = '5s', min_calls = 5 },
        { weight = '100%', min_duration = '5s', min_calls = 5 },
    ]
    calendar = { hours = ['09:00-09:01', '09:02-24:00'] }",
    "monitors = [{ measure = 'failures', from_step = 3 }, { measure = 'cancelled', from_step = 2 }]
    steps = [
        { weight = '10%', min_calls = 5 },
        { weight = '10%', min_duration = '5s', min_calls = 5 },
        { weight = '50%', min_calls = 5 },
    ]
    bake = { duration = '10s' }
    calendar = { hours = ['09:00-09:01', '09:02-24:00'] }",
    "by_hand = true",
];

/// The indices of the plans with a calendar.
const WITH_CALENDAR: [usize; 3] = [4, 6, 7];

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
    SetReleases(bool),
}

/// A rollout, with independent counts of its current step.
struct Tracked {
    rollout: Rollout,
    now: Timestamp,
    elapsed: Duration,
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

/// Changes of up to three variables.
fn variables() -> impl Strategy<Value = VariablePatch> {
    let value = prop::option::of(0..3_u8);
    let names = prop::sample::subsequence(vec!["backend", "limit", "database"], 0..=3);
    names.prop_flat_map(move |names| {
        let values = prop::collection::vec(value.clone(), names.len());
        values.prop_map(move |values| {
            names.iter().zip(values).fold(
                VariablePatch::new(),
                |patch, (name, value)| match value {
                    Some(value) => patch.set(*name, value),
                    None => patch.remove(*name),
                },
            )
        })
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
        2 => (variables(), variables()).prop_map(|(stage, overrides)| {
            let mut patches = VariablePatches::of_stage(stage);
            patches.overrides = overrides;
            Command::SetVariables(patches)
        }),
    ]
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let input = prop_oneof![
        12 => ticks(),
        3 => commands().prop_map(Input::Command),
        1 => prop::bool::weighted(0.9).prop_map(Input::SetReleases),
    ];
    prop::collection::vec(input, 1..80).prop_map(|mut inputs| {
        inputs.insert(0, Input::Command(Command::Start));
        inputs
    })
}

impl Tracked {
    fn new(plan: usize) -> Self {
        let plan = sim::plan(PLANS[plan]);
        let rollout = Rollout::new("shop".parse().unwrap(), sim::releases("v2"), plan);
        let now = "2026-11-24T09:00:30Z".parse().unwrap();
        Self { rollout, now, elapsed: Duration::ZERO, calls: 0 }
    }

    /// Applies the input and returns the result.
    fn apply(&mut self, input: &Input) -> Result<Transition, Refusal> {
        match input {
            Input::Tick { millis, verdict, calls, gate, probe } => {
                let before = self.now;
                self.now = Timestamp::from_millis(before.as_millis() + millis);
                if self.rollout.phase() == Phase::Running {
                    self.elapsed += self.now.since(before).min(Rollout::MAX_TICK);
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
            Input::SetReleases(is_same) => {
                let canary = if *is_same { "v2" } else { "v3" };
                Ok(self.rollout.set_releases(self.now, sim::releases(canary)))
            }
        }
    }
}

/// Returns the index of the step that is running or paused.
fn step(rollout: &Rollout) -> Option<usize> {
    match rollout.state().stage() {
        Some(Stage::Step { step }) => Some(step),
        _ => None,
    }
}

/// Returns whether the rollout is in a step at 100% whose weight is not in force.
fn waits_for_full_weight(rollout: &Rollout) -> bool {
    let is_full = |step: usize| rollout.plan().steps()[step].weight == Weight::FULL;
    step(rollout).is_some_and(is_full) && rollout.weight() < Weight::FULL
}

fn bake_weight(plan: &Plan) -> Weight {
    let holdback = plan.bake().map_or(0, |Bake { holdback, .. }| holdback.ppm());
    Weight::from_ppm(1_000_000 - holdback)
}

/// Returns the maximum weight of a state.
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

/// Returns whether the input justifies a promotion.
fn is_justified(before: &Rollout, input: &Input) -> bool {
    match input {
        // At 100%, the basis is that of the first step at this weight.
        Input::Tick { .. } if before.weight() == Weight::FULL => true,
        Input::Tick { verdict: Verdict::Healthy, .. } => true,
        Input::Tick { verdict: Verdict::Inconclusive, .. } => {
            let is_manual = |basis: &PromotionBasis| matches!(basis, PromotionBasis::Manual { .. });
            let is_baked_manually =
                matches!(before.state(), State::Baking { basis, .. } if is_manual(basis));
            let goes_on = |step: usize| before.plan().steps()[step].without_proof_after.is_some();
            let advances = before.plan().on_inconclusive() == OnInconclusive::Advance;
            advances || is_baked_manually || step(before).is_some_and(goes_on)
        }
        Input::Command(Command::Promote | Command::PromoteFully) => true,
        // Resuming a paused bake, or a step at 100%, is allowed.
        Input::Command(Command::Resume) => match before.state() {
            State::Paused { stage: Stage::Bake { .. }, .. } => true,
            State::Paused { stage: Stage::Step { step }, .. } => {
                before.plan().steps()[*step].weight == Weight::FULL
            }
            _ => false,
        },
        // A skipped step at 100% goes on to the next one.
        Input::Command(Command::SkipStep) => before.weight() == Weight::FULL,
        _ => false,
    }
}

fn rank(rollout: &Rollout) -> u8 {
    match rollout.phase() {
        Phase::Promoted => 2,
        Phase::Baking => 1,
        Phase::Running if rollout.weight() == Weight::FULL => 1,
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_weight_is_within_the_plan(plan in 0..PLANS.len(), inputs in inputs()) {
        let mut tracked = Tracked::new(plan);
        for input in &inputs {
            let _ = tracked.apply(input);
            let rollout = &tracked.rollout;
            prop_assert!(rollout.weight() <= limit(rollout), "{:?} at {}", rollout.state(), rollout.weight());
            if !matches!(rollout.phase(), Phase::Baking | Phase::Promoted | Phase::RampingDown) {
                let in_bake = matches!(rollout.state().stage(), Some(Stage::Bake { .. }));
                prop_assert!(in_bake || rollout.weight() <= rollout.plan().max_weight());
            }
        }
    }

    #[test]
    fn only_a_start_raises_the_weight_after_a_rollback_or_a_halt(
        plan in 0..PLANS.len(), inputs in inputs()
    ) {
        let mut tracked = Tracked::new(plan);
        let mut was_rolled_back = false;
        for input in &inputs {
            let attempt = tracked.rollout.attempt();
            let phase = tracked.rollout.phase();
            let _ = tracked.apply(input);
            let rollout = &tracked.rollout;
            if rollout.attempt() > attempt {
                let is_start = matches!(
                    input,
                    Input::Command(Command::Start | Command::Restart | Command::SetWeight { .. })
                );
                prop_assert!(is_start, "{input:?} is not a start");
                prop_assert!(phase != Phase::Halted, "started during a halt");
                was_rolled_back = false;
            }
            if was_rolled_back {
                prop_assert_eq!(rollout.weight(), Weight::ZERO);
            }
            was_rolled_back |= matches!(rollout.phase(), Phase::RolledBack | Phase::Halted);
        }
    }

    #[test]
    fn only_lifting_a_halt_ends_it(plan in 0..PLANS.len(), inputs in inputs()) {
        let mut tracked = Tracked::new(plan);
        for input in &inputs {
            let was_halted = tracked.rollout.phase() == Phase::Halted;
            let _ = tracked.apply(input);
            if was_halted && tracked.rollout.phase() != Phase::Halted {
                prop_assert!(matches!(input, Input::Command(Command::LiftHalt)), "{:?}", input);
                prop_assert_eq!(tracked.rollout.phase(), Phase::RolledBack);
            }
        }
    }

    #[test]
    fn a_promotion_requires_proof_or_a_command(
        plan in 0..PLANS.len(), inputs in inputs()
    ) {
        let mut tracked = Tracked::new(plan);
        // Whether an operator has resumed a step at 100%, which waits for the calendar.
        let mut is_resumed = false;
        for input in &inputs {
            let before = tracked.rollout.clone();
            let _ = tracked.apply(input);
            let is_resume = matches!(input, Input::Command(Command::Resume));
            is_resumed = (is_resumed || is_resume) && waits_for_full_weight(&before);
            if rank(&tracked.rollout) > rank(&before) {
                let is_justified = is_resumed || is_justified(&before, input);
                prop_assert!(is_justified, "{:?} after {:?}", input, before.state());
                let is_tick = matches!(input, Input::Tick { .. });
                if is_tick && before.phase() == Phase::Running {
                    prop_assert_eq!(before.plan().max_weight(), Weight::FULL);
                }
            }
        }
    }

    #[test]
    fn a_step_ends_only_after_its_time_and_calls(
        plan in 0..PLANS.len(), inputs in inputs()
    ) {
        let mut tracked = Tracked::new(plan);
        for input in &inputs {
            let before = (step(&tracked.rollout), tracked.rollout.attempt());
            let _ = tracked.apply(input);
            let after = (step(&tracked.rollout), tracked.rollout.attempt());
            let phase = tracked.rollout.phase();
            let is_promoted = matches!(phase, Phase::Baking | Phase::Promoted);
            if let (Some(step), Input::Tick { .. }) = (before.0, input)
                && (after.0 > before.0 || is_promoted)
            {
                let step = &tracked.rollout.plan().steps()[step];
                prop_assert!(tracked.elapsed >= step.min_duration, "after {:?}", tracked.elapsed);
                prop_assert!(tracked.calls >= step.min_calls, "after {} calls", tracked.calls);
            }
            if after != before {
                (tracked.elapsed, tracked.calls) = (Duration::ZERO, 0);
            }
        }
    }

    #[test]
    fn a_degraded_canary_never_gets_more_calls(plan in 0..PLANS.len(), inputs in inputs()) {
        let mut tracked = Tracked::new(plan);
        for input in &inputs {
            let before = tracked.rollout.clone();
            let _ = tracked.apply(input);
            if before.phase() == Phase::RampingDown {
                prop_assert!(tracked.rollout.weight() <= before.weight());
            }
            if let Input::Tick { verdict: Verdict::Degraded, .. } = input {
                prop_assert!(tracked.rollout.weight() <= before.weight());
                if before.plan().is_by_hand() {
                    prop_assert_eq!(tracked.rollout.weight(), before.weight());
                }
                prop_assert_eq!(rank(&tracked.rollout) / 2, rank(&before) / 2);
                let phase = tracked.rollout.phase();
                prop_assert!(!matches!(phase, Phase::Starting | Phase::Running | Phase::Baking));
            }
        }
    }

    #[test]
    fn only_operators_change_a_weight_by_hand(inputs in inputs()) {
        let mut tracked = Tracked::new(PLANS.len() - 1);
        for input in &inputs {
            let before = tracked.rollout.weight();
            let _ = tracked.apply(input);
            let is_tick = matches!(input, Input::Tick { .. });
            prop_assert!(!is_tick || tracked.rollout.weight() == before);
        }
    }

    /// Guarantee R14.
    #[test]
    fn monitors_begin_with_the_weight_of_their_step(plan in 0..PLANS.len(), inputs in inputs()) {
        let mut tracked = Tracked::new(plan);
        for input in &inputs {
            let before = tracked.rollout.clone();
            let Ok(transition) = tracked.apply(input) else { continue };
            let after = &tracked.rollout;
            let steps = after.plan().steps();
            prop_assert!(after.begun_steps() <= steps.len());
            let begun_before =
                if after.attempt() == before.attempt() { before.begun_steps() } else { 0 };
            // A skipped step counts as begun, even if the calendar never opened for it.
            let is_skip = matches!(input, Input::Command(Command::SkipStep));
            if after.begun_steps() > begun_before && !is_skip {
                prop_assert!(transition.actions.contains(&Action::BeginStep));
                prop_assert!(after.weight() >= steps[after.begun_steps() - 1].weight);
            }
        }
    }

    #[test]
    fn the_plan_raises_nothing_while_the_calendar_is_closed(
        plan in prop::sample::select(&WITH_CALENDAR[..]), inputs in inputs()
    ) {
        let mut tracked = Tracked::new(plan);
        for input in &inputs {
            let before = tracked.rollout.weight();
            let _ = tracked.apply(input);
            let calendar = tracked.rollout.plan().calendar().unwrap();
            if matches!(input, Input::Tick { .. }) && !calendar.is_open(tracked.now) {
                prop_assert!(tracked.rollout.weight() <= before);
            }
        }
    }

    #[test]
    fn the_same_inputs_produce_the_same_transitions(
        plan in 0..PLANS.len(), inputs in inputs()
    ) {
        let (mut one, mut other) = (Tracked::new(plan), Tracked::new(plan));
        for input in &inputs {
            let stored = serde_json::to_string(&other.rollout).unwrap();
            other.rollout = serde_json::from_str(&stored).unwrap();
            prop_assert_eq!(one.apply(input), other.apply(input));
            prop_assert_eq!(&one.rollout, &other.rollout);
        }
    }

    #[test]
    fn a_refusal_changes_nothing_and_lists_allowed_commands(
        plan in 0..PLANS.len(), inputs in inputs()
    ) {
        let mut tracked = Tracked::new(plan);
        for input in &inputs {
            let before = tracked.rollout.clone();
            if let Err(refusal) = tracked.apply(input) {
                prop_assert_eq!(&tracked.rollout, &before);
                prop_assert!(!refusal.allowed.is_empty());
                // Another weight, gate or variable may be allowed.
                let depends = matches!(
                    input,
                    Input::Command(
                        Command::SetWeight { .. }
                            | Command::Approve { .. }
                            | Command::SetVariables(_)
                    )
                );
                prop_assert!(depends || !refusal.allowed.contains(&refusal.command));
            }
        }
    }

    #[test]
    fn only_a_command_or_a_promotion_changes_variables(
        plan in 0..PLANS.len(), inputs in inputs()
    ) {
        let mut tracked = Tracked::new(plan);
        for input in &inputs {
            let before = tracked.rollout.clone();
            let _ = tracked.apply(input);
            let after = &tracked.rollout;
            let promotion = [before.phase(), after.phase()].contains(&Phase::Promoted);
            let is_set = matches!(input, Input::Command(Command::SetVariables(_)));
            prop_assert!(promotion || is_set || before.variables() == after.variables());
            if after.phase() == Phase::Promoted {
                prop_assert!(after.variables().overrides.is_empty());
            }
        }
    }

    #[test]
    fn nothing_rises_after_the_store_has_lost_the_rollout(
        plan in 0..PLANS.len(), inputs in inputs(), others in inputs(), keep in 0..80_usize
    ) {
        let mut ours = Tracked::new(plan);
        ours.rollout = ours.rollout.with_lineage(Lineage::from_random(1));
        let mut backup = ours.rollout.clone();
        for (index, input) in inputs.iter().enumerate() {
            let _ = ours.apply(input);
            if index <= keep {
                backup = ours.rollout.clone();
            }
        }
        let mut other = Tracked::new(plan);
        other.rollout = other.rollout.with_lineage(Lineage::from_random(2));
        for input in &others {
            let _ = other.apply(input);
        }
        for stored in [None, Some(backup), Some(other.rollout)] {
            let Some(loss) = ours.rollout.loss(stored.as_ref()) else { continue };
            let copy = || ours.rollout.clone().with_lineage(Lineage::from_random(3));
            let mut tracked = Tracked { rollout: stored.unwrap_or_else(copy), ..Tracked::new(plan) };
            if tracked.rollout.releases() != ours.rollout.releases() {
                continue;
            }
            tracked.now = ours.now;
            tracked.rollout.recover(tracked.now, loss, &ours.rollout);
            prop_assert!(tracked.rollout.weight() <= ours.rollout.weight());
            prop_assert!(tracked.rollout.weight() <= limit(&tracked.rollout));
            let once = tracked.rollout.clone();
            tracked.rollout.recover(tracked.now, StoreLoss::Replaced, &ours.rollout);
            prop_assert_eq!(&tracked.rollout, &once, "a second replica changes nothing");
            let stored = serde_json::to_string(&tracked.rollout).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Rollout>(&stored).unwrap(), &tracked.rollout);
            for _ in 0..40 {
                let before = tracked.rollout.weight();
                let healthy = Input::Tick {
                    millis: 5_000, verdict: Verdict::Healthy, calls: 100, gate: None, probe: Some(true),
                };
                let _ = tracked.apply(&healthy);
                prop_assert!(tracked.rollout.weight() <= before);
            }
        }
    }

    #[test]
    fn a_preview_is_the_effect_of_the_command(plan in 0..PLANS.len(), inputs in inputs()) {
        let mut tracked = Tracked::new(plan);
        for input in &inputs {
            let before = tracked.rollout.clone();
            let preview = match input {
                Input::Command(command) => Some(before.preview(tracked.now, command)),
                _ => None,
            };
            let applied = tracked.apply(input);
            let Some(preview) = preview else { continue };
            prop_assert_eq!(preview.is_err(), applied.is_err());
            let (Ok(preview), Ok(transition)) = (preview, applied) else { continue };
            let after = &tracked.rollout;
            prop_assert_eq!((preview.phase, preview.to), (after.phase(), after.weight()));
            prop_assert_eq!(preview.from, before.weight());
            prop_assert_eq!(&preview.note, &transition.note);
            prop_assert_eq!(preview.discards_evidence, after.attempt() > before.attempt());
            let kinds: Vec<_> = transition.events.into_iter().map(|event| event.kind).collect();
            prop_assert_eq!(&preview.events, &kinds);
            prop_assert!(preview.to_string().ends_with('.'));
        }
    }

    #[test]
    fn lowering_comes_before_saving_and_raising_after(
        plan in 0..PLANS.len(), inputs in inputs()
    ) {
        let mut tracked = Tracked::new(plan);
        for input in &inputs {
            let (generation, before) = (tracked.rollout.generation(), tracked.rollout.weight());
            let Ok(transition) = tracked.apply(input) else { continue };
            let saves = transition.actions.iter().filter(|action| **action == Action::Save).count();
            prop_assert_eq!(tracked.rollout.generation(), generation + u64::try_from(saves).unwrap());
            if transition.events.is_empty() && tracked.rollout.weight() == before {
                continue;
            }
            prop_assert_eq!(saves, 1);
            let save = transition.actions.iter().position(|it| *it == Action::Save).unwrap();
            let mut weight = before;
            for (index, action) in transition.actions.iter().enumerate() {
                let next = match action {
                    Action::SetWeight(weight) => *weight,
                    Action::RollBack | Action::Halt(_) => Weight::ZERO,
                    Action::Promote => Weight::FULL,
                    _ => continue,
                };
                prop_assert!(next <= weight || index > save, "{:?}", transition.actions);
                prop_assert!(next >= weight || index < save, "{:?}", transition.actions);
                weight = next;
            }
            prop_assert_eq!(weight, tracked.rollout.weight(), "the data plane has the rollout's weight");
        }
    }

    #[test]
    fn a_stored_rollout_is_short_and_its_events_are_in_order(
        plan in 0..PLANS.len(), inputs in inputs(), noise in "\\PC{0,300}"
    ) {
        let mut tracked = Tracked::new(plan);
        let mut latest = 0;
        for input in &inputs {
            let order = Order::new(Command::Pause, Actor::person(&noise), &noise);
            let _ = tracked.rollout.command(tracked.now, &order);
            let Ok(transition) = tracked.apply(input) else { continue };
            if transition.actions.contains(&Action::Save) {
                let stored = serde_json::to_string(&tracked.rollout).unwrap();
                prop_assert!(stored.len() <= Rollout::MAX_BYTES);
            }
            let numbers: Vec<u64> = tracked.rollout.history().map(|event| event.number).collect();
            prop_assert!(numbers.len() <= 64);
            prop_assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
            prop_assert!(numbers.last() >= Some(&latest));
            latest = numbers.last().copied().unwrap_or_default();
        }
    }
}
