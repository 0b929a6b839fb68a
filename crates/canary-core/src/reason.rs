use std::{fmt, ops};

/// The reason why a call was assigned to its channel.
///
/// | reason | the channel was decided by | evidence |
/// |---|---|---|
/// | [`Random`](Self::Random) | a random draw and the weight | yes |
/// | [`Sticky`](Self::Sticky) | the hash of a key and the weight | yes |
/// | [`Capped`](Self::Capped) | the weight, but the caller has made its part of the evidence | no |
/// | [`Rule`](Self::Rule) | a rule of the application: always or never | no |
/// | [`Forced`](Self::Forced) | the caller, an authenticated tester | no |
/// | [`Propagated`](Self::Propagated) | the service that called this one | no |
/// | [`Spilled`](Self::Spilled) | the canary, which was not ready for the call | no |
/// | [`FellBack`](Self::FellBack) | the canary, which failed the call | no |
///
/// Only calls that the weight assigned are evidence: they can be compared between the channels. A
/// caller with more calls than its part of the evidence has further calls that are none.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum AssignmentReason {
    /// A random draw for each call.
    Random,
    /// A key of the caller, such as a user id. At one weight, the same key always gives the same
    /// channel.
    Sticky,
    /// A random draw or a key, for a caller that has already made its part of the evidence. This is
    /// decided before the channel.
    Capped,
    /// A rule, regardless of the weight.
    Rule,
    /// The request of a tester.
    Forced,
    /// The decision of an earlier service in the call chain.
    Propagated,
    /// Stable took the call over, because the canary was not ready or had reached its concurrency
    /// limit.
    Spilled,
    /// Stable repeated the call, because the canary failed before it sent a response.
    FellBack,
}

impl AssignmentReason {
    /// All reasons.
    pub const ALL: [Self; 8] = [
        Self::Random,
        Self::Sticky,
        Self::Capped,
        Self::Rule,
        Self::Forced,
        Self::Propagated,
        Self::Spilled,
        Self::FellBack,
    ];

    /// Returns the name for labels and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Sticky => "sticky",
            Self::Capped => "capped",
            Self::Rule => "rule",
            Self::Forced => "forced",
            Self::Propagated => "propagated",
            Self::Spilled => "spilled",
            Self::FellBack => "fell_back",
        }
    }

    /// Returns whether the weight assigned the call.
    #[must_use]
    pub const fn is_by_weight(self) -> bool {
        matches!(self, Self::Random | Self::Sticky | Self::Capped)
    }

    /// Returns whether the call can be compared between the channels.
    #[must_use]
    pub const fn is_evidence(self) -> bool {
        matches!(self, Self::Random | Self::Sticky)
    }
}

impl fmt::Display for AssignmentReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A number of calls for each [`AssignmentReason`].
///
/// ```
/// use canary_core::{AssignmentReason, PerReason};
///
/// let mut picked = PerReason::default();
/// picked[AssignmentReason::Sticky] += 2;
/// picked[AssignmentReason::Forced] += 1;
/// assert_eq!(picked.total(), 3);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PerReason([u64; AssignmentReason::ALL.len()]);

impl PerReason {
    /// Calls `make` for each reason.
    #[must_use]
    pub fn from_fn(make: impl FnMut(AssignmentReason) -> u64) -> Self {
        Self(AssignmentReason::ALL.map(make))
    }

    /// Returns the sum over all reasons.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, calls| sum.saturating_add(*calls))
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (calls, more) in self.0.iter_mut().zip(other.0) {
            *calls = calls.saturating_add(more);
        }
    }

    pub(crate) fn checked_sub(&self, earlier: &Self) -> Option<Self> {
        let mut difference = Self::default();
        for reason in AssignmentReason::ALL {
            difference[reason] = self[reason].checked_sub(earlier[reason])?;
        }
        Some(difference)
    }
}

impl ops::Index<AssignmentReason> for PerReason {
    type Output = u64;

    fn index(&self, reason: AssignmentReason) -> &u64 {
        &self.0[reason as usize]
    }
}

impl ops::IndexMut<AssignmentReason> for PerReason {
    fn index_mut(&mut self, reason: AssignmentReason) -> &mut u64 {
        &mut self.0[reason as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_saturate() {
        let mut counts = crate::Counts::default();
        for channel in crate::Channel::ALL {
            counts.evidence[channel].picked = u64::MAX;
            counts.evidence[channel].success = u64::MAX;
            counts.evidence[channel].spilled = 1;
            counts.evidence[channel].reasons[AssignmentReason::Random] = u64::MAX;
        }
        let more = counts.clone();
        counts.merge(&more);
        assert_eq!(counts.evidence.canary.ended(), u64::MAX);
        assert_eq!(counts.total(crate::Channel::Canary).reasons.total(), u64::MAX);
        assert_eq!(counts.share(), Some(0.5));
    }

    #[test]
    fn each_reason_has_its_own_number() {
        let mut calls = PerReason::default();
        for reason in AssignmentReason::ALL {
            assert_eq!(calls[reason], 0, "{reason}");
            calls[reason] = 1;
        }
        assert_eq!(calls.total(), AssignmentReason::ALL.len() as u64);
    }
}
