//! A simulated data plane, judge and clock that drive a rollout.

#![allow(dead_code, reason = "no test uses all of it")]
#![allow(clippy::unwrap_used, reason = "test code")]

pub(crate) mod cluster;

use std::time::Duration;

use canary_core::{Verdict, Weight};
use canary_rollout::{
    Action, Actor, Command, Order, Phase, Plan, Releases, Rollout, Tick, Timestamp, Transition,
    command::Refusal,
    tick::{GateAnswer, ProbeOutcome},
};

pub(crate) struct Sim {
    pub(crate) rollout: Rollout,
    pub(crate) now: Timestamp,
    /// The state of the data plane.
    pub(crate) weight: Weight,
    pub(crate) is_halted: bool,
    /// The verdict and the canary calls of each tick.
    pub(crate) verdict: Verdict,
    pub(crate) calls: u64,
    /// The events in the form "anna paused", in order.
    pub(crate) log: Vec<String>,
    /// The actions since the last call of `asked`.
    pub(crate) actions: Vec<Action>,
}

pub(crate) fn releases(canary: &str) -> Releases {
    Releases { stable: "v1".parse().unwrap(), canary: canary.parse().unwrap() }
}

pub(crate) fn plan(toml: &str) -> Plan {
    Plan::from_toml(toml).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn percent(text: &str) -> Weight {
    text.parse().unwrap()
}

impl Sim {
    /// Starts the clock on a Tuesday at nine o'clock.
    pub(crate) fn new(toml: &str) -> Self {
        let rollout = Rollout::new("checkout".parse().unwrap(), releases("v2"), plan(toml));
        Self {
            rollout,
            now: "2026-11-24T09:00:00Z".parse().unwrap(),
            weight: Weight::ZERO,
            is_halted: false,
            verdict: Verdict::Healthy,
            calls: 1_000,
            log: Vec::new(),
            actions: Vec::new(),
        }
    }

    pub(crate) fn started(toml: &str) -> Self {
        let mut sim = Self::new(toml);
        sim.order(Command::Start);
        sim
    }

    /// Gives a command as anna.
    pub(crate) fn order(&mut self, command: Command) -> Transition {
        self.try_order(command).unwrap_or_else(|refusal| panic!("{refusal}"))
    }

    pub(crate) fn try_order(&mut self, command: Command) -> Result<Transition, Refusal> {
        let order = Order::new(command, Actor::person("anna"), "manual test");
        let transition = self.rollout.command(self.now, &order)?;
        self.carry_out(&transition);
        Ok(transition)
    }

    /// Ticks once per second for the given time.
    pub(crate) fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now = self.now + Duration::from_secs(1);
            self.tick();
        }
    }

    /// Ticks every ten seconds, the longest time that a tick counts for.
    pub(crate) fn run_hours(&mut self, hours: u64) {
        for _ in 0..hours * 360 {
            self.now = self.now + Duration::from_secs(10);
            self.tick();
        }
    }

    /// Runs until the phase changes, for at most an hour.
    pub(crate) fn run_until_not(&mut self, phase: Phase) {
        for _ in 0..3_600 {
            if self.rollout.phase() != phase {
                return;
            }
            self.run(1);
        }
        panic!("{phase} after an hour: {}", self.waits());
    }

    pub(crate) fn tick(&mut self) -> Transition {
        self.tick_with(|tick| tick)
    }

    pub(crate) fn tick_with(&mut self, with: impl FnOnce(Tick) -> Tick) -> Transition {
        let evidence = match self.verdict {
            Verdict::Healthy => "canary fails no more than stable",
            Verdict::Degraded => "canary fails every call",
            Verdict::Inconclusive => "no evidence yet",
        };
        let tick = with(Tick::new(self.verdict, evidence).with_calls(self.calls));
        let transition = self.rollout.tick(self.now, &tick);
        self.carry_out(&transition);
        transition
    }

    pub(crate) fn answer(&mut self, gate: &str, answer: GateAnswer) {
        self.tick_with(|tick| tick.with_answer(gate, answer));
    }

    pub(crate) fn probe(&mut self, probe: &str, outcome: ProbeOutcome) {
        self.tick_with(|tick| tick.with_probe(probe, outcome));
    }

    /// Stores and loads the rollout, and applies it to the data plane.
    pub(crate) fn restart(&mut self) {
        let stored = serde_json::to_string(&self.rollout).unwrap();
        let loaded: Rollout = serde_json::from_str(&stored).unwrap();
        assert_eq!(loaded, self.rollout);
        self.rollout = loaded;
        let actions = self.rollout.in_force();
        self.carry_out_actions(&actions);
    }

    pub(crate) fn waits(&self) -> String {
        self.rollout.pending(self.now).to_string()
    }

    pub(crate) fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    pub(crate) fn asked(&mut self, action: &Action) -> usize {
        let actions = std::mem::take(&mut self.actions);
        actions.iter().filter(|it| *it == action).count()
    }

    fn carry_out(&mut self, transition: &Transition) {
        self.log
            .extend(transition.events.iter().map(|event| format!("{} {}", event.by, event.kind)));
        self.carry_out_actions(&transition.actions);
    }

    fn carry_out_actions(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::SetWeight(weight) => {
                    assert!(
                        !self.is_halted || *weight == Weight::ZERO,
                        "weight {weight} during a halt"
                    );
                    self.weight = *weight;
                }
                Action::Promote => {
                    assert!(!self.is_halted, "promotion during a halt");
                    self.weight = Weight::FULL;
                }
                Action::RollBack => self.weight = Weight::ZERO,
                Action::Halt(_) => (self.weight, self.is_halted) = (Weight::ZERO, true),
                Action::LiftHalt => self.is_halted = false,
                _ => {}
            }
        }
        self.actions.extend_from_slice(actions);
        assert_eq!(self.weight, self.rollout.weight(), "the data plane's weight differs");
    }
}
