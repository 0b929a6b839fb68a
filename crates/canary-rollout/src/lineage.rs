use std::{error, fmt, str};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The identity of a stored rollout, from the creation of its document on.
///
/// A replica that finds a document of another lineage knows that the store has been wiped or
/// replaced; see [`Rollout::loss`](crate::Rollout::loss).
///
/// ```
/// use canary_rollout::Lineage;
///
/// let lineage = Lineage::from_random(0x0123_4567_89ab_cdef);
/// assert_eq!(lineage.to_string(), "0123456789abcdef");
/// assert_eq!("0123456789abcdef".parse(), Ok(lineage));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Lineage(u64);

impl Lineage {
    /// Creates the lineage of a new document from a random number.
    #[must_use]
    pub const fn from_random(random: u64) -> Self {
        Self(random)
    }
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:016x}", self.0))
    }
}

impl str::FromStr for Lineage {
    type Err = InvalidLineage;

    fn from_str(text: &str) -> Result<Self, InvalidLineage> {
        let lineage = u64::from_str_radix(text, 16).map(Self).ok();
        let lineage = lineage.filter(|lineage| lineage.to_string() == text);
        lineage.ok_or_else(|| InvalidLineage(text.to_owned()))
    }
}

impl Serialize for Lineage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lineage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The error for a text that is not a [`Lineage`]. The message contains the text.
#[derive(Clone, Eq, PartialEq)]
pub struct InvalidLineage(String);

impl fmt::Display for InvalidLineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid lineage {:?}: expected 16 hexadecimal digits in lower case", self.0)
    }
}

impl error::Error for InvalidLineage {}

canary_core::debug_as_display!(InvalidLineage);
