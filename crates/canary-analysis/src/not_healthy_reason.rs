use std::fmt;

use crate::explain::{count, of_calls, percent};

/// Why a monitor does not call the canary healthy, whatever the evidence for it: something is
/// missing that could speak against it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum NotHealthyReason {
    /// So many calls of the canary have no answer, among all that it was given. Had they gone
    /// badly, it would not be proven good enough.
    Unanswered {
        /// Calls in flight, given up or lost.
        calls: u64,
        /// All calls of the canary.
        given: u64,
    },
    /// The proof rests on storms, times when far more calls than usual go badly: without them the
    /// canary is not proven good enough yet.
    Outages {
        /// Adverse events that storms brought.
        events: u64,
        /// All adverse events.
        all: u64,
    },
    /// Only this part could be judged of the canary's calls, feedback or keys that are to be
    /// expected beside stable's.
    TooFewResults(f64),
    /// How many calls the canary was given is not observed, so that calls that hang would not show:
    /// a monitor that counts per key was told of no calls, or counts lack those that were picked.
    CallsUnknown,
    /// So many adverse events could not be counted, because the ledger of keys is full.
    LedgerFull(u64),
    /// So many calls or keys were on a channel that their weight excludes.
    ImpossibleAssignment(u64),
}

impl fmt::Display for NotHealthyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unanswered { calls, given } => {
                let calls = of_calls(*calls, *given);
                write!(f, "{calls} of the canary have no answer, and could all have gone badly")
            }
            Self::Outages { events, all } => {
                let (events, all) = (count(*events), count(*all));
                write!(
                    f,
                    "{events} of {all} bad ones came in storms, and without these it is not proven good"
                )
            }
            Self::TooFewResults(part) => {
                let part = percent(*part);
                write!(f, "the canary has only {part} of what the weight leads one to expect")
            }
            Self::CallsUnknown => {
                f.write_str(
                "how many calls the canary was given is not observed, and those that hang are unseen",
            )
            }
            Self::LedgerFull(events) => {
                let events = if *events == 1 {
                    "1 event was".to_owned()
                } else {
                    format!("{} events were", count(*events))
                };
                write!(f, "the ledger of keys is full, {events} not counted")
            }
            Self::ImpossibleAssignment(picks) => {
                let were = if *picks == 1 { "call or key was" } else { "calls or keys were" };
                write!(f, "{} {were} on a channel that the weight excludes", count(*picks))
            }
        }
    }
}
