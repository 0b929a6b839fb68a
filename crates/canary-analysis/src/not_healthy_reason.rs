use std::time::Duration;

/// The reason why a monitor does not call the canary healthy, however strong its evidence.
///
/// It prints as a clause of the finding.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum NotHealthyReason {
    /// Calls of the canary have no response. If all of them were bad, the canary would not be
    /// proven good enough.
    Unanswered {
        /// Canary calls in flight, cancelled or lost.
        calls: u64,
        /// All canary calls.
        given: u64,
    },
    /// The proof rests on [outages](crate#outages). Without them the canary is not proven good
    /// enough.
    Outages {
        /// Adverse events during outages.
        events: u64,
        /// All adverse events.
        all: u64,
    },
    /// The usual rate of adverse events is not known yet. An outage of both channels from the first
    /// call on would pass for it. A [baseline](crate::Baseline) makes it known from the start.
    UsualRateUnknown {
        /// The time with calls that the judge has seen.
        known: Duration,
        /// The time that it needs.
        needed: Duration,
    },
    /// The adverse events of both channels come in waves, so that no calm time is known in which the
    /// channels can be compared. Trouble of both that is always there hides a canary that is much
    /// worse.
    NeverCalm,
    /// Too few of the canary's calls have a response, compared with stable's.
    TooFewAnswers {
        /// The part of the canary's calls without a response, `0.0..=1.0`.
        canary: f64,
        /// The part of stable's calls without a response.
        stable: f64,
    },
    /// The canary has too few results: this fraction of the feedback, events or keys that are
    /// expected from stable's.
    TooFewResults(f64),
    /// The canary is [warming up](crate::Monitor::warm_up) for this long.
    WarmingUp(Duration),
    /// The canary is proven good enough, but a single bet on harm is too strong to begin a healthy
    /// verdict.
    SignsOfHarm {
        /// The natural logarithm of its e-value.
        log_e: f64,
    },
    /// The number of calls given to the canary is unknown, so that hanging calls would go
    /// unnoticed. Either a monitor per key got no calls, or the counts lack the picked calls.
    CallsUnknown,
    /// The ledger of keys is full and did not count this number of adverse events.
    LedgerFull(u64),
    /// This number of calls or keys went to a channel that their weight excludes.
    ImpossibleAssignment(u64),
}
