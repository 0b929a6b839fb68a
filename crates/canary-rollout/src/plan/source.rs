//! Parses TOML, JSON and YAML into a tree in which every value has a position.
//!
//! The tree gives positions to faults that are found after parsing, such as a step with a lower
//! weight than the previous one.

use std::iter;

use serde_json::{Map, Number, Value};

mod edit;
mod json;
mod toml;
mod yaml;

pub(crate) use self::edit::PathPart;

/// A position in a text: line and column from 1, the column in characters.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct SourcePosition {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A value with its position.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: SourcePosition,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Scalar(Value),
    List(Vec<Node>),
    Table(Vec<Field>),
}

/// The name of a field, its position, and its value.
pub(crate) type Field = (String, SourcePosition, Node);

/// The error of a parser.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) at: SourcePosition,
    pub(crate) message: String,
}

impl Node {
    /// Returns the value without positions.
    pub(crate) fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::List(items) => items.iter().map(Self::to_value).collect(),
            Kind::Table(fields) => {
                let field = |(key, _, node): &Field| (key.clone(), node.to_value());
                Value::Object(fields.iter().map(field).collect::<Map<_, _>>())
            }
        }
    }

    /// Returns the position of the value at a path such as `steps[1].weight`: that of the field's
    /// key or of the list's item. If there is no such value, returns the position of the nearest
    /// parent.
    pub(crate) fn position(&self, path: &str) -> SourcePosition {
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
                    field.map(|(_, position, value)| (*position, value))
                }
            };
            let Some((position, next)) = found else { break };
            (at, node) = (position, next);
        }
        at
    }
}

impl SyntaxError {
    fn duplicate(at: SourcePosition, key: &str) -> Self {
        Self { at, message: format!("duplicate field `{key}`") }
    }
}

pub(crate) fn read_toml(text: &str) -> Result<Node, SyntaxError> {
    toml::read(without_bom(text))
}

pub(crate) fn read_json(text: &str) -> Result<Node, SyntaxError> {
    json::read(without_bom(text))
}

pub(crate) fn read_yaml(text: &str) -> Result<Node, SyntaxError> {
    yaml::read(without_bom(text))
}

fn without_bom(text: &str) -> &str {
    text.strip_prefix('\u{FEFF}').unwrap_or(text)
}

/// The position of each byte of a text, so that a position is found without reading the text again.
struct Lines(Vec<SourcePosition>);

impl Lines {
    fn of(text: &str) -> Self {
        let mut at = SourcePosition { line: 1, column: 1 };
        let mut positions = Vec::with_capacity(text.len() + 1);
        for c in text.chars() {
            positions.extend(iter::repeat_n(at, c.len_utf8()));
            at = match c {
                '\n' => SourcePosition { line: at.line + 1, column: 1 },
                _ => SourcePosition { column: at.column + 1, ..at },
            };
        }
        positions.push(at);
        Self(positions)
    }

    fn position(&self, offset: usize) -> SourcePosition {
        self.0.get(offset).or(self.0.last()).copied().unwrap_or_default()
    }
}

/// Returns a number; a whole one such as 1e3 or 100.0 as an integer, because the formats do not
/// distinguish them.
fn number(float: f64) -> Option<Value> {
    // All whole numbers up to this one are exact, and they have at most 16 digits.
    let is_whole = float.fract() == 0.0 && float.abs() <= MAX_EXACT;
    let integer = if is_whole { format!("{float:.0}").parse::<i64>().ok() } else { None };
    integer.map(Value::from).or_else(|| Number::from_f64(float).map(Value::Number))
}

const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
