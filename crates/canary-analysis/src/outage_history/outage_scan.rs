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
/// measured at a level between the limit and the rate of the outage: a single failure before or after
/// an outage of every call does not make it longer.
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
    Ended { outage: EndedOutage, calm: Spell },
    /// The excursion lasts so long that the rate has changed.
    Changed,
}

/// An outage that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndedOutage {
    /// All looks from its first bad one to its last.
    pub(super) spell: Spell,
    look_millis: u64,
}

impl EndedOutage {
    /// Returns its length. The first and the last look are bad in part, half of each on average.
    pub(super) fn length_millis(&self) -> u64 {
        self.spell.millis.saturating_sub(self.look_millis).max(self.look_millis)
    }
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
        let was_outage = self.is_outage;
        let level = self.level(limit);
        let due = |calls: u64| u128::from(calls).saturating_mul(u128::from(billionths(level)));
        self.excess = excess(self.excess, limit, counts).min(BURST_EXCESS);
        self.is_outage |= self.excess == BURST_EXCESS;
        let is_bad = u128::from(counts.adverse) * u128::from(BILLION) > due(counts.calls);
        if is_bad && !was_outage && self.begins_with(limit, counts) {
            let mut lead = std::mem::replace(&mut self.spell, now);
            lead.add(std::mem::take(&mut self.later));
            return Scanned::Calm(lead);
        }
        self.later.add(now);
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
                let Self { spell, later: calm, .. } = std::mem::take(self);
                Scanned::Ended { outage: EndedOutage { spell, look_millis: look.millis }, calm }
            }
            false if self.excess == 0 => {
                let Self { mut spell, later, .. } = std::mem::take(self);
                spell.add(later);
                Scanned::Calm(spell)
            }
            _ => Scanned::Undecided,
        }
    }

    /// Returns whether the excursion so far was chance, and an outage may begin with a look that has
    /// these counts: at least twice as many events as before, and so high a rate that the time before
    /// is calm beside it.
    fn begins_with(&self, limit: f64, counts: RateCounts) -> bool {
        let mut before = self.spell.counts;
        before.add(self.later.counts);
        let is_clear = counts.adverse >= FEWEST_EVENTS && counts.adverse / 2 >= before.adverse;
        let rate = counts.rate().unwrap_or(0.0);
        is_clear && before.rate().is_some_and(|before| before < middle(limit, rate))
    }

    /// Returns the rate at which calm and outage are equally likely, or the limit before an outage.
    fn level(&self, limit: f64) -> f64 {
        let rate = self.spell.counts.rate().filter(|_| self.is_outage);
        rate.map_or(limit, |rate| middle(limit, rate))
    }
}

/// Returns the logarithmic mean of the limit and a rate above it: at this rate, both are equally likely.
fn middle(limit: f64, rate: f64) -> f64 {
    if rate > limit { (rate - limit) / (rate / limit).ln() } else { limit }
}

/// A look with a single event does not begin an outage again: at one call a second, each would.
const FEWEST_EVENTS: u64 = 2;

/// A rate that is above the limit for longer has changed for good.
pub(super) const MOST_MILLIS: u64 = 300_000;
