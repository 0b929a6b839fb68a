use super::Monitor;

impl Monitor {
    /// Makes the monitor judge only from a step of the rollout on, 1 or more. Every monitor judges from
    /// step 1 on, unless this says otherwise.
    ///
    /// Until the judge [reaches](crate::Judge::reach_step) the step, the monitor is no part of the
    /// verdict: it finds neither harm nor proof, it cannot trip the [`Guard`](crate::Guard), and the
    /// overall verdict does not need it to be healthy. It learns what is usual, such as the limit of
    /// slow calls, and its [warm-up](Self::warm_up) passes. When the step begins, it begins without
    /// evidence, and it judges the rest of the rollout. It has its part of
    /// [`alpha`](crate::Judge::alpha_of) all the time, so that the error rates hold.
    ///
    /// A call counts when its result is known. So a call that is open when the step begins counts,
    /// at the weight at which it was assigned.
    ///
    /// ```
    /// use canary_analysis::{Judge, Levels, Monitor};
    ///
    /// let monitors = [Monitor::failures(), Monitor::event("order lost").starting_at_step(3)];
    /// let mut judge = Judge::try_new(Levels::default(), monitors)?;
    /// let finding = judge.judgment().findings.remove(1);
    /// assert_eq!(finding.to_string(), "judges from step 3 on");
    ///
    /// judge.reach_step(3);
    /// let finding = judge.judgment().findings.remove(1);
    /// assert_eq!(finding.to_string(), "from step 3 on: no events yet on either channel");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn starting_at_step(mut self, step: usize) -> Self {
        self.starting_step = step;
        self
    }

    /// Returns the step from which on the monitor judges; 1 for the whole rollout.
    #[must_use]
    pub const fn starting_step(&self) -> usize {
        self.starting_step
    }
}
