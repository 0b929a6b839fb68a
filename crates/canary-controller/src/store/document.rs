use std::{fmt, str};

use bytes::Bytes;
use serde::de::IgnoredAny;

/// The state of a rollout as a store sees it: one JSON object, of which it reads nothing.
///
/// A store gives back the very bytes it was given. That they are a whole JSON object is checked
/// whenever a `Document` is made, on the way in and on the way out, so that what was torn or
/// replaced by something else is found before anybody acts on it.
///
/// The schema is the writer's. Readers that have to order documents do so by what stands in them,
/// such as an incarnation and a generation, not by a [`Revision`](super::Revision).
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

impl Document {
    /// The most bytes a document may have: 16 KiB.
    ///
    /// It fits a value of every engine, and a read of a whole fleet's documents stays small.
    pub const MAX_LEN: usize = 16 * 1024;

    /// Makes a document of JSON text.
    ///
    /// # Errors
    ///
    /// If it is longer than [`MAX_LEN`](Self::MAX_LEN) or no JSON object that begins with `{` and
    /// ends with `}`.
    pub fn try_new(json: impl Into<Bytes>) -> Result<Self, InvalidJson> {
        let json = json.into();
        check(&json, "document", Self::MAX_LEN)?;
        Ok(Self(json))
    }

    /// The JSON text.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "what was parsed is UTF-8")]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("JSON that was parsed is UTF-8")
    }

    /// The JSON text, as bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Document").field(&self.as_str()).finish()
    }
}

/// Something that happened to a rollout: one JSON object on one line, of which a store reads
/// nothing.
///
/// An append whose result is unknown is repeated, and may so be stored twice: give each event an
/// id by which readers can tell.
///
/// ```
/// use canary_controller::store::EventRecord;
///
/// let event = EventRecord::try_new(r#"{"id":"7","who":"ada","what":"paused"}"#)?;
/// assert_eq!(event.as_str(), r#"{"id":"7","who":"ada","what":"paused"}"#);
/// assert_eq!(
///     EventRecord::try_new("{\n}").unwrap_err().to_string(),
///     "event of 3 bytes: expected one line",
/// );
/// # Ok::<(), canary_controller::store::InvalidJson>(())
/// ```
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct EventRecord(Bytes);

impl EventRecord {
    /// The most bytes an event may have: 8 KiB.
    pub const MAX_LEN: usize = 8 * 1024;

    /// How many of the last events of a key every store keeps, at least: 256.
    pub const MIN_KEPT: usize = 256;

    /// Makes an event of JSON text.
    ///
    /// # Errors
    ///
    /// If it is longer than [`MAX_LEN`](Self::MAX_LEN), has a line break, or is no JSON object that
    /// begins with `{` and ends with `}`.
    pub fn try_new(json: impl Into<Bytes>) -> Result<Self, InvalidJson> {
        let json = json.into();
        if json.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            return Err(InvalidJson {
                what: "event",
                len: json.len(),
                kind: InvalidJsonKind::Lines,
            });
        }
        check(&json, "event", Self::MAX_LEN)?;
        Ok(Self(json))
    }

    /// The JSON text.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "what was parsed is UTF-8")]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("JSON that was parsed is UTF-8")
    }

    /// The JSON text, as bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for EventRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventRecord").field(&self.as_str()).finish()
    }
}

fn check(json: &[u8], what: &'static str, most: usize) -> Result<(), InvalidJson> {
    let invalid = |kind| InvalidJson { what, len: json.len(), kind };
    if json.len() > most {
        return Err(invalid(InvalidJsonKind::Longer(most)));
    }
    if !json.starts_with(b"{") || !json.ends_with(b"}") {
        return Err(invalid(InvalidJsonKind::NoObject));
    }
    // serde_json skips the text of strings that are ignored, UTF-8 or not.
    let text = str::from_utf8(json).map_err(|_| invalid(InvalidJsonKind::NoObject))?;
    let parsed = serde_json::from_str::<IgnoredAny>(text);
    parsed.map(drop).map_err(|error| invalid(InvalidJsonKind::NoJson(error.to_string())))
}

/// Bytes that are no [`Document`] or no [`EventRecord`]. The message says what was expected.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{what} of {len} bytes: {kind}")]
pub struct InvalidJson {
    what: &'static str,
    len: usize,
    kind: InvalidJsonKind,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum InvalidJsonKind {
    Longer(usize),
    Lines,
    NoObject,
    NoJson(String),
}

impl fmt::Display for InvalidJsonKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Longer(most) => write!(f, "expected at most {most}"),
            Self::Lines => f.write_str("expected one line"),
            Self::NoObject => f.write_str("expected one JSON object, from '{' to '}', in UTF-8"),
            Self::NoJson(error) => write!(f, "expected one JSON object: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_one_whole_object_is_no_document() {
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
    fn the_longest_document_is_one_and_a_longer_is_none() {
        let of = |len: usize| Document::try_new(format!(r#"{{"pad":"{}"}}"#, "x".repeat(len - 10)));
        assert_eq!(of(Document::MAX_LEN).unwrap().as_bytes().len(), Document::MAX_LEN);
        assert_eq!(
            of(Document::MAX_LEN + 1).unwrap_err().to_string(),
            "document of 16385 bytes: expected at most 16384"
        );
    }

    #[test]
    fn an_event_is_one_line() {
        for json in ["{\n}", "{\r}", "{}\n"] {
            assert!(
                EventRecord::try_new(json).unwrap_err().to_string().ends_with("expected one line")
            );
        }
        assert!(EventRecord::try_new(r#"{"said":"one\ntwo"}"#).is_ok());
    }
}
