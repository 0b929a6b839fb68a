use super::evidence_state::channels;
use crate::{
    coin::Coin,
    coverage::{Calls, Coverage},
};

/// Which calls and occasions there were to judge.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub(super) struct CoverageState {
    /// The coin's two numbers of buckets, then the calls that were given, and those that were judged,
    /// stable's number first.
    calls: Vec<(u32, u32, [u64; 2], [u64; 2])>,
    occasions: Vec<(u32, u32, [u64; 2])>,
}

impl CoverageState {
    pub(super) fn of(coverage: &Coverage) -> Self {
        let calls = coverage.calls.iter().map(|(coin, Calls { given, judged })| {
            let (given, judged) = ([given.stable, given.canary], [judged.stable, judged.canary]);
            (coin.canary_buckets(), coin.all_buckets(), given, judged)
        });
        let occasions = coverage.occasions.iter().map(|(coin, both)| {
            (coin.canary_buckets(), coin.all_buckets(), [both.stable, both.canary])
        });
        Self { calls: calls.collect(), occasions: occasions.collect() }
    }

    /// None if there is no such coin.
    pub(super) fn restore(&self) -> Option<Coverage> {
        let mut coverage = Coverage::default();
        for (canary, all, given, judged) in &self.calls {
            let calls = Calls { given: channels(*given), judged: channels(*judged) };
            coverage.add_calls(Coin::try_new(*canary, *all)?, calls);
        }
        for (canary, all, occasions) in &self.occasions {
            coverage.add_occasions(Coin::try_new(*canary, *all)?, channels(*occasions));
        }
        Some(coverage)
    }
}
