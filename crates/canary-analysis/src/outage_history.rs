#[cfg(feature = "serde")]
use crate::stored_default::is_default;
use crate::{
    background::Look, burst_detector::at_odds, calm_rate::RateCounts, log_space::float,
    outage_history::outage_scan::Scanned,
};

pub(crate) use self::{
    outage_scan::OutageScan,
    outage_sums::{OutageSums, OutageTotals},
};

mod outage_scan;
mod outage_sums;

/// The outages of stable that the canary did not share, over the last 6 to 12 hours.
///
/// Pods, pools and garbage collectors make each channel fail on its own, for a second or a minute.
/// The assignment of calls is still random, but a single outage then decides the channel of a
/// hundred failures at once, and the bets on single failures are not fair. If stable has shown such
/// outages, harm must also show over blocks of time, see `BlockBets`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(default))]
pub(crate) struct OutageHistory {
    /// The calm calls of stable in these five minutes, and in those before.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) calm: [RateCounts; 2],
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) calm_millis: u64,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) scan: OutageScan,
    /// The outages of these six hours, and of those before.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) sums: [OutageSums; 2],
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) sums_millis: u64,
}

impl OutageHistory {
    /// Adds a look. `floor` is the lowest rate that is taken as usual.
    pub(crate) fn observe(&mut self, floor: f64, look: &Look<'_>) {
        let stable = look.stable();
        if stable.calls == 0 {
            return;
        }
        self.sums[0].adverse = self.sums[0].adverse.saturating_add(stable.adverse);
        let Some(usual) = self.usual(floor) else {
            self.add_calm(stable, look.millis);
            return;
        };
        let limit = limit(usual);
        match self.scan.observe(limit, look, stable) {
            Scanned::Undecided => {}
            Scanned::Calm(calm) => self.add_calm(calm.counts, calm.millis),
            Scanned::Ended { outage, calm } => {
                self.sums[0].add(&outage, limit);
                self.add_calm(calm.counts, calm.millis);
            }
            // The usual rate is learned again.
            Scanned::Changed => (self.calm, self.calm_millis) = (Default::default(), 0),
        }
        self.sums_millis = self.sums_millis.saturating_add(look.millis);
        if self.sums_millis >= SUMS_MILLIS {
            self.sums = [OutageSums::default(), std::mem::take(&mut self.sums[0])];
            self.sums_millis = 0;
        }
    }

    /// Adds a look at the canary to the scan for its outages, by the limit of stable. Returns the
    /// length of an outage that has ended, if it has at least half of the rate of stable's own ones:
    /// a canary that is worse all the time has excursions too.
    pub(crate) fn scan_canary(
        &self,
        floor: f64,
        scan: &mut OutageScan,
        look: &Look<'_>,
    ) -> Option<u64> {
        let limit = limit(self.usual(floor)?);
        match scan.observe(limit, look, look.canary()) {
            Scanned::Ended { outage, .. } => {
                let (rate, own) = (outage.spell.counts.rate()?, self.own().counts.rate()?);
                (2.0 * rate >= own).then_some(outage.length_millis())
            }
            _ => None,
        }
    }

    fn add_calm(&mut self, counts: RateCounts, millis: u64) {
        self.calm[0].add(counts);
        self.calm_millis = self.calm_millis.saturating_add(millis);
        if self.calm_millis >= CALM_MILLIS && self.calm[0].calls >= CALM_CALLS {
            self.calm = [RateCounts::default(), self.calm[0]];
            self.calm_millis = 0;
        }
    }

    /// Returns stable's usual rate, or `None` if it is not known yet.
    ///
    /// It is the mean of the last five to ten minutes. The rate of the calmest time would not do,
    /// because a slow drift would pass for an outage.
    fn usual(&self, floor: f64) -> Option<f64> {
        let mut counts = self.calm[0];
        counts.add(self.calm[1]);
        let is_known = self.calm[1].calls > 0
            || (self.calm_millis >= FIRST_MILLIS && counts.calls >= CALM_CALLS);
        Some(counts.rate().filter(|_| is_known)?.max(floor))
    }

    /// Returns whether stored counts do not contradict each other.
    pub(crate) fn is_valid(&self) -> bool {
        self.calm.iter().all(|counts| counts.is_valid())
            && self.scan.is_valid()
            && self.sums.iter().all(OutageSums::is_valid)
    }

    /// Returns the sums over stable's own outages.
    pub(crate) fn own(&self) -> OutageTotals {
        self.all().own()
    }

    /// Returns the part that stable's own outages add to the variance of the number of its
    /// failures. Without outages, the variance is the number itself.
    pub(crate) fn own_part(&self) -> f64 {
        let all = self.all();
        let squares = float(all.own().squares);
        if squares > 0.0 { squares / float(all.adverse.max(1)) } else { 0.0 }
    }

    fn all(&self) -> OutageSums {
        let mut all = self.sums[0].clone();
        all.merge(&self.sums[1]);
        all
    }
}

fn limit(usual: f64) -> f64 {
    at_odds(ODDS_FACTOR, usual)
}

/// The limit as a multiple of the usual odds. A daily peak should not pass for an outage.
const ODDS_FACTOR: f64 = 4.0;
/// The usual rate is known after a minute and 500 calls.
const FIRST_MILLIS: u64 = 60_000;
const CALM_CALLS: u64 = 500;
/// The usual rate is that of one to two of these times.
pub(crate) const CALM_MILLIS: u64 = 300_000;
/// Outages are remembered for one to two of these times.
pub(crate) const SUMS_MILLIS: u64 = 6 * 3_600_000;
