use std::{borrow::Cow, collections::BTreeMap, error, fmt};

use crate::{Channel, Latencies, Outcome, PerAge, PerChannel, PerReason, RouteClass};

/// The counts of the calls that were assigned to one channel.
///
/// Every assigned call has ended in one of four ways, or is in flight:
///
/// ```text
/// picked = success + failure + cancelled + spilled + in flight
/// ```
///
/// Counts never decrease.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ChannelCounts {
    /// Calls assigned to the channel.
    pub picked: u64,
    /// The same calls, by the reason for the assignment.
    pub reasons: PerReason,
    /// Calls that ended as [`Outcome::Success`].
    pub success: u64,
    /// Successes in which the request alone made the outcome: it named nothing that the service
    /// has. They show nothing about the release and are not compared.
    pub client_made: u64,
    /// Calls that ended as [`Outcome::Failure`].
    pub failure: u64,
    /// Calls that ended as [`Outcome::Cancelled`].
    pub cancelled: u64,
    /// Cancelled calls whose caller had the head of the response, with the name of the channel in
    /// it. They are not compared, because the caller could choose by the channel.
    pub cancelled_after_tag: u64,
    /// Calls that stable served because the canary did not take them. They count a second time as
    /// [excluded](Counts::excluded) calls of stable. Stable itself never spills.
    ///
    /// A call for which the canary was not ready counts against it; a [shed](Self::shed) call does
    /// not.
    pub spilled: u64,
    /// Spilled calls that exceeded a concurrency limit of the canary. They are not compared: the
    /// operator chose the limit, and the callers fill it.
    pub shed: u64,
    /// Failed calls in which the service panicked.
    pub panicked: u64,
    /// Failed calls without a response within the time limit of the layer.
    pub timed_out: u64,
    /// Failed calls that stable repeated, hidden from their callers. They count a second time as
    /// [excluded](Counts::excluded) calls of stable.
    pub fell_back: u64,
    /// Calls that reached an [age](crate::Age) without the head of a response. A call counts when
    /// it reaches the age, although it has not ended, and stays counted when it is answered later.
    pub unanswered: PerAge,
    /// Time from the call to the head of the response. Calls that panicked before it are missing.
    pub head: Latencies,
    /// Time from the call to the end of the response. Cancelled calls are missing.
    pub end: Latencies,
}

impl ChannelCounts {
    /// Returns the number of calls that ended with this outcome.
    #[must_use]
    pub const fn outcome(&self, outcome: Outcome) -> u64 {
        match outcome {
            Outcome::Success => self.success,
            Outcome::Failure => self.failure,
            Outcome::Cancelled => self.cancelled,
        }
    }

    /// Returns the ended calls that are not compared with those of the other channel, because their
    /// callers or the operator made the outcome: [client-made](Self::client_made) outcomes,
    /// [shed](Self::shed) calls, and callers who left [after they saw the
    /// channel](Self::cancelled_after_tag).
    #[must_use]
    pub const fn not_compared(&self) -> u64 {
        let excepted = self.client_made.saturating_add(self.shed);
        excepted.saturating_add(self.cancelled_after_tag)
    }

    /// Returns the failures to compare: failed calls, and those for which the canary was not ready.
    #[must_use]
    pub const fn compared_failures(&self) -> u64 {
        self.failure.saturating_add(self.spilled.saturating_sub(self.shed))
    }

    /// Returns the cancelled calls to compare: those whose caller did not know the channel.
    #[must_use]
    pub const fn compared_cancelled(&self) -> u64 {
        self.cancelled.saturating_sub(self.cancelled_after_tag)
    }

    /// Returns the calls to compare that have a result: successes, failures, and calls for which
    /// the canary was not ready.
    #[must_use]
    pub const fn compared_results(&self) -> u64 {
        self.success.saturating_sub(self.client_made).saturating_add(self.compared_failures())
    }

    /// Returns the number of calls that have ended.
    #[must_use]
    pub const fn ended(&self) -> u64 {
        let sum = self.success.saturating_add(self.failure).saturating_add(self.cancelled);
        sum.saturating_add(self.spilled)
    }

    /// Returns the number of calls whose response or upgraded connection has not ended.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        self.picked.saturating_sub(self.ended())
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        let Self { picked, reasons, success, failure, cancelled, .. } = self;
        *picked = picked.saturating_add(other.picked);
        reasons.merge(&other.reasons);
        *success = success.saturating_add(other.success);
        *failure = failure.saturating_add(other.failure);
        *cancelled = cancelled.saturating_add(other.cancelled);
        let Self { client_made, cancelled_after_tag, .. } = self;
        *client_made = client_made.saturating_add(other.client_made);
        *cancelled_after_tag = cancelled_after_tag.saturating_add(other.cancelled_after_tag);
        let Self { spilled, shed, panicked, timed_out, fell_back, unanswered, head, end, .. } =
            self;
        *spilled = spilled.saturating_add(other.spilled);
        *shed = shed.saturating_add(other.shed);
        *panicked = panicked.saturating_add(other.panicked);
        *timed_out = timed_out.saturating_add(other.timed_out);
        *fell_back = fell_back.saturating_add(other.fell_back);
        unanswered.merge(&other.unanswered);
        head.merge(&other.head);
        end.merge(&other.end);
    }

    fn since(&self, earlier: &Self) -> Result<Self, &'static str> {
        let less = |now: u64, then: u64, name| now.checked_sub(then).ok_or(name);
        Ok(Self {
            picked: less(self.picked, earlier.picked, "picked")?,
            reasons: self.reasons.checked_sub(&earlier.reasons).ok_or("reasons")?,
            success: less(self.success, earlier.success, "success")?,
            client_made: less(self.client_made, earlier.client_made, "client_made")?,
            failure: less(self.failure, earlier.failure, "failure")?,
            cancelled: less(self.cancelled, earlier.cancelled, "cancelled")?,
            cancelled_after_tag: less(
                self.cancelled_after_tag,
                earlier.cancelled_after_tag,
                "cancelled_after_tag",
            )?,
            spilled: less(self.spilled, earlier.spilled, "spilled")?,
            shed: less(self.shed, earlier.shed, "shed")?,
            panicked: less(self.panicked, earlier.panicked, "panicked")?,
            timed_out: less(self.timed_out, earlier.timed_out, "timed_out")?,
            fell_back: less(self.fell_back, earlier.fell_back, "fell_back")?,
            unanswered: self.unanswered.checked_sub(&earlier.unanswered).ok_or("unanswered")?,
            head: self.head.checked_sub(&earlier.head).ok_or("head")?,
            end: self.end.checked_sub(&earlier.end).ok_or("end")?,
        })
    }
}

/// The counts of both channels, separated into evidence and excluded calls.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counts {
    /// Calls that the weight assigned, at random or by the hash of a key. Only these can be
    /// compared between the channels.
    pub evidence: PerChannel<ChannelCounts>,
    /// Calls assigned for [another reason](crate::AssignmentReason::is_evidence): rules of the
    /// application, testers, and calls that the canary spilled or failed.
    pub excluded: PerChannel<ChannelCounts>,
    /// The part of the [evidence](Self::evidence) that belongs to each class of routes. Classes
    /// without calls are missing. The class of a call may be counted slightly before or after the
    /// call itself. Excluded calls are in no class.
    pub classes: BTreeMap<RouteClass, PerChannel<ChannelCounts>>,
}

impl Counts {
    /// Returns all calls of `channel`, both evidence and excluded.
    #[must_use]
    pub fn total(&self, channel: Channel) -> ChannelCounts {
        let mut total = self.evidence[channel].clone();
        total.merge(&self.excluded[channel]);
        total
    }

    /// Returns the observed share of calls on the canary, `0.0..=1.0`, or `None` before the first
    /// call.
    ///
    /// The [`Weight`](crate::Weight) is the requested share. [Excluded](Self::excluded) calls do
    /// not count.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        let (stable, canary) = (self.evidence.stable.picked, self.evidence.canary.picked);
        #[expect(
            clippy::cast_precision_loss,
            reason = "the relative error of a share is at most 1e-16"
        )]
        let share = canary as f64 / (stable as f64 + canary as f64);
        (stable > 0 || canary > 0).then_some(share)
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        for channel in Channel::ALL {
            self.evidence[channel].merge(&other.evidence[channel]);
            self.excluded[channel].merge(&other.excluded[channel]);
        }
        for (class, evidence) in &other.classes {
            let sum = self.classes.entry(class.clone()).or_default();
            Channel::ALL.into_iter().for_each(|channel| sum[channel].merge(&evidence[channel]));
        }
    }

    /// Returns the counts since `earlier`.
    ///
    /// # Errors
    ///
    /// Returns an error if a count is lower than in `earlier`: then `earlier` is not an earlier
    /// state of these counts.
    pub fn since(&self, earlier: &Self) -> Result<Self, CountsWentBackwards> {
        let mut difference = Self::default();
        for channel in Channel::ALL {
            let fail = |count: &'static str| CountsWentBackwards::new(channel, count);
            difference.evidence[channel] =
                self.evidence[channel].since(&earlier.evidence[channel]).map_err(fail)?;
            difference.excluded[channel] =
                self.excluded[channel].since(&earlier.excluded[channel]).map_err(fail)?;
        }
        let nothing = PerChannel::default();
        for class in self.classes.keys().chain(earlier.classes.keys()) {
            let of = |counts: &Self| counts.classes.get(class).unwrap_or(&nothing).clone();
            let (now, then) = (of(self), of(earlier));
            let evidence = difference.classes.entry(class.clone()).or_default();
            for channel in Channel::ALL {
                let fail =
                    |count| CountsWentBackwards::new(channel, format!("{count} of class {class}"));
                evidence[channel] = now[channel].since(&then[channel]).map_err(fail)?;
            }
        }
        Ok(difference)
    }
}

/// The error for a count that is lower than before, although counts never decrease.
#[derive(Clone, Eq, PartialEq)]
pub struct CountsWentBackwards {
    channel: Channel,
    count: Cow<'static, str>,
}

impl CountsWentBackwards {
    pub(crate) fn new(channel: Channel, count: impl Into<Cow<'static, str>>) -> Self {
        Self { channel, count: count.into() }
    }
}

impl fmt::Display for CountsWentBackwards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channel, count } = self;
        write!(f, "the count `{count}` of {channel} is lower than it was earlier")
    }
}

crate::debug_as_display!(CountsWentBackwards);

impl error::Error for CountsWentBackwards {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Age;

    fn of_class(class: &str, failures: u64) -> Counts {
        let mut counts = Counts::default();
        let evidence = counts.classes.entry(class.parse().unwrap()).or_default();
        evidence.canary.failure = failures;
        counts
    }

    #[test]
    fn classes_are_added_and_subtracted_separately() {
        let mut sum = of_class("checkout", 2);
        sum.merge(&of_class("search", 5));
        sum.merge(&of_class("checkout", 1));
        assert_eq!(sum.classes["checkout"].canary.failure, 3);
        assert_eq!(sum.classes["search"].canary.failure, 5);

        let difference = sum.since(&of_class("checkout", 2)).unwrap();
        assert_eq!(difference.classes["checkout"].canary.failure, 1);
        assert_eq!(difference.classes["search"].canary.failure, 5);
    }

    #[test]
    fn the_error_names_a_class_that_decreased_or_vanished() {
        for now in [of_class("checkout", 1), Counts::default()] {
            let error = now.since(&of_class("checkout", 2)).unwrap_err();
            assert_eq!(
                error.to_string(),
                "the count `failure of class checkout` of canary is lower than it was earlier"
            );
        }
    }

    #[test]
    fn counts_since_an_earlier_state_are_the_difference() {
        let mut earlier = Counts::default();
        earlier.evidence.canary.picked = 3;
        let mut now = earlier.clone();
        now.evidence.canary.picked = 5;
        now.excluded.stable.failure = 1;

        let difference = now.since(&earlier).unwrap();
        assert_eq!(difference.evidence.canary.picked, 2);
        assert_eq!(difference.total(Channel::Stable).failure, 1);
    }

    #[test]
    fn the_error_names_a_count_that_decreased() {
        let mut earlier = Counts::default();
        earlier.evidence.canary.failure = 1;
        let error = Counts::default().since(&earlier).unwrap_err();
        assert_eq!(error.to_string(), "the count `failure` of canary is lower than it was earlier");
    }

    #[test]
    fn unanswered_calls_are_added_and_subtracted_by_age() {
        let unanswered = |calls: u64| {
            let mut counts = Counts::default();
            counts.evidence.canary.unanswered[Age::ThirtySeconds] = calls;
            counts
        };
        let mut sum = unanswered(2);
        sum.merge(&unanswered(3));
        assert_eq!(sum, unanswered(5));
        assert_eq!(sum.since(&unanswered(4)).unwrap(), unanswered(1));
        let error = unanswered(1).since(&sum).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the count `unanswered` of canary is lower than it was earlier"
        );
    }

    #[test]
    fn outcomes_that_callers_or_the_operator_choose_are_not_compared() {
        let counts = ChannelCounts {
            picked: 100,
            success: 50,
            client_made: 20,
            failure: 5,
            cancelled: 12,
            cancelled_after_tag: 9,
            spilled: 8,
            shed: 6,
            ..ChannelCounts::default()
        };
        assert_eq!(counts.not_compared(), 20 + 9 + 6);
        assert_eq!(counts.compared_failures(), 5 + 8 - 6);
        assert_eq!(counts.compared_cancelled(), 12 - 9);
        assert_eq!(counts.compared_results(), 50 - 20 + 5 + 8 - 6);
        let compared = counts.compared_results() + counts.compared_cancelled();
        assert_eq!(compared + counts.not_compared(), counts.ended());
    }

    #[test]
    fn there_is_no_share_before_the_first_call() {
        assert_eq!(Counts::default().share(), None);
    }

    #[test]
    fn the_share_counts_only_calls_that_the_weight_assigned() {
        let mut counts = Counts::default();
        counts.evidence.stable.picked = 3;
        counts.evidence.canary.picked = 1;
        counts.excluded.canary.picked = 100;
        assert_eq!(counts.share(), Some(0.25));
    }
}
