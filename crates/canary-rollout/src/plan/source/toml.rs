use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::{Kind, Node, Place, Unreadable, number};

/// Reads TOML. A date is read as the text that it is.
pub(crate) fn read(text: &str) -> Result<Node, Unreadable> {
    let lines = Lines(text);
    match DeTable::parse(text) {
        Ok(table) => {
            let mut root = lines.node(0, &DeValue::Table(table.into_inner()))?;
            root.at = Place { line: 1, column: 1 };
            Ok(root)
        }
        Err(error) => {
            let at = lines.place(error.span().map_or(0, |span| span.start));
            Err(Unreadable { at, message: format!("no TOML: {}", error.message()) })
        }
    }
}

struct Lines<'a>(&'a str);

impl Lines<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = self.0.get(..offset).unwrap_or(self.0);
        let line = before.matches('\n').count() + 1;
        let last = before.rsplit('\n').next().unwrap_or_default();
        Place { line, column: last.chars().count() + 1 }
    }

    fn node(&self, offset: usize, value: &DeValue<'_>) -> Result<Node, Unreadable> {
        let at = self.place(offset);
        let fail = |what: &str| {
            let message = format!("number {what} is out of range");
            Unreadable { at, message }
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
                    let place = self.place(key.span().start);
                    let node = self.node(value.span().start, value.get_ref())?;
                    fields.push((key.get_ref().to_string(), place, node));
                }
                return Ok(Node { at, kind: Kind::Table(fields) });
            }
        };
        Ok(Node { at, kind: Kind::Scalar(scalar) })
    }
}
