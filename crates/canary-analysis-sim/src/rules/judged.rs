use canary_analysis::{Judge, Levels, Monitor, Observation, SecondProof, Unit, error::JudgeError};
use canary_core::Verdict;

use super::RollbackRule;
use crate::second::Second;

/// The judge of `canary-analysis`.
#[derive(Clone, Debug)]
pub struct Judged {
    judge: Judge,
    /// The judge of the time before the rollout.
    idle: Option<Judge>,
    per_key: Vec<String>,
    step: Option<u64>,
}

impl Judged {
    /// Creates a judge with these monitors.
    ///
    /// # Errors
    ///
    /// Returns an error if the monitors are invalid.
    pub fn try_new(
        levels: Levels,
        monitors: impl IntoIterator<Item = Monitor>,
    ) -> Result<Self, JudgeError> {
        Judge::try_new(levels, monitors).map(Self::of)
    }

    /// Takes a judge without evidence.
    #[must_use]
    pub fn of(judge: Judge) -> Self {
        let per_key = judge.monitors().filter(|monitor| monitor.unit() == Unit::Keys);
        let per_key = per_key.map(|monitor| monitor.name().to_owned()).collect();
        Self { judge, idle: None, per_key, step: None }
    }

    /// Starts additional evidence at each step.
    #[must_use]
    pub fn with_restarts(mut self) -> Self {
        self.judge = self.judge.with_restarts();
        self
    }

    /// Sets when harm needs a second proof.
    #[must_use]
    pub fn with_second_proof(mut self, second_proof: SecondProof) -> Self {
        self.judge = self.judge.with_second_proof(second_proof);
        self
    }

    /// Returns the judge.
    #[must_use]
    pub const fn judge(&self) -> &Judge {
        &self.judge
    }
}

impl Default for Judged {
    fn default() -> Self {
        Self::try_new(Levels::default(), [Monitor::failures()]).expect("one monitor decides")
    }
}

impl RollbackRule for Judged {
    fn before(&mut self, second: &Second) {
        let idle = self.idle.get_or_insert_with(|| self.judge.clone());
        idle.observe(&Observation::of(second.snapshot()));
    }

    fn look(&mut self, second: &Second) -> Verdict {
        if let Some(idle) = self.idle.take() {
            let judge = self.judge.clone().try_with_baseline(&idle.baseline());
            self.judge = judge.expect("a baseline of the same monitors");
        }
        if self.step.replace(second.counts.epoch) != Some(second.counts.epoch) {
            self.judge.begin_step();
        }
        let mut observation = Observation::of(second.snapshot());
        for monitor in &self.per_key {
            observation = observation
                .with_adverse_keys(monitor, &second.failed_keys)
                .with_seen_keys(monitor, &second.seen_keys);
        }
        self.judge.observe(&observation);
        self.judge.verdict()
    }
}
