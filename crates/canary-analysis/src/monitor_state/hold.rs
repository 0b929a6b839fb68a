use super::{MonitorEvidence, MonitorState};
use crate::{
    channel_comparison::ChannelComparison, levels::Levels, not_healthy_reason::NotHealthyReason,
    warm_up::WarmUp,
};

impl MonitorState {
    /// Holds a healthy verdict until a bet on harm is strong, so that it does not come and go with
    /// each call while nothing changes.
    ///
    /// The probability of a false proof is bounded for its first time already (Ville's inequality),
    /// so a proof need not be repeated. Any single bet on harm ends it, by itself: in a mixture, a
    /// late fault must first make up for the small part of the wealth of a late start.
    pub(crate) fn update_hold(&mut self, levels: Levels) {
        let MonitorEvidence::Comparison(comparison) = &self.evidence else { return };
        if let Some(max) = self.monitor.max_adverse() {
            self.holds_healthy =
                comparison.basis().canary > 0 && comparison.whole.adverse().canary <= max;
            return;
        }
        // The proof was that of an incident, as a calmer time has shown.
        let is_withdrawn = comparison.outage_filter.is_revised
            && comparison.log_e_good_without_outages() < levels.good_threshold();
        self.holds_healthy = if self.holds_healthy {
            !is_withdrawn && comparison.strongest_log_e_worse() < HOLD_ENDS.ln()
        } else {
            comparison.basis().canary > 0
                && comparison.log_e_good() >= levels.good_threshold()
                && self.not_healthy_reason(comparison, levels).is_none()
        };
    }

    /// Returns the reason why the canary is not called healthy, however strong the proof is.
    pub(super) fn not_healthy_reason(
        &self,
        comparison: &ChannelComparison,
        levels: Levels,
    ) -> Option<NotHealthyReason> {
        if self.monitor.max_adverse().is_some() {
            return None;
        }
        if self.impossible > 0 {
            return Some(NotHealthyReason::ImpossibleAssignment(self.impossible));
        }
        if self.refused > 0 {
            return Some(NotHealthyReason::LedgerFull(self.refused));
        }
        if let Some(left) = comparison.warm_up.as_deref().and_then(WarmUp::left) {
            return Some(NotHealthyReason::WarmingUp(left));
        }
        let given = comparison.completeness.given().canary;
        let counts_calls = self.monitor.measure().is_of_calls() && !self.monitor.is_without_key();
        if given == 0 && counts_calls {
            return Some(NotHealthyReason::CallsUnknown);
        }
        let completeness = &comparison.completeness;
        if completeness.fraction_of_calls().is_some_and(|it| it < MIN_COMPLETENESS) {
            let without = completeness.parts_unanswered();
            let (canary, stable) = (without.canary, without.stable);
            return Some(NotHealthyReason::TooFewAnswers { canary, stable });
        }
        if let Some(fraction) =
            completeness.fraction_of_trials().filter(|it| *it < MIN_COMPLETENESS)
        {
            return Some(NotHealthyReason::TooFewResults(fraction));
        }
        let is_proven = |log_e: f64| log_e >= levels.good_threshold();
        // While the verdict is held, calls in flight come and go. Only odds against it count then.
        let least = if self.holds_healthy { -HOLD_ENDS.ln() } else { levels.good_threshold() };
        let calls = completeness.all_unanswered().canary;
        if calls > 0 && comparison.log_e_good_answered() >= least && comparison.log_e_good() < least
        {
            return Some(NotHealthyReason::Unanswered { calls, given });
        }
        if self.holds_healthy {
            return None;
        }
        let harm = comparison.strongest_log_e_worse();
        if is_proven(comparison.log_e_good()) && harm >= HOLD_BEGINS.ln() {
            return Some(NotHealthyReason::SignsOfHarm { log_e: harm });
        }
        let (events, all) = comparison.events_in_outages();
        let needs_outages = events > 0
            && !is_proven(comparison.log_e_good_without_outages())
            && is_proven(comparison.log_e_good_with_outages());
        let background = &comparison.background;
        if needs_outages && !background.is_known() {
            let (known, needed) = background.known();
            return Some(NotHealthyReason::UsualRateUnknown { known, needed });
        }
        if needs_outages && background.is_in_waves() {
            return Some(NotHealthyReason::NeverCalm);
        }
        needs_outages.then_some(NotHealthyReason::Outages { events, all })
    }
}

/// The fraction of the expected canary results that a healthy verdict needs. A tenth leaves room
/// for chance: three standard deviations of about 1,000 trials, the number that most proofs need.
const MIN_COMPLETENESS: f64 = 0.9;

/// The odds of a single bet on harm at which a held healthy verdict ends. In simulations of good
/// canaries, 0.3 % of the verdicts were taken back within an hour; without holding them, 37 to
/// 74 %.
const HOLD_ENDS: f64 = 20.0;

/// The verdict becomes healthy, for the first time or again, only if these bets are weaker.
const HOLD_BEGINS: f64 = 5.0;
