use std::time::Duration;

use canary_core::Verdict;

use super::{GateAnswer, ProbeOutcome};
use crate::fleet::Fleet;
use crate::text::{EVIDENCE_BYTES, bounded};

/// The observations since the previous tick.
///
/// ```
/// use canary_core::Verdict;
/// use canary_rollout::{Tick, tick::{GateAnswer, ProbeOutcome}};
///
/// let tick = Tick::new(Verdict::Inconclusive, "canary fails 0% of calls, stable 0%")
///     .with_calls(312)
///     .with_answer("managers", GateAnswer::NotYet("asked on Monday".into()))
///     .with_probe("health", ProbeOutcome::Passed);
/// assert_eq!(tick.calls, 312);
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Tick {
    /// The judge's verdict on all evidence so far.
    pub verdict: Verdict,
    /// The evidence in one sentence, as a [`Judgment`](canary_analysis::Judgment) prints it.
    pub evidence: String,
    /// Canary calls that ended since the previous tick at the current weight, without excluded ones
    /// such as forced calls.
    ///
    /// This is a difference, not a total, so that a restarted process can count from zero.
    pub calls: u64,
    /// The time until the canary's warm-up is over, `None` outside of it. As a
    /// [`Judgment`](canary_analysis::Judgment::warm_up_left) returns it.
    pub warm_up_left: Option<Duration>,
    /// The replicas that are heard, `None` if it is not known. The plan proceeds only while they are at
    /// least the [quorum](Fleet::quorum).
    pub fleet: Option<Fleet>,
    /// Answers of gates, with their names.
    pub answers: Vec<(String, GateAnswer)>,
    /// Outcomes of probes, with their names.
    pub probes: Vec<(String, ProbeOutcome)>,
}

impl Tick {
    /// Creates a tick without calls. The evidence is cut to 256 bytes.
    pub fn new(verdict: Verdict, evidence: impl AsRef<str>) -> Self {
        let evidence = bounded(evidence.as_ref(), EVIDENCE_BYTES);
        Self { verdict, evidence, ..Self::default() }
    }

    /// Sets the number of [calls](Self::calls).
    #[must_use]
    pub const fn with_calls(mut self, calls: u64) -> Self {
        self.calls = calls;
        self
    }

    /// Sets the time until the canary's [warm-up](Self::warm_up_left) is over.
    #[must_use]
    pub const fn with_warm_up_left(mut self, left: Option<Duration>) -> Self {
        self.warm_up_left = left;
        self
    }

    /// Sets which replicas are [heard](Self::fleet).
    #[must_use]
    pub fn with_fleet(self, fleet: Option<Fleet>) -> Self {
        Self { fleet, ..self }
    }

    /// Returns the next tick, if nothing happens until then: without calls, answers and outcomes.
    #[must_use]
    pub fn without_observations(&self) -> Self {
        let next = Self::new(self.verdict, &self.evidence);
        next.with_warm_up_left(self.warm_up_left).with_fleet(self.fleet.clone())
    }

    /// Adds a gate's answer. Answers of gates that were not asked are ignored.
    #[must_use]
    pub fn with_answer(mut self, gate: impl Into<String>, answer: GateAnswer) -> Self {
        self.answers.push((gate.into(), answer));
        self
    }

    /// Adds the outcome of a probe's run. Probes that were not run are ignored.
    #[must_use]
    pub fn with_probe(mut self, probe: impl Into<String>, outcome: ProbeOutcome) -> Self {
        self.probes.push((probe.into(), outcome));
        self
    }
}
