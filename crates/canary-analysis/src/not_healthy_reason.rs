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
