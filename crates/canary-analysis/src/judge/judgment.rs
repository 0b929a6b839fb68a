use std::{fmt, time::Duration};

use canary_core::Verdict;

use crate::{
    finding::Finding,
    monitor::{Measure, Role},
    unused_observations::UnusedObservation,
};

/// The overall verdict, and the finding of each monitor.
///
/// It prints as one sentence for operators. With the feature `serde` it can be serialized,
/// including the sentences, rates and e-values.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Judgment {
    /// Degraded if a deciding monitor is. Healthy if all deciding monitors are, except for the
    /// share. Monitors whose [step](crate::Monitor::starting_at_step) has not begun do not count.
    pub verdict: Verdict,
    /// The findings, in the order of the monitors.
    pub findings: Vec<Finding>,
    /// Parts of the observations so far that no monitor uses.
    pub unused: Vec<UnusedObservation>,
}

impl Judgment {
    /// Returns the finding that explains the verdict best: the strongest evidence for degraded, the
    /// failures of all calls for healthy, or the first monitor without these, and the finding
    /// furthest from proof for inconclusive. On a tie, it is the first one.
    #[must_use]
    pub fn decisive(&self) -> Option<&Finding> {
        let is_of_all =
            |finding: &Finding| finding.measure == Measure::Failures && finding.class.is_none();
        let weight = |finding: &Finding| match (self.verdict, finding.good) {
            (Verdict::Degraded, _) => finding.worse.log_e - finding.worse.threshold,
            (Verdict::Healthy, _) => f64::from(u8::from(is_of_all(finding))),
            (Verdict::Inconclusive, Some(good)) => good.threshold - good.log_e,
            (Verdict::Inconclusive, None) => f64::NEG_INFINITY,
        };
        self.findings
            .iter()
            .filter(|finding| finding.role == Role::Decides && finding.verdict == self.verdict)
            .filter(|finding| finding.waits_for_step.is_none())
            .filter(|finding| self.verdict == Verdict::Degraded || finding.good.is_some())
            // `max_by` returns the last of equal elements.
            .rev()
            .max_by(|one, other| weight(one).total_cmp(&weight(other)))
    }

    /// Returns the time until the warm-up of all deciding monitors is over, or `None` if none is
    /// warming up.
    #[must_use]
    pub fn warm_up_left(&self) -> Option<Duration> {
        let deciding = self.findings.iter().filter(|finding| finding.role == Role::Decides);
        deciding.filter_map(|finding| finding.warm_up_left).max()
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
        if self.verdict == Verdict::Degraded {
            return Ok(());
        }
        let deciding = self.findings.iter().filter(|finding| finding.role == Role::Decides);
        for finding in deciding.filter(|finding| finding.waits_for_step.is_some()) {
            write!(f, "; `{}` {finding}", finding.monitor)?;
        }
        if self.verdict != Verdict::Inconclusive {
            return Ok(());
        }
        let decisive = self.decisive().map(|finding| &finding.monitor);
        let others = self
            .findings
            .iter()
            .filter(|finding| finding.role == Role::Decides && Some(&finding.monitor) != decisive);
        let warming_up =
            others.filter_map(|finding| Some((finding.warm_up_left?, &finding.monitor)));
        if let Some((left, monitor)) = warming_up.max_by_key(|(left, _)| *left) {
            write!(f, "; `{monitor}` warms up for {:.0}s more", left.as_secs_f64().ceil())?;
        }
        if !self.unused.is_empty() {
            let unused: Vec<String> =
                self.unused.iter().map(UnusedObservation::to_string).collect();
            write!(f, "; observed but used by no monitor: {}", unused.join(", "))?;
        }
        Ok(())
    }
}
