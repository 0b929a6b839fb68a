use canary_core::Verdict;

use super::{GateAnswer, ProbeOutcome};
use crate::text::{EVIDENCE_BYTES, bounded};

/// What was seen since the tick before.
///
/// ```
/// use canary_core::Verdict;
/// use canary_rollout::{Tick, tick::{GateAnswer, ProbeOutcome}};
///
/// let tick = Tick::new(Verdict::Inconclusive, "canary fails 0 % of calls, stable 0 %")
///     .with_calls(312)
///     .with_answer("managers", GateAnswer::NotYet("asked on Monday".into()))
///     .with_probe("health", ProbeOutcome::Passed);
/// assert_eq!(tick.calls, 312);
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Tick {
    /// The judge's verdict, on all evidence so far.
    pub verdict: Verdict,
    /// The evidence in one sentence: [`Judgment`](canary_analysis::Judgment) prints as one.
    pub evidence: String,
    /// The canary's calls that ended since the tick before, at the weight that is in force, calls that
    /// are put aside (forced ones) not counted.
    ///
    /// A difference and not a total, as the judge's observations are: counters that begin anew with
    /// a process do no harm then.
    pub calls: u64,
    /// What gates answered.
    pub answers: Vec<(String, GateAnswer)>,
    /// How runs of probes ended.
    pub probes: Vec<(String, ProbeOutcome)>,
}

impl Tick {
    /// A tick in which no calls ended. Of long evidence the first 256 bytes are kept.
    pub fn new(verdict: Verdict, evidence: impl AsRef<str>) -> Self {
        let evidence = bounded(evidence.as_ref(), EVIDENCE_BYTES);
        Self { verdict, evidence, ..Self::default() }
    }

    /// So many of the canary's calls ended.
    #[must_use]
    pub const fn with_calls(mut self, calls: u64) -> Self {
        self.calls = calls;
        self
    }

    /// A gate has answered. What nobody asked for is ignored.
    #[must_use]
    pub fn with_answer(mut self, gate: impl Into<String>, answer: GateAnswer) -> Self {
        self.answers.push((gate.into(), answer));
        self
    }

    /// A run of a probe has ended.
    #[must_use]
    pub fn with_probe(mut self, probe: impl Into<String>, outcome: ProbeOutcome) -> Self {
        self.probes.push((probe.into(), outcome));
        self
    }
}
