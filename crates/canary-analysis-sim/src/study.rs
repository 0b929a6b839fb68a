use std::{cell::RefCell, num::NonZero, thread};

use canary_core::{Channel, Verdict};

use crate::{
    rules::RollbackRule,
    schedule::Schedule,
    second::Second,
    summary::{RunResult, Summary},
    traffic::Traffic,
};

/// Many rollouts with the same traffic and schedule.
#[derive(Clone, Debug)]
pub struct Study {
    traffic: Traffic,
    schedule: Schedule,
    runs: u32,
    seed: u64,
}

impl Study {
    /// Creates a study of `runs` rollouts.
    #[must_use]
    pub const fn new(traffic: Traffic, schedule: Schedule, runs: u32) -> Self {
        Self { traffic, schedule, runs, seed: 0 }
    }

    /// Sets the seed of the random numbers, 0 by default.
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Runs all rollouts, each with a new rule.
    ///
    /// The result depends on the seed, not on the number of threads.
    ///
    /// # Panics
    ///
    /// Panics if a rule panics.
    #[must_use]
    pub fn run<R: RollbackRule>(&self, rule: impl Fn() -> R + Sync) -> Summary {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let threads = u32::try_from(threads).unwrap_or(1);
        let share = |first| (first..self.runs).step_by(usize::try_from(threads).unwrap_or(1));
        let results = thread::scope(|scope| {
            let works: Vec<_> = (0..threads)
                .map(|first| {
                    let rule = &rule;
                    scope.spawn(move || share(first).map(|run| self.one(run, rule())).collect())
                })
                .collect();
            let parts = works.into_iter().map(|work| work.join().expect("rules do not panic"));
            parts.collect::<Vec<Vec<RunResult>>>().concat()
        });
        Summary::of(&results)
    }

    fn one(&self, run: u32, rule: impl RollbackRule) -> RunResult {
        let mut result = RunResult::default();
        // Studies with different seeds share no rollout, because they have fewer than 2^32 each.
        let seed = (self.seed << 32) + u64::from(run);
        let rule = RefCell::new(rule);
        let before = |second: &Second| rule.borrow_mut().before(second);
        self.traffic.run(&self.schedule, seed, before, |second| {
            result.seconds += 1;
            result.calls += second.calls(Channel::Canary);
            if self.traffic.has_fault_at(second.at) {
                result.failures += second.failures(Channel::Canary);
            }
            match rule.borrow_mut().look(second) {
                Verdict::Degraded => result.rolled_back = true,
                Verdict::Healthy => {
                    result.proven_after.get_or_insert(result.calls);
                    result.proven_at.get_or_insert(result.seconds);
                }
                Verdict::Inconclusive => {}
            }
            !result.rolled_back
        });
        result
    }
}
