use std::{error, fmt, str};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::timestamp::Timestamp;

/// The id of a stored [event](super::Event) of one rollout. It is never used again.
///
/// It consists of the event's number and time, as in `17-1795510800000`. The number alone is not
/// unique: after the store has been wiped or restored from a backup, other events get the same
/// numbers. Ids are ordered like the events of a history.
///
/// ```
/// use canary_rollout::event::EventId;
///
/// let id: EventId = "17-1795510800000".parse()?;
/// assert_eq!((id.number, id.at.to_string()), (17, "2026-11-24T09:00:00Z".to_owned()));
/// assert!(id < "18-1795510800000".parse()?);
/// # Ok::<(), canary_rollout::event::InvalidEventId>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "the text form has exactly these parts")]
pub struct EventId {
    /// The number of the event, from 1.
    pub number: u64,
    /// The time of the event.
    pub at: Timestamp,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-{}", self.number, self.at.as_millis()))
    }
}

impl str::FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, InvalidEventId> {
        let id = text.split_once('-').and_then(|(number, millis)| {
            let at = Timestamp::from_millis(millis.parse().ok()?);
            Some(Self { number: number.parse().ok()?, at })
        });
        // Each id has one text form, so that texts can be compared.
        id.filter(|id| id.to_string() == text).ok_or_else(|| InvalidEventId(text.to_owned()))
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The error for a text that is not an [`EventId`]. The message contains the text.
#[derive(Clone, Eq, PartialEq)]
pub struct InvalidEventId(String);

impl fmt::Display for InvalidEventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid event id {:?}: expected an id such as \"17-1795510800000\"", self.0)
    }
}

impl error::Error for InvalidEventId {}

canary_core::debug_as_display!(InvalidEventId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_exactly_one_text_form() {
        for text in ["1-0", "17-1795510800000", "18446744073709551615--1"] {
            let id: EventId = text.parse().unwrap();
            assert_eq!(id.to_string(), text);
            let json = serde_json::to_string(&id).unwrap();
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<EventId>(&json).unwrap(), id);
        }
        for text in ["", "17", "-", "17-", "-17", "+1-1", "01-1", "1-01", "1-1-1", "1-9e9"] {
            let message = text.parse::<EventId>().unwrap_err().to_string();
            assert!(message.contains(&format!("{text:?}")), "{message}");
        }
    }
}
