use std::{fmt, ops, time::Duration};

/// A time since the start of a call. A call without the head of a response is counted when it
/// reaches each age, so that a canary that hangs shows before any of its calls ends.
///
/// ```
/// use std::time::Duration;
/// use canary_core::Age;
///
/// assert_eq!(Age::ALL.map(Age::duration), [5, 30, 120].map(Duration::from_secs));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Age {
    /// 5 s: longer than nearly every call that works, and soon enough for a rollback.
    FiveSeconds,
    /// 30 s: the usual time limit of proxies.
    ThirtySeconds,
    /// 120 s: for services whose good calls take up to a minute.
    TwoMinutes,
}

impl Age {
    /// All ages, the shortest first.
    pub const ALL: [Self; 3] = [Self::FiveSeconds, Self::ThirtySeconds, Self::TwoMinutes];

    /// Returns the time.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_secs(match self {
            Self::FiveSeconds => 5,
            Self::ThirtySeconds => 30,
            Self::TwoMinutes => 120,
        })
    }

    /// Returns the name for labels and sentences: `5s`, `30s` or `120s`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FiveSeconds => "5s",
            Self::ThirtySeconds => "30s",
            Self::TwoMinutes => "120s",
        }
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A number of calls for each [`Age`].
///
/// ```
/// use canary_core::{Age, PerAge};
///
/// let mut unanswered = PerAge::default();
/// unanswered[Age::FiveSeconds] += 2;
/// assert_eq!(unanswered[Age::FiveSeconds], 2);
/// assert_eq!(unanswered[Age::ThirtySeconds], 0);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PerAge([u64; Age::ALL.len()]);

impl PerAge {
    /// Calls `make` for each age.
    #[must_use]
    pub fn from_fn(make: impl FnMut(Age) -> u64) -> Self {
        Self(Age::ALL.map(make))
    }

    /// Adds the numbers of `other`. Sums saturate.
    pub fn merge(&mut self, other: &Self) {
        for (calls, more) in self.0.iter_mut().zip(other.0) {
            *calls = calls.saturating_add(more);
        }
    }

    pub(crate) fn checked_sub(&self, earlier: &Self) -> Option<Self> {
        let mut difference = Self::default();
        for age in Age::ALL {
            difference[age] = self[age].checked_sub(earlier[age])?;
        }
        Some(difference)
    }
}

impl ops::Index<Age> for PerAge {
    type Output = u64;

    fn index(&self, age: Age) -> &u64 {
        &self.0[age as usize]
    }
}

impl ops::IndexMut<Age> for PerAge {
    fn index_mut(&mut self, age: Age) -> &mut u64 {
        &mut self.0[age as usize]
    }
}
