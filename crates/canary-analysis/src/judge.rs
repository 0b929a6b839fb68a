use std::collections::BTreeSet;

use canary_core::{Channel, LatencyBucket, Verdict};

use crate::{
    alpha_parts::AlphaParts,
    channel_comparison::ChannelComparison,
    evidence::Evidence,
    finding::Finding,
    levels::Levels,
    monitor::{Measure, Monitor, Role, Unit},
    monitor_state::{MonitorEvidence, MonitorState},
    observation::Observation,
    second_proof::SecondProof,
    unused_observations::UnusedObservation,
};

pub use self::{error::JudgeError, judgment::Judgment};

mod error;
mod judgment;

/// Judges a canary by the evidence of all monitors.
///
/// At each tick of the rollout, pass the new counts to [`observe`](Self::observe) and read the
/// [`judgment`](Self::judgment). `alpha` is [divided](Self::alpha_of) among the deciding
/// monitors, so that a canary that is not worse in any of them is called degraded with a
/// probability of at most `alpha`, over the whole rollout and however often the judgment is read.
///
/// # Example
///
/// ```
/// use canary_analysis::{Judge, Levels, Monitor, Observation};
/// use canary_core::{Counts, EpochCounts, Snapshot, Verdict, Weight};
///
/// let mut judge = Judge::try_new(Levels::default(), [Monitor::failures(), Monitor::share()])?;
/// assert_eq!(judge.judgment().verdict, Verdict::Inconclusive);
///
/// let mut counts = Counts::default();
/// counts.evidence.stable.picked = 300;
/// counts.evidence.stable.success = 300;
/// counts.evidence.canary.picked = 3;
/// counts.evidence.canary.failure = 3;
/// let now = Snapshot::new(
///     Counts::default(),
///     vec![EpochCounts::new(1, Weight::from_percent(1), counts)],
/// );
/// judge.observe(&Observation::between(&Snapshot::default(), &now)?);
///
/// let judgment = judge.judgment();
/// assert_eq!(judgment.verdict, Verdict::Degraded);
/// assert_eq!(
///     judgment.to_string(),
///     "degraded by `failures`: 3 of 3 canary calls failed, 0 of 300 of stable's; \
///      odds against chance 9,600 : 1",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Judge {
    levels: Levels,
    pub(crate) states: Vec<MonitorState>,
    /// The latest step of the rollout that has begun, from 1.
    step: usize,
    unused: BTreeSet<UnusedObservation>,
}

impl Judge {
    /// Creates a judge without evidence.
    ///
    /// # Errors
    ///
    /// Returns an error if a name is empty or used twice, a feedback or event monitor has a class of
    /// routes, or no monitor both decides and compares the channels.
    pub fn try_new(
        levels: Levels,
        monitors: impl IntoIterator<Item = Monitor>,
    ) -> Result<Self, JudgeError> {
        let mut states: Vec<MonitorState> = Vec::new();
        for monitor in monitors {
            if monitor.name().trim().is_empty() {
                return Err(JudgeError::EmptyName);
            }
            if states.iter().any(|state| state.monitor.name() == monitor.name()) {
                return Err(JudgeError::DuplicateName(monitor.name().to_owned()));
            }
            if monitor.limit().is_some()
                && matches!(monitor.measure(), Measure::Share | Measure::Unanswered)
            {
                return Err(JudgeError::LimitNotSupported(monitor.name().to_owned()));
            }
            // Keys are observed by the name of the monitor, so that they can have a class.
            let has_no_class = matches!(monitor.measure(), Measure::Feedback | Measure::Event(_));
            if has_no_class && monitor.unit() == Unit::Calls && monitor.class().is_some() {
                return Err(JudgeError::ClassNotSupported(monitor.name().to_owned()));
            }
            states.push(MonitorState::new(monitor));
        }
        if !states.iter().any(|state| state.monitor.must_be_proven()) {
            return Err(JudgeError::NoDecidingMonitor);
        }
        Ok(Self { levels, states, step: 1, unused: BTreeSet::new() })
    }

    /// Reserves a tenth of the wealth of each monitor for e-processes that start at a later
    /// [step](Self::begin_step).
    ///
    /// A fault that begins late must first outweigh the evidence in favor of the canary. With
    /// restarts, a canary that fails every call from the step of 50 % on, when stable fails 1 %,
    /// harms 26 users instead of 103 (median of simulated rollouts of an hour). The cost: a fault
    /// that is present from the start needs an e-value larger by 10/9. `alpha` is unchanged. A
    /// healthy verdict is based on the whole rollout, with or without restarts.
    #[must_use]
    pub fn with_restarts(mut self) -> Self {
        for state in &mut self.states {
            for comparison in state.evidence.comparisons_mut() {
                comparison.restarts.get_or_insert_default();
            }
        }
        self
    }

    /// Sets when harm needs a second proof, and how strong it must be.
    #[must_use]
    pub fn with_second_proof(mut self, second_proof: SecondProof) -> Self {
        for state in &mut self.states {
            let second_proof = second_proof.of_monitor(&state.monitor);
            for comparison in state.evidence.comparisons_mut() {
                comparison.second_proof = second_proof;
            }
        }
        self
    }

    /// Starts additional evidence for worse, if the judge has [restarts](Self::with_restarts).
    ///
    /// Call it between two observations: when the weight changes, when the bake begins, and
    /// regularly in a long step. The eight latest restarts are kept. Each gets less of the reserved
    /// wealth than the one before. A monitor that has just [begun](Self::reach_step) needs none.
    pub fn begin_step(&mut self) {
        for state in &mut self.states {
            let starts_late = state.monitor.starting_step() > 1;
            let comparisons = state.evidence.comparisons_mut().iter_mut();
            comparisons
                .filter(|comparison| !starts_late || comparison.has_evidence())
                .for_each(ChannelComparison::begin_step);
        }
    }

    /// Begins the monitors that [start](Monitor::starting_at_step) at this step of the rollout or at
    /// an earlier one. Steps count from 1.
    ///
    /// Call it when a step begins, before its first call is observed, and for a restored judge, whose
    /// rollout may have gone on. A monitor that has begun never stops, so a lower step than before
    /// changes nothing.
    pub fn reach_step(&mut self, step: usize) {
        self.step = self.step.max(step);
    }

    /// Returns the latest step that the judge has [reached](Self::reach_step), 1 at first.
    #[must_use]
    pub const fn step(&self) -> usize {
        self.step
    }

    /// Returns whether the step of the monitor with this name has not begun.
    pub(crate) fn waits(&self, monitor: &str) -> bool {
        self.monitors().any(|known| known.name() == monitor && self.is_waiting(known))
    }

    /// Returns whether the step of a monitor has not begun.
    pub(crate) const fn is_waiting(&self, monitor: &Monitor) -> bool {
        monitor.starting_step() > self.step
    }

    /// Adds the counts since the previous observation.
    ///
    /// Each observation is one look. [Outages](crate#outages) are detected by looks, so their
    /// number and order affect the healthy verdict, but no other. Merge the counts of replicas into
    /// one observation.
    ///
    /// Parts of an observation that no monitor uses are listed in [`Judgment::unused`].
    pub fn observe(&mut self, observation: &Observation) {
        let monitors: Vec<_> = self.states.iter().map(|state| &state.monitor).collect();
        UnusedObservation::collect(&mut self.unused, observation, &monitors);
        let step = observation.step.unwrap_or(self.step);
        for state in &mut self.states {
            let starting_step = state.monitor.starting_step();
            if starting_step > self.step {
                state.learn(observation);
            } else if starting_step > step {
                state.count_open_calls(observation);
            } else {
                state.observe(observation);
                state.update_hold(self.levels);
            }
        }
    }

    /// Returns the overall verdict and the finding of each monitor.
    #[must_use]
    pub fn judgment(&self) -> Judgment {
        let finding = |state: &MonitorState| {
            let threshold = self.worse_threshold(&state.monitor);
            match self.is_waiting(&state.monitor) {
                true => state.finding_before_start(self.levels, threshold),
                false => state.finding(self.levels, threshold),
            }
        };
        let findings: Vec<Finding> = self.states.iter().map(finding).collect();
        let verdicts = self.monitors().zip(findings.iter().map(|finding| finding.verdict));
        let verdict = overall(verdicts.filter(|(monitor, _)| !self.is_waiting(monitor)));
        let unused = self.unused.iter().cloned().collect();
        Judgment { verdict, findings, unused }
    }

    /// Returns the verdict of the [`judgment`](Self::judgment), without the findings and faster.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let verdict =
            |state: &MonitorState| state.verdict(self.levels, self.worse_threshold(&state.monitor));
        let begun = self.states.iter().filter(|state| !self.is_waiting(&state.monitor));
        overall(begun.map(|state| (&state.monitor, verdict(state))))
    }

    /// Returns the monitors in their original order.
    #[must_use]
    pub fn monitors(&self) -> impl ExactSizeIterator<Item = &Monitor> {
        self.states.iter().map(|state| &state.monitor)
    }

    /// Returns the bucket above which a call of `channel` is slow for the monitor with this name, in
    /// the next observation: a limit that does not depend on the calls of that observation.
    ///
    /// Returns `None` if the limit is not known yet, or the monitor does not watch slow calls. A
    /// ledger of slow keys needs it, because a [`KeyLedger`](crate::keys::KeyLedger) records the
    /// calls before the judge observes them.
    ///
    /// ```
    /// use std::time::Duration;
    /// use canary_analysis::{Judge, Levels, Monitor, SlowLimit, Until};
    /// use canary_core::{Channel, LatencyBucket};
    ///
    /// let limit = SlowLimit::fixed(Duration::from_millis(300))?;
    /// let slow = Monitor::slow(Until::Head, limit).named("slow").per_key();
    /// let judge = Judge::try_new(Levels::default(), [slow])?;
    /// let bucket = judge.slow_bucket("slow", Channel::Canary).expect("a fixed limit is always known");
    /// assert!(LatencyBucket::of(Duration::from_secs(1)) > bucket);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn slow_bucket(&self, monitor: &str, channel: Channel) -> Option<LatencyBucket> {
        let state = self.states.iter().find(|state| state.monitor.name() == monitor)?;
        state.slow_buckets().map(|buckets| buckets[channel])
    }

    /// Returns the error rates.
    #[must_use]
    pub const fn levels(&self) -> Levels {
        self.levels
    }

    /// Returns the part of `alpha` of the monitor with this name: the bound on the probability that
    /// it calls a canary degraded that is not worse.
    ///
    /// A monitor of the failures of all calls takes eight tenths of `alpha`, because it detects most
    /// faults, one of the unanswered ones of all calls takes a tenth, and the other deciding monitors
    /// share the last tenth equally. Without one of the latter two groups, the other has both tenths.
    /// Without a monitor of all failures, or with such monitors only, the parts are equal. They always
    /// sum to `alpha`. A limit for a number of calls takes none. So the failures need odds of 125 : 1
    /// beside any other monitors, if `alpha` is 1 %. For a watch-only monitor, it is the part that it
    /// would take if it decided.
    ///
    /// Returns `None` if there is no such monitor.
    ///
    /// ```
    /// use canary_analysis::{Judge, Levels, Monitor};
    ///
    /// let monitors = [Monitor::failures(), Monitor::cancelled(), Monitor::share()];
    /// let judge = Judge::try_new(Levels::try_new(0.01, 0.05)?, monitors)?;
    /// assert_eq!(judge.alpha_of("failures"), Some(0.008));
    /// assert_eq!(judge.alpha_of("share"), Some(0.001));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn alpha_of(&self, monitor: &str) -> Option<f64> {
        let monitor = self.monitors().find(|known| known.name() == monitor)?;
        Some(self.levels.alpha() * self.part_of(monitor))
    }

    /// Returns the evidence of the monitor with this name, or `None` if there is none or it watches
    /// the share.
    #[must_use]
    pub fn evidence(&self, monitor: &str) -> Option<&Evidence> {
        self.comparison(monitor).map(|comparison| &comparison.whole)
    }

    pub(crate) fn comparison(&self, monitor: &str) -> Option<&ChannelComparison> {
        let state = self.states.iter().find(|state| state.monitor.name() == monitor)?;
        match &state.evidence {
            MonitorEvidence::Comparison(comparison) => Some(comparison),
            MonitorEvidence::SampleRatio(_) | MonitorEvidence::Unanswered(_) => None,
        }
    }

    pub(crate) fn worse_threshold(&self, monitor: &Monitor) -> f64 {
        self.levels.worse_threshold(self.part_of(monitor))
    }

    /// Returns the fraction of `alpha` that the monitor takes, or would take if it decided.
    fn part_of(&self, monitor: &Monitor) -> f64 {
        // Whether a number of calls is exceeded is not left to chance.
        if monitor.max_adverse().is_some() {
            return 0.0;
        }
        let deciding = self.monitors().filter(|other| other.role() == Role::Decides);
        let deciding = deciding.filter(|other| other.max_adverse().is_none());
        let watching = (monitor.role() == Role::Watches).then_some(monitor);
        AlphaParts::of(deciding.chain(watching)).part_of(monitor)
    }
}

/// Degraded if a deciding monitor is. Healthy if all monitors are that must be proven, at least one.
fn overall<'a>(verdicts: impl Iterator<Item = (&'a Monitor, Verdict)>) -> Verdict {
    let (mut is_proven, mut is_open) = (false, false);
    for (monitor, verdict) in verdicts.filter(|(monitor, _)| monitor.role() == Role::Decides) {
        if verdict == Verdict::Degraded {
            return Verdict::Degraded;
        }
        if monitor.must_be_proven() {
            is_proven |= verdict == Verdict::Healthy;
            is_open |= verdict == Verdict::Inconclusive;
        }
    }
    if is_proven && !is_open { Verdict::Healthy } else { Verdict::Inconclusive }
}
