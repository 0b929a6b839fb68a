use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::{Kind, Lines, Node, SourcePosition, SyntaxError, number};

/// Parses TOML. Dates become strings.
pub(crate) fn read(text: &str) -> Result<Node, SyntaxError> {
    let lines = Lines::of(text);
    match DeTable::parse(text) {
        Ok(table) => {
            let mut root = lines.node(0, &DeValue::Table(table.into_inner()))?;
            root.at = SourcePosition { line: 1, column: 1 };
            Ok(root)
        }
        Err(error) => {
            let at = lines.position(error.span().map_or(0, |span| span.start));
            Err(SyntaxError { at, message: format!("invalid TOML: {}", error.message()) })
        }
    }
}

impl Lines {
    fn node(&self, offset: usize, value: &DeValue<'_>) -> Result<Node, SyntaxError> {
        let at = self.position(offset);
        let fail = |number: &str| {
            let message = format!("number {number} is out of range");
            SyntaxError { at, message }
        };
        let scalar = match value {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(it) => Value::Bool(*it),
            DeValue::Datetime(it) => Value::String(it.to_string()),
            DeValue::Integer(it) => {
                let parsed = i64::from_str_radix(it.as_str(), it.radix());
                Value::from(parsed.map_err(|_| fail(it.as_str()))?)
            }
            DeValue::Float(it) => {
                let parsed = it.as_str().parse().ok().and_then(number);
                parsed.ok_or_else(|| fail(it.as_str()))?
            }
            DeValue::Array(items) => {
                let node = |item: &toml::Spanned<DeValue<'_>>| {
                    self.node(item.span().start, item.get_ref())
                };
                let items = items.iter().map(node).collect::<Result<_, _>>()?;
                return Ok(Node { at, kind: Kind::List(items) });
            }
            DeValue::Table(table) => {
                let mut fields = Vec::new();
                for (key, value) in table {
                    let position = self.position(key.span().start);
                    let node = self.node(value.span().start, value.get_ref())?;
                    fields.push((key.get_ref().to_string(), position, node));
                }
                return Ok(Node { at, kind: Kind::Table(fields) });
            }
        };
        Ok(Node { at, kind: Kind::Scalar(scalar) })
    }
}
