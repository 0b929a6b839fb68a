use std::{collections::VecDeque, sync::Arc};

use canary_core::{CountsWentBackwards, Snapshot};
use canary_rollout::fleet::{FleetCounts, UsedCounts};
use tower_canary::CanaryHandle;

/// The counts of this process since it has put an attempt into force.
#[derive(Clone, Debug)]
pub(super) struct OwnCounts {
    /// The counts that were last read. Shared, because they seldom change at rest.
    read: Arc<Snapshot>,
    /// The calls among them that the sum lacks: the judge cannot observe them yet.
    held: FleetCounts,
    sum: FleetCounts,
    /// What was last read when the sum was last changed.
    summed: Arc<Snapshot>,
    /// The counts of the sum at the latest attempts of a publication, by their beat. The first beat is
    /// zero: nothing was published.
    published: VecDeque<(u64, Arc<Snapshot>)>,
    /// The step of the plan in which this process began to count.
    first_step: usize,
    /// The step that this process has reached.
    step: usize,
    /// The step to which the calls belong at least that the sum lacks.
    lacking_step: usize,
    /// The step to which the calls of the sum belong at least that the judge has not observed.
    open_step: usize,
    /// Whether the judge has observed the sum.
    is_judged: bool,
}

impl OwnCounts {
    /// Counts calls from now on, in this step of the plan.
    pub(super) fn new(canary: &CanaryHandle, step: usize) -> Self {
        let read = Arc::new(canary.counts());
        Self {
            held: FleetCounts::default(),
            sum: FleetCounts::default(),
            summed: Arc::clone(&read),
            published: VecDeque::from([(0, Arc::clone(&read))]),
            read,
            first_step: step,
            step,
            lacking_step: step,
            open_step: step,
            is_judged: true,
        }
    }

    /// Returns the same counts, of which a new judge has observed none.
    pub(super) fn without_evidence(self) -> Self {
        Self { is_judged: false, open_step: self.first_step, ..self }
    }

    /// Reads the calls since the last read, and holds them back from the sum.
    ///
    /// # Errors
    ///
    /// Returns an error if the counts have shrunk, so that they belong to another canary.
    pub(super) fn hold(
        &mut self,
        canary: &CanaryHandle,
        used: &UsedCounts,
    ) -> Result<(), CountsWentBackwards> {
        let difference = self.advance(canary)?;
        self.held.add(&difference, used);
        Ok(())
    }

    /// Returns the sum with the calls that are held back.
    pub(super) fn sum_with_held(&self) -> FleetCounts {
        let mut sum = self.sum.clone();
        sum.merge(&self.held);
        sum
    }

    /// Adds the calls that are held back to the sum.
    pub(super) fn add_held(&mut self) {
        self.sum.merge(&std::mem::take(&mut self.held));
        self.summed = Arc::clone(&self.read);
        (self.is_judged, self.lacking_step) = (false, self.step);
    }

    /// Notes that this process has reached a step of the plan. The calls until now must have been
    /// [read](Self::hold).
    pub(super) fn reach_step(&mut self, step: usize) {
        self.step = step;
        if self.held == FleetCounts::default() {
            self.lacking_step = step;
            if self.is_judged {
                self.open_step = step;
            }
        }
    }

    /// Notes that the judge has observed the sum.
    pub(super) const fn note_judged(&mut self) {
        (self.is_judged, self.open_step) = (true, self.lacking_step);
    }

    /// Returns whether the judge has observed the sum.
    pub(super) const fn is_judged(&self) -> bool {
        self.is_judged
    }

    /// Notes that evidence is taken over which has the calls until this step at most.
    pub(super) fn follow(&mut self, step: Option<usize>) {
        (self.is_judged, self.open_step) = (false, step.unwrap_or(self.first_step));
    }

    /// Returns the step in which this process began to count.
    pub(super) const fn first_step(&self) -> usize {
        self.first_step
    }

    /// Returns the step that this process has reached.
    pub(super) const fn step(&self) -> usize {
        self.step
    }

    /// Returns the step to which the calls belong at least that the sum lacks.
    pub(super) const fn lacking_step(&self) -> usize {
        self.lacking_step
    }

    /// Returns the step to which the calls of the sum belong at least that the judge has not observed.
    pub(super) const fn open_step(&self) -> usize {
        self.open_step
    }

    /// Reads the calls since the last read. The sum will never have them.
    ///
    /// # Errors
    ///
    /// As [`hold`](Self::hold).
    pub(super) fn leave_out(
        &mut self,
        canary: &CanaryHandle,
    ) -> Result<Snapshot, CountsWentBackwards> {
        let difference = self.advance(canary);
        self.summed = Arc::clone(&self.read);
        difference
    }

    fn advance(&mut self, canary: &CanaryHandle) -> Result<Snapshot, CountsWentBackwards> {
        let now = canary.counts();
        let difference = now.since(&self.read);
        if now != *self.read {
            self.read = Arc::new(now);
        }
        difference
    }

    /// Returns the counts that were last read.
    pub(super) fn last_read(&self) -> &Snapshot {
        &self.read
    }

    /// Returns the counts that the sum has.
    pub(super) fn summed(&self) -> &Snapshot {
        &self.summed
    }

    pub(super) const fn sum(&self) -> &FleetCounts {
        &self.sum
    }

    /// Notes an attempt to publish the sum with this beat. Its result may never be known.
    pub(super) fn note_publication(&mut self, beat: u64) {
        if self.published.len() == MAX_PUBLISHED {
            // The first one is the latest that is known to be judged.
            self.published.remove(1);
        }
        self.published.push_back((beat, Arc::clone(&self.summed)));
    }

    /// Returns the counts of the publication with this beat, or of the start if there was none. If they
    /// are no longer known, returns later ones: the guard then misses calls for a while, instead of
    /// counting them twice. Forgets the publications before.
    pub(super) fn published(&mut self, beat: Option<u64>) -> Arc<Snapshot> {
        let beat = beat.unwrap_or(0);
        self.forget_before(beat);
        let found = self.published.iter().find(|(published, _)| *published >= beat);
        Arc::clone(found.map_or(&self.read, |(_, counts)| counts))
    }

    /// Forgets the publications before this beat, which are part of the stored evidence.
    pub(super) fn forget_before(&mut self, beat: u64) {
        while self.published.len() > 1 && self.published[1].0 <= beat {
            self.published.pop_front();
        }
    }
}

/// The driver judges a publication within a beat. Its replacement takes four.
const MAX_PUBLISHED: usize = 8;
