use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use xxhash_rust::xxh64::xxh64;

use crate::store::{Document, Revision, Versioned};

/// The content of a document's file: the document and the number of writes to the file.
///
/// A revision consists of the count and a hash of the document. The count alone is not unique,
/// because it stays the same if an operator edits the document. The count of a new file begins at a
/// random number, so that a document that is removed and stored again gets another revision.
pub(super) struct Envelope {
    count: u64,
    document: Document,
}

impl Envelope {
    /// Creates the envelope that replaces `current`.
    pub(super) fn after(current: Option<&Self>, document: Document) -> Self {
        let count = current.map_or_else(first_count, |it| it.count.saturating_add(1));
        Self { count, document }
    }

    /// Parses the content of a file.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let EnvelopeFormat { format } = parse(text)?;
        if format != FORMAT {
            return Err(format!("format {format}, expected {FORMAT}"));
        }
        let EnvelopeFields { count, document, .. } = parse(text)?;
        let document = Bytes::copy_from_slice(document.get().as_bytes());
        let document = Document::try_new(document).map_err(|error| error.to_string())?;
        Ok(Self { count, document })
    }

    pub(super) fn text(&self) -> Vec<u8> {
        let Self { count, document } = self;
        let document = document.as_str();
        format!("{{\"format\":{FORMAT},\"count\":{count},\"document\":\n{document}\n}}\n").into()
    }

    pub(super) fn revision(&self) -> Revision {
        Revision::new(format!("{}-{:016x}", self.count, xxh64(self.document.as_bytes(), 0)))
    }

    pub(super) fn into_versioned(self) -> Versioned {
        Versioned { revision: self.revision(), document: self.document }
    }
}

/// Returns a number below 2^53, which all JSON parsers can read.
fn first_count() -> u64 {
    rand::random::<u64>() >> 11
}

fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
struct EnvelopeFormat {
    format: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeFields<'a> {
    #[serde(rename = "format")]
    _format: u32,
    count: u64,
    #[serde(borrow)]
    document: &'a RawValue,
}

const FORMAT: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_preserved_byte_for_byte() {
        for json in ["{}", "{\n  \"a\": 1.0,\r\n\t\"b\": \"é\\u00e9\" }"] {
            let document = Document::try_new(json).unwrap();
            let text = Envelope::after(None, document.clone()).text();
            assert_eq!(Envelope::parse(&text).unwrap().document, document);
        }
    }

    #[test]
    fn a_truncated_file_is_rejected() {
        let text = Envelope::after(None, Document::try_new(r#"{"a":"b"}"#).unwrap()).text();
        for len in 0..text.len() - 1 {
            assert!(Envelope::parse(&text[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn writing_the_same_document_again_changes_the_revision() {
        let document = Document::try_new("{}").unwrap();
        let first = Envelope::after(None, document.clone());
        assert_ne!(first.revision(), Envelope::after(Some(&first), document).revision());
    }

    #[test]
    fn editing_a_document_changes_the_revision() {
        let first = Envelope::after(None, Document::try_new(r#"{"a":1}"#).unwrap());
        let edited = String::from_utf8(first.text()).unwrap().replace("\"a\":1", "\"a\":2");
        let edited = Envelope::parse(edited.as_bytes()).unwrap();
        assert_eq!(edited.count, first.count);
        assert_ne!(edited.revision(), first.revision());
    }

    #[test]
    fn a_file_with_another_format_number_is_rejected() {
        let error = Envelope::parse(br#"{"format":2,"documents":[]}"#).err().unwrap();
        assert_eq!(error, "format 2, expected 1");
    }
}
