/// A canary that is cold at first: some of its calls fail or take longer.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an option with all its parts")]
pub struct ColdStart {
    /// How long it is cold.
    pub until: ColdUntil,
    /// The fraction of its calls that fail while it is cold.
    pub fails: f64,
    /// The time that its calls take while it is cold, as a multiple.
    pub slower: f64,
}

/// The end of a [`ColdStart`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ColdUntil {
    /// For this many seconds.
    Seconds(f64),
    /// For this many calls.
    Calls(u64),
    /// It falls to a part of 1/e in this many seconds, and again in the next.
    Decays(f64),
}

impl ColdStart {
    /// Returns how cold the canary is after this many seconds and calls, `0.0..=1.0`.
    pub(super) fn level(self, seconds: f64, calls: u64) -> f64 {
        match self.until {
            ColdUntil::Seconds(until) if seconds < until => 1.0,
            ColdUntil::Calls(until) if calls < until => 1.0,
            ColdUntil::Seconds(_) | ColdUntil::Calls(_) => 0.0,
            ColdUntil::Decays(fold) => (-seconds / fold).exp(),
        }
    }
}
