#[cfg(feature = "serde")]
use crate::stored_default::is_default;
use crate::{
    background::Look,
    burst_detector::{BILLION, BURST_EXCESS, billionths, excess},
    calm_rate::RateCounts,
};

/// Finds the outages of one channel, with their beginning and end.
///
/// An outage begins with the first look of an excursion that reaches five events in excess of the
/// limit. It ends with its last bad look, once two events would have been due since then. Both are
/// measured at a level between the limit and the rate of the outage: a single failure after an
/// outage of every call does not make it longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(default))]
pub(crate) struct OutageScan {
    /// Adverse events in excess of the limit, in billionths.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) excess: u64,
    /// Whether the excess has reached five events.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) is_outage: bool,
    /// The excursion until its last bad look. Without adverse events if there is none.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) spell: Spell,
    /// The looks after its last bad look.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) later: Spell,
}

/// The counts of an outage, or of calm looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(default))]
pub(crate) struct Spell {
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) counts: RateCounts,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) millis: u64,
    /// Adverse events that the canary would have if it shared the outage, in millionths.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) due: u64,
    /// Adverse events that the canary has.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) canary: u64,
}

/// The result of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    /// An excursion lasts, or perhaps its end.
    Undecided,
    /// These looks were calm.
    Calm(Spell),
    /// An outage has ended, and the looks after it were calm.
    Ended { outage: Spell, calm: Spell },
    /// The excursion lasts so long that the rate has changed.
    Changed,
}

impl Spell {
    fn of(look: &Look<'_>, counts: RateCounts) -> Self {
        let due = look.events.iter().map(|(ratio, events)| {
            let (canary, all) = (u128::from(ratio.canary_buckets()), ratio.all_buckets());
            let stable = u128::from(all) - canary;
            let due = 1_000_000 * u128::from(events.stable) * canary / stable.max(1);
            u64::try_from(due).unwrap_or(u64::MAX)
        });
        Self {
            counts,
            millis: look.millis,
            due: due.fold(0, u64::saturating_add),
            canary: look.adverse.canary,
        }
    }

    const fn add(&mut self, other: Self) {
        self.counts.add(other.counts);
        self.millis = self.millis.saturating_add(other.millis);
        self.due = self.due.saturating_add(other.due);
        self.canary = self.canary.saturating_add(other.canary);
    }
}

impl OutageScan {
    /// Returns whether stored counts do not contradict each other.
    pub(crate) fn is_valid(&self) -> bool {
        let Self { excess, is_outage, spell, later } = self;
        let is_spell = spell.counts.adverse > 0 || (*excess == 0 && !is_outage);
        is_spell && *excess <= BURST_EXCESS && spell.counts.is_valid() && later.counts.is_valid()
    }

    /// Adds a look at a channel with these counts.
    pub(super) fn observe(&mut self, limit: f64, look: &Look<'_>, counts: RateCounts) -> Scanned {
        let now = Spell::of(look, counts);
        let level = self.level(limit);
        let due = |calls: u64| u128::from(calls).saturating_mul(u128::from(billionths(level)));
        self.excess = excess(self.excess, limit, counts).min(BURST_EXCESS);
        self.is_outage |= self.excess == BURST_EXCESS;
        self.later.add(now);
        let is_bad = u128::from(counts.adverse) * u128::from(BILLION) > due(counts.calls);
        if is_bad {
            self.spell.add(std::mem::take(&mut self.later));
        }
        if self.spell.millis > MOST_MILLIS {
            *self = Self::default();
            return Scanned::Changed;
        }
        let is_over = due(self.later.counts.calls) >= 2 * u128::from(BILLION);
        match self.is_outage {
            true if is_over => {
                let Self { spell: outage, later: calm, .. } = std::mem::take(self);
                Scanned::Ended { outage, calm }
            }
            false if self.excess == 0 => {
                let Self { mut spell, later, .. } = std::mem::take(self);
                spell.add(later);
                Scanned::Calm(spell)
            }
            _ => Scanned::Undecided,
        }
    }
}

impl OutageScan {
    /// Returns the rate at which calm and outage are equally likely: the logarithmic mean of the
    /// limit and the rate of the outage.
    fn level(&self, limit: f64) -> f64 {
        let rate = self.spell.counts.rate().filter(|rate| self.is_outage && *rate > limit);
        rate.map_or(limit, |rate| (rate - limit) / (rate / limit).ln())
    }
}

/// A rate that is above the limit for longer has changed for good.
pub(super) const MOST_MILLIS: u64 = 300_000;
