use std::{fmt, ops};

/// Why a call went to the channel that it went to.
///
/// | reason | the channel was chosen by | evidence |
/// |---|---|---|
/// | [`Random`](Self::Random) | a draw against the weight | yes |
/// | [`Sticky`](Self::Sticky) | the hash of a key against the weight | yes |
/// | [`Rule`](Self::Rule) | a rule of the application: always or never | no |
/// | [`Forced`](Self::Forced) | the caller, who proved to be a tester | no |
/// | [`Propagated`](Self::Propagated) | the service that called this one | no |
/// | [`Spilled`](Self::Spilled) | the canary, which did not take the call | no |
/// | [`FellBack`](Self::FellBack) | the canary, which took the call and failed it | no |
///
/// Evidence are the calls by which the channels may be compared: those that chance alone assigned.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum AssignmentReason {
    /// A draw, anew for each call.
    Random,
    /// A key of the caller's, such as a user's id: the same key at the same weight, the same channel.
    Sticky,
    /// A rule said so, whatever the weight.
    Rule,
    /// A tester asked for the channel.
    Forced,
    /// An earlier service of the call chain had decided.
    Propagated,
    /// It was the canary's call, but the canary was not ready, or busy up to its limit: stable took it.
    Spilled,
    /// It was the canary's call, and failed there before any of the response went out: stable repeated it.
    FellBack,
}

impl AssignmentReason {
    /// All reasons.
    pub const ALL: [Self; 7] = [
        Self::Random,
        Self::Sticky,
        Self::Rule,
        Self::Forced,
        Self::Propagated,
        Self::Spilled,
        Self::FellBack,
    ];

    /// The reason's name as it stands in labels and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Sticky => "sticky",
            Self::Rule => "rule",
            Self::Forced => "forced",
            Self::Propagated => "propagated",
            Self::Spilled => "spilled",
            Self::FellBack => "fell_back",
        }
    }

    /// Whether chance assigned the call, so that it may be compared with the other channel's.
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
    /// Makes the number for each reason with `make`.
    #[must_use]
    pub fn from_fn(make: impl FnMut(AssignmentReason) -> u64) -> Self {
        Self(AssignmentReason::ALL.map(make))
    }

    /// The sum over all reasons.
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
    fn sums_end_at_the_largest_number() {
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
    fn each_reason_has_a_number_of_its_own() {
        let mut calls = PerReason::default();
        for reason in AssignmentReason::ALL {
            assert_eq!(calls[reason], 0, "{reason}");
            calls[reason] = 1;
        }
        assert_eq!(calls.total(), AssignmentReason::ALL.len() as u64);
    }
}
