use canary_core::{Channel, PerChannel, Verdict};

use super::RollbackRule;
use crate::{as_f64, second::Second};

/// A test of two proportions that is repeated each second without correction.
#[derive(Clone, Copy, Debug, Default)]
pub struct RepeatedZ {
    calls: PerChannel<u64>,
    failures: PerChannel<u64>,
}

/// The number of canary calls before the first test.
const FEWEST: u64 = 10;

/// One-sided, at a level of 1 %.
const CRITICAL: f64 = 2.326_347_9;

impl RollbackRule for RepeatedZ {
    fn look(&mut self, second: &Second) -> Verdict {
        for channel in Channel::ALL {
            self.calls[channel] += second.calls(channel);
            self.failures[channel] += second.failures(channel);
        }
        let calls = PerChannel::from_fn(|channel| as_f64(self.calls[channel]));
        let failures = PerChannel::from_fn(|channel| as_f64(self.failures[channel]));
        let pooled = (failures.stable + failures.canary) / (calls.stable + calls.canary);
        let error = (pooled * (1.0 - pooled) * (1.0 / calls.stable + 1.0 / calls.canary)).sqrt();
        let difference = failures.canary / calls.canary - failures.stable / calls.stable;
        let is_worse = self.calls.canary >= FEWEST && difference > CRITICAL * error;
        if is_worse { Verdict::Degraded } else { Verdict::Inconclusive }
    }
}
