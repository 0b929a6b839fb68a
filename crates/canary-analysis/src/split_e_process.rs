use canary_core::PerChannel;

use crate::{
    log_space::{ln_weighted_mean_exp, times},
    split_ratio::SplitRatio,
};

/// An e-process on the split of events between the channels. The null is that the canary's rate is
/// `null` times stable's.
///
/// At a probability `w` of the canary, an event is then the canary's with probability `p = w*null /
/// (w*null + 1 - w)`, whatever the rates are. Under an alternative, `null * factor` takes the place
/// of `null`, and the probability is `q`. The e-value is the mean of the likelihood ratios of `N`
/// [`Alternatives`], weighted by their parts.
///
/// The only state is the number of events of each channel at each split ratio. These are integers,
/// so that the order and the grouping of events cannot change the result in any digit.
#[derive(Clone, Debug)]
pub(crate) struct SplitEProcess<const N: usize> {
    null: f64,
    alternatives: &'static Alternatives<N>,
    rows: Vec<Row<N>>,
}

/// The factors on which a bet is placed, and the part of the wealth on each.
#[derive(Debug)]
pub(crate) struct Alternatives<const N: usize> {
    factors: [f64; N],
    /// Above 0, with a sum of 1.
    parts: [f64; N],
}

impl<const N: usize> Alternatives<N> {
    pub(crate) const fn equal(factors: [f64; N]) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "about ten alternatives")]
        let part = 1.0 / N as f64;
        Self { factors, parts: [part; N] }
    }
}

/// The events at one split ratio, and the log-likelihood ratios of one event.
#[derive(Clone, Debug)]
struct Row<const N: usize> {
    ratio: SplitRatio,
    events: PerChannel<u64>,
    log_ratios: PerChannel<[f64; N]>,
}

impl<const N: usize> SplitEProcess<N> {
    pub(crate) const fn new(null: f64, alternatives: &'static Alternatives<N>) -> Self {
        Self { null, alternatives, rows: Vec::new() }
    }

    /// Creates a process without events, with the same null and alternatives.
    pub(crate) const fn emptied(&self) -> Self {
        Self::new(self.null, self.alternatives)
    }

    /// Adds events. Those at a certain ratio are no evidence and are ignored.
    pub(crate) fn add_events(&mut self, ratio: SplitRatio, events: PerChannel<u64>) {
        if ratio.is_certain() || events == PerChannel::default() {
            return;
        }
        match self.rows.binary_search_by_key(&ratio, |row| row.ratio) {
            Ok(at) => {
                let sum = &mut self.rows[at].events;
                *sum = sum.saturating_add(events);
            }
            Err(at) => {
                let log_ratios = log_ratios(self.null, &self.alternatives.factors, ratio);
                self.rows.insert(at, Row { ratio, events, log_ratios });
            }
        }
    }

    /// Removes all events. Their split ratios are kept, so that they can be added again quickly.
    pub(crate) fn clear(&mut self) {
        self.rows.iter_mut().for_each(|row| row.events = PerChannel::default());
    }

    /// Adds the events of `other`, whose null and alternatives may differ.
    pub(crate) fn merge<const M: usize>(&mut self, other: &SplitEProcess<M>) {
        other.events().for_each(|(ratio, events)| self.add_events(ratio, events));
    }

    pub(crate) fn log_e(&self) -> f64 {
        self.log_ratios().log_e()
    }

    /// Tests the same events against another null, with other alternatives.
    pub(crate) fn against<const M: usize>(
        &self,
        null: f64,
        alternatives: &'static Alternatives<M>,
    ) -> SplitEProcess<M> {
        let mut process = SplitEProcess::new(null, alternatives);
        process.merge(self);
        process
    }

    /// Returns the events at each split ratio.
    pub(crate) fn events(&self) -> impl Iterator<Item = (SplitRatio, PerChannel<u64>)> {
        self.rows.iter().map(|row| (row.ratio, row.events))
    }

    /// Returns the events at one split ratio.
    pub(crate) fn events_at(&self, ratio: SplitRatio) -> PerChannel<u64> {
        let at = self.rows.binary_search_by_key(&ratio, |row| row.ratio);
        at.map_or_else(|_| PerChannel::default(), |at| self.rows[at].events)
    }

    /// Returns the events at all split ratios.
    pub(crate) fn total(&self) -> PerChannel<u64> {
        self.events()
            .map(|(_, events)| events)
            .fold(PerChannel::default(), PerChannel::saturating_add)
    }

    /// Returns the log-likelihood ratio of each alternative.
    pub(crate) fn log_ratios(&self) -> SplitLogRatios<N> {
        let mut logs = [0.0; N];
        for Row { events, log_ratios, .. } in &self.rows {
            for (at, log) in logs.iter_mut().enumerate() {
                *log += times(events.canary, log_ratios.canary[at]);
                *log += times(events.stable, log_ratios.stable[at]);
            }
        }
        SplitLogRatios { null: self.null, alternatives: self.alternatives, logs }
    }
}

/// The log-likelihood ratios of a [`SplitEProcess`], to which events can be added cheaply: the cost
/// does not depend on the number of split ratios.
#[derive(Clone, Debug)]
pub(crate) struct SplitLogRatios<const N: usize> {
    null: f64,
    alternatives: &'static Alternatives<N>,
    logs: [f64; N],
}

impl<const N: usize> SplitLogRatios<N> {
    pub(crate) fn log_e(&self) -> f64 {
        ln_weighted_mean_exp(self.logs, &self.alternatives.parts)
    }

    pub(crate) fn map(self, change: impl FnMut(f64) -> f64) -> Self {
        Self { logs: self.logs.map(change), ..self }
    }

    /// Returns the log e-value after `canary` more canary events at `ratio` and none of stable.
    pub(crate) fn log_e_after(&self, ratio: SplitRatio, canary: u64) -> f64 {
        let mut logs = self.logs;
        if !ratio.is_certain() {
            let per_event = log_ratios(self.null, &self.alternatives.factors, ratio).canary;
            for (log, per_event) in logs.iter_mut().zip(per_event) {
                *log += times(canary, per_event);
            }
        }
        Self { logs, ..*self }.log_e()
    }
}

/// Returns `ln(q/p)` and `ln((1-q)/(1-p))` for each alternative.
///
/// Both are calculated as `ln(1 + x)`. This keeps the digits of the one that is close to zero: the
/// canary's at a weight near 1, and stable's at a weight near 0.
fn log_ratios<const N: usize>(
    null: f64,
    factors: &[f64; N],
    ratio: SplitRatio,
) -> PerChannel<[f64; N]> {
    let (w, v) = (ratio.probability(), ratio.complement());
    let under_null = w * null;
    PerChannel {
        canary: factors.map(|factor| (v * (factor - 1.0) / (under_null * factor + v)).ln_1p()),
        stable: factors.map(|factor| -(under_null * (factor - 1.0) / (under_null + v)).ln_1p()),
    }
}

/// Alternatives for a canary that is worse than the null. Small factors detect small harm in many
/// events, large ones detect large harm in few: with 100, two failures suffice at a weight of 1 %.
pub(crate) static WORSE: Alternatives<8> = Alternatives::equal(WORSE_FACTORS);

/// The same alternatives, with most of the wealth on rises by 1.5 to 5. With more on 5, rises by 2
/// are detected later; with less on 100, a canary at a weight of 10 % that fails every call is
/// detected at its fourth call and not at its third.
pub(crate) static WORSE_TUNED: Alternatives<8> =
    Alternatives { factors: WORSE_FACTORS, parts: [0.06, 0.1, 0.2, 0.2, 0.25, 0.07, 0.05, 0.07] };

/// Alternatives for events of which stable has hardly any, such as calls that hang. With nearly all
/// of the wealth on the largest ones, stable's long calls would hide a canary that hangs.
pub(crate) static WORSE_EXTREME: Alternatives<8> = Alternatives {
    factors: [1.25, 1.5, 2.0, 3.0, 5.0, 15.0, 100.0, 1000.0],
    parts: [0.05, 0.08, 0.1, 0.1, 0.1, 0.1, 0.12, 0.35],
};

const WORSE_FACTORS: [f64; 8] = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0];

/// Alternatives for a canary that is better than the null.
pub(crate) static BETTER: Alternatives<5> =
    Alternatives::equal([1.0 / 1.25, 1.0 / 1.5, 1.0 / 2.0, 1.0 / 3.0, 1.0 / 5.0]);
