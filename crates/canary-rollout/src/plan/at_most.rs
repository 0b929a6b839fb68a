use std::fmt;

use canary_analysis::{Limit, error::LimitError};
use canary_core::Weight;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The absolute limit of a [`MonitorSpec`](super::MonitorSpec): a share of the canary's calls, as
/// `"0.1%"`, or a number of calls, as `5`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AtMost {
    /// A share of the canary's calls, from 0.0001% to 50%.
    Share(Weight),
    /// A number of the canary's calls in the whole rollout.
    Calls(u64),
}

impl AtMost {
    pub(crate) fn limit(self) -> Result<Limit, LimitError> {
        match self {
            Self::Share(share) => Limit::rate(share.ratio()),
            Self::Calls(calls) => Ok(Limit::count(calls)),
        }
    }
}

impl Serialize for AtMost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Share(share) => serializer.collect_str(share),
            Self::Calls(calls) => serializer.serialize_u64(*calls),
        }
    }
}

impl<'de> Deserialize<'de> for AtMost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AtMostVisitor)
    }
}

struct AtMostVisitor;

impl de::Visitor<'_> for AtMostVisitor {
    type Value = AtMost;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a share of calls such as \"0.1%\", or a number of calls such as 5")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<AtMost, E> {
        text.parse().map(AtMost::Share).map_err(E::custom)
    }

    fn visit_u64<E>(self, calls: u64) -> Result<AtMost, E> {
        Ok(AtMost::Calls(calls))
    }

    fn visit_i64<E: de::Error>(self, calls: i64) -> Result<AtMost, E> {
        let unexpected = || E::invalid_value(de::Unexpected::Signed(calls), &self);
        u64::try_from(calls).map(AtMost::Calls).map_err(|_| unexpected())
    }
}
