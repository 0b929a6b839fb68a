use std::{collections::BTreeSet, error, fmt};

use canary_core::Verdict;

use crate::{
    channel_comparison::ChannelComparison,
    evidence::Evidence,
    finding::Finding,
    levels::Levels,
    monitor::{Measure, Monitor, Role, Unit},
    monitor_state::{MonitorEvidence, MonitorState},
    observation::Observation,
    unused_observations::UnusedObservation,
};

/// Weighs the evidence of all monitors.
///
/// With each tick a rollout lets the judge [observe](Self::observe) what was counted, and asks for
/// its [judgment](Self::judgment). `alpha` is split evenly over the monitors that decide, so that a
/// canary which is not worse in any of them is called degraded with probability `alpha` at most,
/// over the whole rollout and however often one asks.
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
///     "degraded by `failures`: canary fails 100 % of calls against stable's 0 %; \
///      odds against chance 18,000 : 1",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Judge {
    levels: Levels,
    pub(crate) states: Vec<MonitorState>,
    unused: BTreeSet<UnusedObservation>,
}

impl Judge {
    /// A judge without evidence.
    ///
    /// # Errors
    ///
    /// If two monitors have the same name, one has none, one counts per key which calls are slower
    /// than stable's quantile, one binds feedback or an event to a class of routes, or none of them
    /// both decides and compares the channels.
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
            let is_of_quantile = match monitor.measure() {
                Measure::Slow(_, limit) => limit.quantile().is_some(),
                _ => false,
            };
            if is_of_quantile && monitor.unit() == Unit::Keys {
                return Err(JudgeError::QuantilePerKey(monitor.name().to_owned()));
            }
            // What is told per key comes by the monitor's name, of whatever calls it is bound to.
            let is_told = matches!(monitor.measure(), Measure::Feedback | Measure::Event(_));
            if is_told && monitor.unit() == Unit::Calls && monitor.class().is_some() {
                return Err(JudgeError::ClassNotSupported(monitor.name().to_owned()));
            }
            states.push(MonitorState::new(monitor));
        }
        if !states.iter().any(|state| state.monitor.must_be_proven()) {
            return Err(JudgeError::NoDecidingMonitor);
        }
        Ok(Self { levels, states, unused: BTreeSet::new() })
    }

    /// Keeps a tenth of the evidence back, to be bet afresh at each [step](Self::begin_step).
    ///
    /// A canary that breaks late has evidence in its favor to use up first. With fresh starts one
    /// that fails every call from the beginning of the step of 50 % on, while stable fails 1 %,
    /// harms 26 users instead of 103 (median of simulated rollouts of an hour). What is found from
    /// the beginning is found later by the time it takes the odds to grow by a ninth, and `alpha`
    /// stays what it is. Healthy rests on the whole rollout, with or without fresh starts.
    #[must_use]
    pub fn with_restarts(mut self) -> Self {
        for state in &mut self.states {
            if let MonitorEvidence::Comparison(comparison) = &mut state.evidence {
                comparison.restarts.get_or_insert_default();
            }
        }
        self
    }

    /// Lets bets begin afresh, if the judge has [restarts starts](Self::with_restarts).
    ///
    /// To be called between two observations: when the weight changes, when the bake begins, and
    /// every so often in a step that lasts long. The eight latest starts are kept, and the later
    /// ones weigh less.
    pub fn begin_step(&mut self) {
        for state in &mut self.states {
            if let MonitorEvidence::Comparison(comparison) = &mut state.evidence {
                comparison.begin_step();
            }
        }
    }

    /// Adds what was counted since the last time.
    ///
    /// Each observation is one look, by which [storms](crate#storms) are told: put replicas together in
    /// one. How many looks there are, and their order, matter for healthy alone.
    ///
    /// What an observation holds beyond what the monitors ask for is not looked at, but
    /// [named](Judgment::unused) in the judgment.
    pub fn observe(&mut self, observation: &Observation) {
        let monitors = self.states.iter().map(|state| &state.monitor);
        UnusedObservation::note(&mut self.unused, UnusedObservation::of(observation, monitors));
        for state in &mut self.states {
            state.observe(observation);
        }
    }

    /// Says what the evidence so far amounts to.
    #[must_use]
    pub fn judgment(&self) -> Judgment {
        let deciding = self.deciding();
        let findings: Vec<Finding> =
            self.states.iter().map(|state| state.finding(self.levels, deciding)).collect();
        let verdict = overall(self.monitors().zip(findings.iter().map(|finding| finding.verdict)));
        let unused = self.unused.iter().cloned().collect();
        Judgment { verdict, findings, unused }
    }

    /// The verdict of the judgment alone, in a fraction of the time.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let deciding = self.deciding();
        let verdicts = self.states.iter().map(|state| state.verdict(self.levels, deciding));
        overall(self.monitors().zip(verdicts))
    }

    /// The monitors, in the order in which they were given.
    #[must_use]
    pub fn monitors(&self) -> impl ExactSizeIterator<Item = &Monitor> {
        self.states.iter().map(|state| &state.monitor)
    }

    /// How often the judge may be wrong.
    #[must_use]
    pub const fn levels(&self) -> Levels {
        self.levels
    }

    /// The evidence of the monitor of this name; none for the share, and for names that are
    /// unknown.
    #[must_use]
    pub fn evidence(&self, monitor: &str) -> Option<&Evidence> {
        self.comparison(monitor).map(|comparison| &comparison.whole)
    }

    pub(crate) fn comparison(&self, monitor: &str) -> Option<&ChannelComparison> {
        let state = self.states.iter().find(|state| state.monitor.name() == monitor)?;
        match &state.evidence {
            MonitorEvidence::Comparison(comparison) => Some(comparison),
            MonitorEvidence::SampleRatio(_) => None,
        }
    }

    pub(crate) fn worse_threshold(&self) -> f64 {
        self.levels.worse_threshold(self.deciding())
    }

    fn deciding(&self) -> usize {
        self.states.iter().filter(|state| state.monitor.role() == Role::Decides).count()
    }
}

/// Degraded if any deciding monitor is; healthy if all are that must be.
fn overall<'a>(verdicts: impl Iterator<Item = (&'a Monitor, Verdict)>) -> Verdict {
    let mut overall = Verdict::Healthy;
    for (monitor, verdict) in verdicts.filter(|(monitor, _)| monitor.role() == Role::Decides) {
        if verdict == Verdict::Degraded {
            return Verdict::Degraded;
        }
        if verdict == Verdict::Inconclusive && monitor.must_be_proven() {
            overall = Verdict::Inconclusive;
        }
    }
    overall
}

/// The overall verdict and what each monitor found.
///
/// It prints as one sentence for people. With the feature `serde` it can be written, with that
/// sentence, and each finding with its own, its rates and e-values.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Judgment {
    /// Degraded if a deciding monitor says so; healthy if all of them are, the share apart.
    pub verdict: Verdict,
    /// What each monitor found, in the order in which the judge was given them.
    pub findings: Vec<Finding>,
    /// What was observed since the judge was made, and is asked for by no monitor.
    pub unused: Vec<UnusedObservation>,
}

impl Judgment {
    /// The finding on which the verdict rests, one of those that say the same: the strongest one
    /// for degraded, the weakest proof for healthy, and for inconclusive the one that is furthest
    /// from being proven. Of equals it is the first.
    #[must_use]
    pub fn decisive(&self) -> Option<&Finding> {
        let missing = |finding: &Finding| match (self.verdict, finding.good) {
            (Verdict::Degraded, _) => finding.worse.log_e - finding.worse.threshold,
            (_, Some(good)) => good.threshold - good.log_e,
            (_, None) => f64::NEG_INFINITY,
        };
        self.findings
            .iter()
            .filter(|finding| finding.role == Role::Decides && finding.verdict == self.verdict)
            .filter(|finding| self.verdict == Verdict::Degraded || finding.good.is_some())
            // The last one of equals is taken: turned round, that is the first monitor given.
            .rev()
            .max_by(|one, other| missing(one).total_cmp(&missing(other)))
    }
}

impl fmt::Display for Judgment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.verdict)?;
        self.decisive().map_or(Ok(()), |finding| {
            let link = match self.verdict {
                Verdict::Degraded => "by",
                Verdict::Healthy => "in all monitors, among them",
                Verdict::Inconclusive => "in",
            };
            write!(f, " {link} `{}`: {finding}", finding.monitor)
        })?;
        if self.verdict == Verdict::Inconclusive && !self.unused.is_empty() {
            let unused: Vec<String> =
                self.unused.iter().map(UnusedObservation::to_string).collect();
            write!(f, "; observed, but watched by no monitor: {}", unused.join(", "))?;
        }
        Ok(())
    }
}

/// Monitors that no judge can work with.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum JudgeError {
    /// A monitor has no name.
    EmptyName,
    /// Two monitors have this name.
    DuplicateName(String),
    /// The monitor of this name counts per key which calls are slower than stable's quantile. What
    /// that is, is known from counts of calls only, after the ledger of keys had to know it.
    QuantilePerKey(String),
    /// The monitor of this name binds feedback or an event to a class of routes. Observations tell
    /// these without a class.
    ClassNotSupported(String),
    /// No monitor both decides and compares the channels.
    NoDecidingMonitor,
}

impl fmt::Display for JudgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyName => f.write_str("a monitor has an empty name"),
            Self::DuplicateName(name) => write!(f, "two monitors are named `{name}`"),
            Self::QuantilePerKey(name) => {
                write!(
                    f,
                    "monitor `{name}` cannot count per key what exceeds stable's quantile, \
                           expected a fixed limit"
                )
            }
            Self::ClassNotSupported(name) => {
                write!(
                    f,
                    "monitor `{name}` binds what is told without a class to a class of routes, \
                     expected an event with a name of its own"
                )
            }
            Self::NoDecidingMonitor => {
                f.write_str("no monitor decides: all are watch-only or watch the share")
            }
        }
    }
}

impl error::Error for JudgeError {}
