use std::{borrow::Cow, collections::BTreeSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use super::{Kind, Lines, Node, SourcePosition, SyntaxError, number};

/// Parses JSON. serde_json does not report the positions of values, but a [`RawValue`] is a slice
/// of the text.
pub(crate) fn read(text: &str) -> Result<Node, SyntaxError> {
    // This also limits the depth, before `node` recurses.
    serde_json::from_str::<Value>(text).map_err(|error| syntax_error(&error))?;
    let root = serde_json::from_str(text).map_err(|error| syntax_error(&error))?;
    JsonReader { text, lines: Lines::of(text) }.node(root)
}

struct JsonReader<'a> {
    text: &'a str,
    lines: Lines,
}

impl<'a> JsonReader<'a> {
    fn node(&self, raw: &'a RawValue) -> Result<Node, SyntaxError> {
        let at = self.position(raw.get());
        let invalid = |error: serde_json::Error| SyntaxError { at, ..syntax_error(&error) };
        let kind = match raw.get().as_bytes().first() {
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(invalid)?;
                Kind::List(items.into_iter().map(|item| self.node(item)).collect::<Result<_, _>>()?)
            }
            Some(b'{') => {
                let Fields(raw_fields) = serde_json::from_str(raw.get()).map_err(invalid)?;
                let mut fields: Vec<(String, SourcePosition, Node)> = Vec::new();
                let mut names = BTreeSet::new();
                for (key, value) in raw_fields {
                    let node = self.node(value)?;
                    let at = match &key {
                        Cow::Borrowed(key) => self.position(key),
                        // A key with escapes is not a slice of the text.
                        Cow::Owned(_) => node.at,
                    };
                    if !names.insert(key.clone()) {
                        return Err(SyntaxError::duplicate(at, &key));
                    }
                    fields.push((key.into_owned(), at, node));
                }
                Kind::Table(fields)
            }
            _ => {
                let value: Value = serde_json::from_str(raw.get()).map_err(invalid)?;
                let float = if value.is_f64() { value.as_f64().and_then(number) } else { None };
                Kind::Scalar(float.unwrap_or(value))
            }
        };
        Ok(Node { at, kind })
    }

    fn position(&self, part: &str) -> SourcePosition {
        let offset = part.as_ptr() as usize - self.text.as_ptr() as usize;
        // The slice of a key begins after its quotation mark.
        let quote = usize::from(self.text.as_bytes().get(offset.wrapping_sub(1)) == Some(&b'"'));
        self.lines.position(offset - quote)
    }
}

/// The fields of an object in their order, including duplicates.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((key, value)) = map.next_entry::<Key<'de>, &RawValue>()? {
                    fields.push((key.0, value));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

fn syntax_error(error: &serde_json::Error) -> SyntaxError {
    let at = SourcePosition { line: error.line(), column: error.column().max(1) };
    let message = error.to_string();
    let message = match message.split(" at line ").next().unwrap_or(&message) {
        "unexpected end of hex escape" | "lone leading surrogate in hex escape" => {
            "lone surrogate, expected a pair such as \\ud83d\\ude80"
        }
        message => message,
    };
    SyntaxError { at, message: format!("invalid JSON: {message}") }
}
