use std::fmt;

use super::numbers::{amount, count, percent, plural};
use crate::not_healthy_reason::NotHealthyReason;

impl fmt::Display for NotHealthyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unanswered { calls, given } => {
                let (calls, given) = (count(*calls), plural(*given, "canary call"));
                write!(f, "{calls} of {given} have no answer yet and may all be bad")
            }
            Self::Outages { events, all } => {
                let (events, all) = (count(*events), plural(*all, "adverse event"));
                write!(
                    f,
                    "{events} of {all} came in outages of both versions, which prove nothing about the \
                     canary; waiting for calm"
                )
            }
            Self::TooFewAnswers { canary, stable } => {
                let canary = percent(*canary);
                let stable = match percent(*stable) {
                    none if none == "0%" => "all of stable's have one".to_owned(),
                    some => format!("{some} of stable's"),
                };
                write!(
                    f,
                    "{canary} of the canary's calls have no answer yet, {stable}: it hangs, or answers \
                     later"
                )
            }
            Self::UsualRateUnknown { known, needed } => {
                let (known, needed) = (known.as_secs(), needed.as_secs());
                write!(
                    f,
                    "the usual rate is not known yet, after {known}s of {needed}s: an outage of both \
                     versions would pass for it"
                )
            }
            Self::NeverCalm => f.write_str(
                "the rate of both versions rises and falls within minutes, so that a canary that is \
                 much worse would not show; waiting for calm",
            ),
            Self::TooFewResults(part) => {
                let part = percent(*part);
                write!(f, "the canary has only {part} of the results expected at its weight")
            }
            Self::WarmingUp(left) => {
                let left = left.as_secs_f64().ceil();
                write!(f, "the canary is warming up, its calls count in {left:.0}s")
            }
            Self::SignsOfHarm { log_e } => {
                write!(f, "but a single bet on harm stands at {}", amount(*log_e))
            }
            Self::CallsUnknown => f.write_str(
                "the number of canary calls is unknown, so hanging calls would go unnoticed",
            ),
            Self::LedgerFull(events) => {
                write!(f, "the key ledger is full and missed {}", plural(*events, "event"))
            }
            Self::ImpossibleAssignment(1) => {
                f.write_str("1 call or key went to a channel that its weight excludes")
            }
            Self::ImpossibleAssignment(picks) => {
                let picks = count(*picks);
                write!(f, "{picks} calls or keys went to a channel that their weight excludes")
            }
        }
    }
}
