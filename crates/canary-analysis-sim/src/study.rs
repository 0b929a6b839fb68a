use std::{num::NonZero, thread};

use canary_core::{Channel, Verdict};

use crate::{
    rules::Rule,
    schedule::Schedule,
    summary::{Ending, Summary},
    traffic::Traffic,
};

/// Many rollouts of the same kind.
#[derive(Clone, Debug)]
pub struct Study {
    traffic: Traffic,
    schedule: Schedule,
    runs: u32,
    seed: u64,
}

impl Study {
    /// So many rollouts by this schedule.
    #[must_use]
    pub const fn new(traffic: Traffic, schedule: Schedule, runs: u32) -> Self {
        Self { traffic, schedule, runs, seed: 0 }
    }

    /// Draws other random numbers than those of seed 0.
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Lets all rollouts run, each with a rule of its own, and says what came of them.
    ///
    /// The result depends on the seed, not on the number of threads that do the work.
    ///
    /// # Panics
    ///
    /// If a rule does.
    #[must_use]
    pub fn run<R: Rule>(&self, rule: impl Fn() -> R + Sync) -> Summary {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let threads = u32::try_from(threads).unwrap_or(1);
        let share = |first| (first..self.runs).step_by(usize::try_from(threads).unwrap_or(1));
        let endings = thread::scope(|scope| {
            let works: Vec<_> = (0..threads)
                .map(|first| {
                    let rule = &rule;
                    scope.spawn(move || share(first).map(|run| self.one(run, rule())).collect())
                })
                .collect();
            let parts = works.into_iter().map(|work| work.join().expect("a rule does not panic"));
            parts.collect::<Vec<Vec<Ending>>>().concat()
        });
        Summary::of(&endings)
    }

    fn one(&self, run: u32, mut rule: impl Rule) -> Ending {
        let mut ending = Ending::default();
        // Seeds of different studies do not meet: no study has 2^32 runs.
        let seed = (self.seed << 32) + u64::from(run);
        self.traffic.run(&self.schedule, seed, |second| {
            ending.seconds += 1;
            ending.calls += second.calls(Channel::Canary);
            if self.traffic.has_fault_at(second.at) {
                ending.failures += second.failures(Channel::Canary);
            }
            match rule.look(second) {
                Verdict::Degraded => ending.rolled_back = true,
                Verdict::Healthy => {
                    ending.proven_after.get_or_insert(ending.calls);
                    ending.proven_at.get_or_insert(ending.seconds);
                }
                Verdict::Inconclusive => {}
            }
            !ending.rolled_back
        });
        ending
    }
}
