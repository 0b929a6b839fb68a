//! Texts of three formats as one tree, in which every value knows where it stands.
//!
//! One tree, and not serde's own reader of each format, so that a fault found after reading (a step
//! below the one before it) has a line as well, and the same one in each format.

use serde_json::{Map, Number, Value};

mod toml;
mod yaml;

pub(crate) use self::{toml::read as read_toml, yaml::read as read_yaml};

/// A place in a text: line and column from 1, the column in characters.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Place,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Scalar(Value),
    List(Vec<Node>),
    Table(Vec<(String, Place, Node)>),
}

/// What is wrong with a text, and where.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) at: Place,
    pub(crate) message: String,
}

impl Node {
    /// The value without the places.
    pub(crate) fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::List(items) => items.iter().map(Self::to_value).collect(),
            Kind::Table(fields) => {
                let field = |(key, _, node): &(String, Place, Self)| (key.clone(), node.to_value());
                Value::Object(fields.iter().map(field).collect::<Map<_, _>>())
            }
        }
    }

    /// Where the value at a path such as `steps[1].weight` stands: the key of a field, or an item of a
    /// list; the nearest value around it that is there, if it is not.
    pub(crate) fn place(&self, path: &str) -> Place {
        let mut at = self.at;
        let mut node = self;
        for part in path.split(['.', '[']).filter(|part| !part.is_empty()) {
            let found = match &node.kind {
                Kind::Scalar(_) => None,
                Kind::List(items) => {
                    let index = part.strip_suffix(']').and_then(|index| index.parse().ok());
                    index.and_then(|index: usize| items.get(index)).map(|item| (item.at, item))
                }
                Kind::Table(fields) => {
                    let field = fields.iter().find(|(key, ..)| key == part);
                    field.map(|(_, place, value)| (*place, value))
                }
            };
            let Some((place, next)) = found else { break };
            (at, node) = (place, next);
        }
        at
    }
}

/// Reads JSON. It is YAML as well, which tells us where things stand; what is only YAML is refused.
pub(crate) fn read_json(text: &str) -> Result<Node, Unreadable> {
    if let Err(error) = serde_json::from_str::<Value>(text) {
        let at = Place { line: error.line(), column: error.column() };
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or(&message);
        return Err(Unreadable { at, message: format!("no JSON: {message}") });
    }
    // YAML forbids tabs where JSON allows them, and in JSON they stand nowhere else.
    read_yaml(&text.replace('\t', " "))
}

fn number(float: f64) -> Option<Value> {
    Number::from_f64(float).map(Value::Number)
}
