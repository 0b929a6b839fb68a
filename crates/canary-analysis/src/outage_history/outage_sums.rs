use super::outage_scan::{EndedOutage, MOST_MILLIS};
#[cfg(feature = "serde")]
use crate::stored_default::is_default;
use crate::{calm_rate::RateCounts, log_space::float};

/// Sums over the outages of stable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(default))]
pub(crate) struct OutageSums {
    /// All adverse events of stable, in outages and outside.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) adverse: u64,
    /// The outages by length: up to a second, then from each power of two seconds. `None` before the
    /// first one: the classes would be half of the size of a judge.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) classes: Option<Box<[OutageClass; CLASSES]>>,
}

/// The outages of one class of lengths.
///
/// An outage is stable's own if the canary had at most half of the failures that were due on it. At
/// a low weight, fewer than two are due, and this says nothing. The other outages of the class then
/// decide, and without any, the outage is stable's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(default))]
pub(crate) struct OutageClass {
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) own: OutageTotals,
    /// Outages with too few canary calls to tell.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) unclear: OutageTotals,
    /// Adverse events that were due on the canary, in millionths, and those that it had.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) due: u64,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) canary: u64,
}

/// Sums over outages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(default))]
pub(crate) struct OutageTotals {
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) outages: u64,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) millis: u64,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) counts: RateCounts,
    /// The lengths in milliseconds, each times the adverse events of the outage.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) weighted_millis: u64,
    /// The squares of their adverse events beyond the limit. Beyond the usual rate, a slow drift
    /// would add as much as a few small outages.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) squares: u64,
}

pub(crate) const CLASSES: usize = 8;

impl OutageSums {
    pub(super) fn add(&mut self, outage: &EndedOutage, limit: f64) {
        let EndedOutage { spell, .. } = outage;
        let class = &mut self.classes.get_or_insert_default()[class(outage.length_millis())];
        class.due = class.due.saturating_add(spell.due);
        class.canary = class.canary.saturating_add(spell.canary);
        let is_own = u128::from(spell.canary) * 2_000_000 <= u128::from(spell.due);
        if spell.due < TWO_EVENTS {
            class.unclear.add(outage, limit);
        } else if is_own {
            class.own.add(outage, limit);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.adverse = self.adverse.saturating_add(other.adverse);
        let Some(others) = &other.classes else { return };
        for (class, other) in self.classes.get_or_insert_default().iter_mut().zip(&**others) {
            class.own.merge(&other.own);
            class.unclear.merge(&other.unclear);
            class.due = class.due.saturating_add(other.due);
            class.canary = class.canary.saturating_add(other.canary);
        }
    }

    /// Returns whether stored sums do not contradict each other.
    pub(super) fn is_valid(&self) -> bool {
        let totals = self.classes().flat_map(|class| [&class.own, &class.unclear]);
        totals.into_iter().all(|totals| {
            let OutageTotals { outages, counts, weighted_millis, .. } = totals;
            *weighted_millis <= counts.adverse.saturating_mul(MOST_MILLIS)
                && (*outages > 0 || *totals == OutageTotals::default())
                && counts.is_valid()
                && counts.adverse <= self.adverse
        })
    }

    /// Returns the sums over stable's own outages.
    pub(super) fn own(&self) -> OutageTotals {
        let mut all = OutageTotals::default();
        self.classes().for_each(|class| all.merge(&class.own()));
        all
    }

    fn classes(&self) -> impl Iterator<Item = &OutageClass> {
        self.classes.iter().flat_map(|classes| classes.iter())
    }
}

impl OutageClass {
    fn own(&self) -> OutageTotals {
        let mut own = self.own;
        if !self.is_shared() {
            own.merge(&self.unclear);
        }
        own
    }

    /// Returns whether the canary had most of the failures that were due.
    fn is_shared(&self) -> bool {
        float(self.canary) > 0.6 * (float(self.due) / 1e6 + 2.0)
    }
}

impl OutageTotals {
    /// Returns the mean length of the outages, weighted by their adverse events.
    ///
    /// It is at least the mean, because a long outage has more events. The longest length would not
    /// do, because two outages in a row pass for a long one from time to time.
    pub(crate) fn length_millis(&self) -> u64 {
        self.weighted_millis.div_ceil(self.counts.adverse.max(1))
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
    fn add(&mut self, outage: &EndedOutage, limit: f64) {
        let RateCounts { calls, adverse } = outage.spell.counts;
        let excess = (float(adverse) - limit * float(calls)).max(0.0).round() as u64;
        self.merge(&Self {
            outages: 1,
            millis: outage.spell.millis,
            counts: outage.spell.counts,
            weighted_millis: outage.length_millis().saturating_mul(adverse),
            squares: excess.saturating_mul(excess),
        });
    }

    fn merge(&mut self, other: &Self) {
        self.outages = self.outages.saturating_add(other.outages);
        self.millis = self.millis.saturating_add(other.millis);
        self.counts.add(other.counts);
        self.weighted_millis = self.weighted_millis.saturating_add(other.weighted_millis);
        self.squares = self.squares.saturating_add(other.squares);
    }
}

/// Returns the class of a length.
fn class(millis: u64) -> usize {
    let seconds = millis.div_ceil(1_000).max(1);
    usize::try_from(seconds.ilog2()).map_or(CLASSES - 1, |power| power.min(CLASSES - 1))
}

/// The number of due events from which an outage is told from a shared one, in millionths.
const TWO_EVENTS: u64 = 2_000_000;
