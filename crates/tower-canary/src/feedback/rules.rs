use std::{
    fmt,
    time::{Duration, SystemTime},
};

use super::signer::Signer;

/// Which receipts a canary takes.
pub(super) struct ReceiptRules {
    pub(super) signer: Signer,
    pub(super) max_age: Duration,
    pub(super) remembered: usize,
    pub(super) clock: Box<dyn Fn() -> SystemTime + Send + Sync>,
}

impl ReceiptRules {
    /// Seconds since 1970, until 2106.
    pub(super) fn now(&self) -> u32 {
        let since_1970 = (self.clock)().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u32::try_from(since_1970.as_secs()).unwrap_or(u32::MAX)
    }
}

impl Default for ReceiptRules {
    fn default() -> Self {
        Self {
            signer: Signer::default(),
            max_age: Duration::from_secs(7 * 24 * 60 * 60),
            remembered: 65_536,
            clock: Box::new(SystemTime::now),
        }
    }
}

impl fmt::Debug for ReceiptRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiptRules")
            .field("signer", &self.signer)
            .field("max_age", &self.max_age)
            .field("remembered", &self.remembered)
            .finish_non_exhaustive()
    }
}
