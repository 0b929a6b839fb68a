use std::{fmt, str};

use bytes::Bytes;
use serde::de::IgnoredAny;

/// The state of a rollout as stored: one JSON object, which the store does not interpret.
///
/// A store returns exactly the bytes it was given. Constructing a `Document` checks that they are
/// one complete JSON object. Stores construct one on every read as well, so that a torn or foreign
/// value is detected before it is used.
///
/// The writer defines the schema. To order documents, compare values inside them, such as an
/// incarnation and a generation. [`Revision`](super::Revision)s have no order.
///
/// ```
/// use canary_controller::store::Document;
///
/// let document = Document::try_new(r#"{"schema":1,"generation":7}"#)?;
/// assert_eq!(document.as_str(), r#"{"schema":1,"generation":7}"#);
/// assert!(Document::try_new(r#"{"schema":1,"gener"#).is_err());
/// # Ok::<(), canary_controller::store::InvalidJson>(())
/// ```
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Document(Bytes);

/// A stored event of a rollout: one JSON object on one line, which the store does not interpret.
///
/// An append with an unknown outcome is repeated, which can store the event twice. Put an id into
/// each event, so that readers can remove duplicates.
///
/// ```
/// use canary_controller::store::EventRecord;
///
/// let event = EventRecord::try_new(r#"{"id":"7","by":"ada","kind":"paused"}"#)?;
/// assert_eq!(event.as_str(), r#"{"id":"7","by":"ada","kind":"paused"}"#);
/// assert_eq!(
///     EventRecord::try_new("{\n}").unwrap_err().to_string(),
///     "event of 3 bytes: expected one line",
/// );
/// # Ok::<(), canary_controller::store::InvalidJson>(())
/// ```
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct EventRecord(Bytes);

impl Document {
    /// The maximum size of a document: 128 KiB.
    ///
    /// It fits into a value of every common engine. The evidence of the largest plan takes at most three
    /// quarters of it. Rollouts, and the evidence of usual plans, have a few KiB.
    pub const MAX_LEN: usize = 128 * 1024;

    /// Creates a document from JSON text.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is longer than [`MAX_LEN`](Self::MAX_LEN), or is not a JSON
    /// object that begins with `{` and ends with `}`.
    pub fn try_new(json: impl Into<Bytes>) -> Result<Self, InvalidJson> {
        let json = json.into();
        check(&json, "document", Self::MAX_LEN)?;
        Ok(Self(json))
    }
}

impl EventRecord {
    /// The maximum size of an event: 8 KiB.
    pub const MAX_LEN: usize = 8 * 1024;

    /// The number of recent events per key that every store keeps at least: 256.
    pub const MIN_KEPT: usize = 256;

    /// Creates an event from JSON text.
    ///
    /// # Errors
    ///
    /// Returns an error if the text is longer than [`MAX_LEN`](Self::MAX_LEN), has a line break, or
    /// is not a JSON object that begins with `{` and ends with `}`.
    pub fn try_new(json: impl Into<Bytes>) -> Result<Self, InvalidJson> {
        let json = json.into();
        if json.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            return Err(InvalidJson {
                what: "event",
                len: json.len(),
                kind: InvalidJsonKind::LineBreak,
            });
        }
        check(&json, "event", Self::MAX_LEN)?;
        Ok(Self(json))
    }
}

macro_rules! json_accessors {
    ($($type:ident)*) => {
        $(
            impl $type {
                /// Returns the JSON text.
                #[must_use]
                pub fn as_str(&self) -> &str {
                    str::from_utf8(&self.0).expect("parsed JSON is UTF-8")
                }

                /// Returns the bytes of the JSON text.
                #[must_use]
                pub const fn as_bytes(&self) -> &Bytes {
                    &self.0
                }
            }

            impl fmt::Debug for $type {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.debug_tuple(stringify!($type)).field(&self.as_str()).finish()
                }
            }
        )*
    };
}

json_accessors!(Document EventRecord);

fn check(json: &[u8], what: &'static str, max_len: usize) -> Result<(), InvalidJson> {
    let invalid = |kind| InvalidJson { what, len: json.len(), kind };
    if json.len() > max_len {
        return Err(invalid(InvalidJsonKind::TooLong { max_len }));
    }
    if !json.starts_with(b"{") || !json.ends_with(b"}") {
        return Err(invalid(InvalidJsonKind::NotAnObject));
    }
    // serde_json does not check the UTF-8 of ignored strings.
    let text = str::from_utf8(json).map_err(|_| invalid(InvalidJsonKind::NotAnObject))?;
    let parsed = serde_json::from_str::<IgnoredAny>(text);
    parsed.map(drop).map_err(|error| invalid(InvalidJsonKind::Syntax(error.to_string())))
}

/// The error for bytes that are not a [`Document`] or [`EventRecord`]. The message states the
/// expectation.
#[derive(Clone, Eq, PartialEq, thiserror::Error)]
#[error("{what} of {len} bytes: {kind}")]
pub struct InvalidJson {
    what: &'static str,
    len: usize,
    kind: InvalidJsonKind,
}

canary_core::debug_as_display!(InvalidJson);

#[derive(Clone, Debug, Eq, PartialEq)]
enum InvalidJsonKind {
    TooLong { max_len: usize },
    LineBreak,
    NotAnObject,
    Syntax(String),
}

impl fmt::Display for InvalidJsonKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { max_len } => write!(f, "expected at most {max_len}"),
            Self::LineBreak => f.write_str("expected one line"),
            Self::NotAnObject => f.write_str("expected one JSON object, from '{' to '}', in UTF-8"),
            Self::Syntax(error) => write!(f, "expected one JSON object: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incomplete_or_foreign_json_is_rejected() {
        let cases: [&[u8]; 11] = [
            b"",
            b"\0\0\0",
            b"null",
            b"[1]",
            b"{",
            b"{\"a\":1",
            b"{}{}",
            b" {}",
            b"{}\n",
            b"{\"a\":}",
            b"{\"a\":\"\xff\"}",
        ];
        for json in cases {
            let error = Document::try_new(Bytes::from_static(json)).unwrap_err();
            let begin = format!("document of {} bytes: expected one JSON object", json.len());
            assert!(error.to_string().starts_with(&begin), "{error}");
        }
        assert!(Document::try_new("{\"a\": {\"b\": [1, \"é}\"]}\n}").is_ok());
    }

    #[test]
    fn documents_up_to_the_maximum_length_are_accepted() {
        let of = |len: usize| Document::try_new(format!(r#"{{"pad":"{}"}}"#, "x".repeat(len - 10)));
        assert_eq!(of(Document::MAX_LEN).unwrap().as_bytes().len(), Document::MAX_LEN);
        assert_eq!(
            of(Document::MAX_LEN + 1).unwrap_err().to_string(),
            "document of 131073 bytes: expected at most 131072"
        );
    }

    #[test]
    fn an_event_has_no_line_break() {
        for json in ["{\n}", "{\r}", "{}\n"] {
            assert!(
                EventRecord::try_new(json).unwrap_err().to_string().ends_with("expected one line")
            );
        }
        assert!(EventRecord::try_new(r#"{"said":"one\ntwo"}"#).is_ok());
    }
}
