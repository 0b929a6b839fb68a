use bytes::Bytes;
use canary_controller::store::{Document, Revision, Versioned};

use crate::proto::{Compare, KeyValue, compare::CompareResult, compares};

/// The id of one write: 128 random bits.
///
/// etcd's own revisions are unique only as long as its data is kept. If the data is lost, or restored
/// from a backup, they are used again, for other documents.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct WriteId(String);

impl WriteId {
    pub(crate) fn random() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()))
    }

    fn parse(text: &str) -> Option<Self> {
        let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (text.len() == LEN && is_hex).then(|| Self(text.to_owned()))
    }
}

/// Returns the value that is stored for a document: one JSON object that begins with the id of the
/// write, so that a transaction can compare the id as the beginning of the value.
pub(crate) fn value(write: &WriteId, document: &Document) -> Bytes {
    let document = document.as_str();
    format!("{HEAD}{}{MIDDLE}{document}{TAIL}", write.0).into()
}

/// Parses a value. The error states the expectation.
pub(crate) fn parse(stored: &KeyValue) -> Result<Versioned, String> {
    let value = &stored.value;
    let split = || {
        let rest = value.strip_prefix(HEAD.as_bytes())?;
        let (write, rest) = rest.split_at_checked(LEN)?;
        let write = WriteId::parse(str::from_utf8(write).ok()?)?;
        let document = rest.strip_prefix(MIDDLE.as_bytes())?.strip_suffix(TAIL.as_bytes())?;
        Some((write, value.slice_ref(document)))
    };
    let (write, document) = split().ok_or_else(|| {
        format!(
            "value of {} bytes: expected {HEAD}, {LEN} hexadecimal digits, {}, a document, and {}",
            value.len(),
            MIDDLE.escape_debug(),
            TAIL.escape_debug(),
        )
    })?;
    let document = Document::try_new(document).map_err(|error| error.to_string())?;
    Ok(Versioned { revision: revision(stored.mod_revision, &write), document })
}

/// Returns the revision of a document: etcd's revision of the key, which changes even if an operator
/// edits the value, and the id of the write.
pub(crate) fn revision(mod_revision: i64, write: &WriteId) -> Revision {
    Revision::new(format!("{mod_revision}-{}", write.0))
}

/// Returns the conditions under which a key has the expected revision. `None` expects no document.
pub(crate) fn conditions(key: &Bytes, expected: Option<&Revision>) -> Vec<Compare> {
    let Some(expected) = expected else { return vec![compares::is_absent(key)] };
    let parse = |text: &str| {
        let (mod_revision, write) = text.split_once('-')?;
        Some((mod_revision.parse().ok()?, WriteId::parse(write)?))
    };
    let Some((mod_revision, write)) = parse(expected.as_str()) else {
        // A revision of another store.
        return vec![compares::never(key)];
    };
    let end = |byte: char| Bytes::from(format!("{HEAD}{}{byte}", write.0));
    vec![
        compares::mod_revision(key, mod_revision),
        // The character after the id is a quotation mark. All values with this id are between the
        // value that ends there and the value with the next character.
        compares::value(key, CompareResult::Greater, end('"')),
        compares::value(key, CompareResult::Less, end('#')),
    ]
}

/// The number of digits of a [`WriteId`].
const LEN: usize = 32;

const HEAD: &str = r#"{"format":1,"write":""#;
const MIDDLE: &str = "\",\"document\":\n";
const TAIL: &str = "\n}";

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(value: impl Into<Bytes>) -> KeyValue {
        KeyValue { key: Bytes::new(), mod_revision: 7, value: value.into() }
    }

    #[test]
    fn a_value_is_one_json_object_with_the_bytes_of_the_document() {
        let document = Document::try_new("{ \"a\":\r\n1.0}").unwrap();
        let write = WriteId::random();
        let value = value(&write, &document);
        let parsed: serde_json::Value = serde_json::from_slice(&value).unwrap();
        assert_eq!(parsed["document"]["a"], 1.0);
        let read = parse(&stored(value)).unwrap();
        assert_eq!(read.document, document);
        assert_eq!(read.revision, revision(7, &write));
    }

    #[test]
    fn a_truncated_or_changed_value_is_rejected() {
        let whole = value(&WriteId::random(), &Document::try_new(r#"{"a":"b"}"#).unwrap());
        for len in 0..whole.len() {
            assert!(parse(&stored(whole.slice(..len))).is_err(), "{len} bytes");
        }
        for other in ["{}", r#"{"format":2,"write":"0"}"#, "\u{0}", r#"{"format":1,"write":"é"#] {
            let error = parse(&stored(other)).unwrap_err();
            assert!(error.contains("expected {\"format\":1,\"write\":\""), "{error}");
        }
    }
}
