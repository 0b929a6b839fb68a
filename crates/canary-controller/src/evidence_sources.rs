use std::fmt;

use canary_core::{Channel, PerChannel, Snapshot, Weight};
use tower_canary::control::Callers;

/// Who made the evidence: how many callers, and whether one of them made much of it.
///
/// It prints as one sentence for operators. It contains numbers only, no keys.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct EvidenceSources {
    /// The number of different keys that this attempt has counted, estimated from a sample. `None`
    /// if the monitors count calls.
    pub keys: Option<u64>,
    /// The part of the calls with a key that one key made in this process at the current weight,
    /// `0.0..=1.0`; `None` without such calls.
    pub largest_part: Option<f64>,
    /// The calls of this process at the current weight that are not evidence, because their caller
    /// had made its part of it.
    pub capped: u64,
    /// The outcomes in this process since the weight was last changed that the request alone made,
    /// because it named nothing that the service has. They are not evidence.
    pub client_made: PerChannel<u64>,
    /// The weight in force, if its calls are no evidence for monitors that count calls: an operator has
    /// set a weight again whose counts had no room in the evidence of a plan with many weights.
    pub closed: Option<Weight>,
}

impl EvidenceSources {
    /// The part of one key above which [`warning`](Self::warning) warns.
    pub const NOTABLE_PART: f64 = 0.05;

    pub(crate) fn new(keys: Option<u64>, callers: &Callers) -> Self {
        let (largest_part, capped) = (callers.largest_part(), callers.capped());
        Self { keys, largest_part, capped, ..Self::default() }
    }

    pub(crate) fn with_client_made(self, counts: &Snapshot) -> Self {
        let current = counts.current().map(|epoch| &epoch.counts);
        let of = |channel: Channel| current.map_or(0, |it| it.total(channel).client_made);
        Self { client_made: PerChannel::from_fn(of), ..self }
    }

    /// Returns a warning if the calls at the weight in force are not judged, if one key made more than
    /// 5 % of the calls with a key, or if there are too few keys for each to stay below.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        if let Some(weight) = self.closed {
            return Some(format!(
                "calls at weight {weight} are not judged, because the evidence has no room for it: \
                 set another weight"
            ));
        }
        let percent = |part: f64| format!("{:.0}%", 100.0 * part);
        match (self.keys, self.largest_part) {
            (Some(keys @ 1..FEW_KEYS), _) => {
                let plural = if keys == 1 { "" } else { "s" };
                Some(format!("the evidence is of only {keys} key{plural}"))
            }
            (_, Some(part)) if part > Self::NOTABLE_PART => {
                Some(format!("one key makes {} of the calls with a key", percent(part)))
            }
            _ => None,
        }
    }
}

impl fmt::Display for EvidenceSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.keys {
            Some(1) => f.write_str("1 key")?,
            Some(keys) => write!(f, "{keys} keys")?,
            None => f.write_str("the monitors count calls, not keys")?,
        }
        if let Some(part) = self.largest_part {
            write!(f, ", the busiest key makes {:.0}% of the calls with a key", 100.0 * part)?;
        }
        if self.capped > 0 {
            write!(f, ", {} calls of busy keys are no evidence", self.capped)?;
        }
        match self.client_made.stable.saturating_add(self.client_made.canary) {
            0 => Ok(()),
            made => write!(f, ", {made} client-made outcomes are no evidence"),
        }
    }
}

/// With fewer keys, at least one of them makes more than 5 %.
const FEW_KEYS: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_keys_busy_keys_and_closed_weights_are_warned_of() {
        let of = |keys, part| EvidenceSources {
            keys,
            largest_part: Some(part),
            ..EvidenceSources::default()
        };
        let warning = |keys, part| of(keys, part).warning();
        assert_eq!(warning(Some(500), 0.04), None);
        assert_eq!(warning(Some(2), 0.5).unwrap(), "the evidence is of only 2 keys");
        let busy = "one key makes 51% of the calls with a key";
        assert_eq!(warning(Some(500), 0.51).unwrap(), busy);
        assert_eq!(warning(None, 0.51).unwrap(), busy);
        assert_eq!(EvidenceSources::default().warning(), None);
        let closed = Some(Weight::from_percent(10));
        assert_eq!(
            EvidenceSources { closed, ..of(Some(2), 0.5) }.warning().unwrap(),
            "calls at weight 10% are not judged, because the evidence has no room for it: set another \
             weight",
        );
    }

    #[test]
    fn the_sources_print_as_numbers() {
        let client_made = PerChannel { stable: 30, canary: 4 };
        let (keys, largest_part) = (Some(2_000), Some(0.5));
        let sources = EvidenceSources { keys, largest_part, capped: 12, client_made, closed: None };
        assert_eq!(
            sources.to_string(),
            "2000 keys, the busiest key makes 50% of the calls with a key, 12 calls of busy keys are \
             no evidence, 34 client-made outcomes are no evidence",
        );
    }
}
