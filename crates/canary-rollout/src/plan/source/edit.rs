//! Changes of a tree, which keep the positions of its values.

use serde_json::Value;

use super::{Field, Kind, Node, SourcePosition};

/// The way from a value to a part of it.
#[derive(Clone, Debug)]
pub(crate) enum PathPart {
    Field(String),
    Item(usize),
}

impl PathPart {
    /// Returns a path such as `steps[1].weight`.
    pub(crate) fn join(path: &[Self]) -> String {
        path.iter().fold(String::new(), |text, part| match part {
            Self::Field(name) if text.is_empty() => name.clone(),
            Self::Field(name) => format!("{text}.{name}"),
            Self::Item(index) => format!("{text}[{index}]"),
        })
    }
}

impl Node {
    /// Creates a tree of values that have no positions.
    pub(crate) fn of(value: &Value) -> Self {
        Self::at(SourcePosition::default(), value)
    }

    fn at(at: SourcePosition, value: &Value) -> Self {
        let kind = match value {
            Value::Array(items) => Kind::List(items.iter().map(|it| Self::at(at, it)).collect()),
            Value::Object(fields) => {
                let field = |(key, value): (&String, _)| (key.clone(), at, Self::at(at, value));
                Kind::Table(fields.iter().map(field).collect())
            }
            scalar => Kind::Scalar(scalar.clone()),
        };
        Self { at, kind }
    }

    /// Sets the value at a path. Returns false if its parent does not exist.
    pub(crate) fn set(&mut self, path: &[PathPart], value: &Value) -> bool {
        let Some((last, parents)) = path.split_last() else { return false };
        let Some(parent) = self.part_mut(parents) else { return false };
        let position = parent.at;
        match (&mut parent.kind, last) {
            (Kind::Table(fields), PathPart::Field(name)) => {
                match fields.iter_mut().find(|(key, ..)| key == name) {
                    Some((_, at, node)) => *node = Self::at(*at, value),
                    None => fields.push((name.clone(), position, Self::at(position, value))),
                }
                true
            }
            (Kind::List(items), PathPart::Item(index)) => {
                let Some(item) = items.get_mut(*index) else { return false };
                *item = Self::at(item.at, value);
                true
            }
            _ => false,
        }
    }

    /// Removes the field at a path. Returns false if there is none.
    pub(crate) fn remove(&mut self, path: &[PathPart]) -> bool {
        let Some((fields, index)) = self.field_mut(path) else { return false };
        fields.remove(index);
        true
    }

    /// Renames the field at a path. Returns false if there is none, or if the name is in use.
    pub(crate) fn rename(&mut self, path: &[PathPart], name: &str) -> bool {
        let Some((fields, index)) = self.field_mut(path) else { return false };
        if fields.iter().any(|(key, ..)| key == name) {
            return false;
        }
        name.clone_into(&mut fields[index].0);
        true
    }

    fn field_mut(&mut self, path: &[PathPart]) -> Option<(&mut Vec<Field>, usize)> {
        let (PathPart::Field(name), parents) = path.split_last()? else { return None };
        let Kind::Table(fields) = &mut self.part_mut(parents)?.kind else { return None };
        let index = fields.iter().position(|(key, ..)| key == name)?;
        Some((fields, index))
    }

    fn part_mut(&mut self, path: &[PathPart]) -> Option<&mut Self> {
        path.iter().try_fold(self, |node, part| match (&mut node.kind, part) {
            (Kind::Table(fields), PathPart::Field(name)) => {
                fields.iter_mut().find(|(key, ..)| key == name).map(|(_, _, node)| node)
            }
            (Kind::List(items), PathPart::Item(index)) => items.get_mut(*index),
            _ => None,
        })
    }
}
