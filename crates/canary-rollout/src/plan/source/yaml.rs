use std::collections::{BTreeSet, HashMap};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};
use serde_json::Value;

use super::{Kind, Node, SourcePosition, SyntaxError, number};

/// Parses YAML 1.2 with its core schema, in which `no` is a string.
pub(crate) fn read(text: &str) -> Result<Node, SyntaxError> {
    let mut reader =
        YamlReader { events: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => {
                let message = "the text is empty".to_owned();
                return Err(SyntaxError { at: SourcePosition { line: 1, column: 1 }, message });
            }
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
            first => {
                let node = reader.node(first, span, 0)?;
                reader.end()?;
                return Ok(node);
            }
        }
    }
}

struct YamlReader<'a> {
    events: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    /// The number of nodes so far, including those behind aliases.
    nodes: usize,
}

impl<'a> YamlReader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), SyntaxError> {
        match self.events.next() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => {
                let message = format!("invalid YAML: {}", error.info());
                Err(SyntaxError { at: position(error.marker()), message })
            }
            None => Err(SyntaxError {
                at: SourcePosition::default(),
                message: "the text ends".to_owned(),
            }),
        }
    }

    fn end(&mut self) -> Result<(), SyntaxError> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentEnd | Event::Nothing, _) => {}
                (_, span) => {
                    let message = "expected one document, found a second one".to_owned();
                    return Err(SyntaxError { at: position(&span.start), message });
                }
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, SyntaxError> {
        let at = position(&span.start);
        self.nodes += 1;
        if self.nodes > MAX_NODES || depth > MAX_DEPTH {
            let message = "the text has too many values, or they are nested too deeply".to_owned();
            return Err(SyntaxError { at, message });
        }
        let (anchor, kind) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let is_plain = style == ScalarStyle::Plain;
                let value = if is_plain { plain(&text) } else { Value::String(text.into_owned()) };
                (anchor, Kind::Scalar(value))
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
                (anchor, Kind::List(items))
            }
            Event::MappingStart(anchor, _) => (anchor, Kind::Table(self.fields(depth)?)),
            Event::Alias(anchor) => {
                let message = "the alias refers to an unknown anchor".to_owned();
                let found = self.anchors.get(&anchor).cloned();
                let found = found.ok_or(SyntaxError { at, message })?;
                self.nodes += count(&found);
                return Ok(Node { at, ..found });
            }
            _ => {
                let message = "expected a value".to_owned();
                return Err(SyntaxError { at, message });
            }
        };
        let node = Node { at, kind };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn fields(&mut self, depth: usize) -> Result<Vec<(String, SourcePosition, Node)>, SyntaxError> {
        let mut fields: Vec<(String, SourcePosition, Node)> = Vec::new();
        let mut names = BTreeSet::new();
        loop {
            let (key, at) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(fields),
                (Event::Scalar(key, ..), span) => (key.into_owned(), position(&span.start)),
                (_, span) => {
                    let message = "expected a string as the name of a field".to_owned();
                    return Err(SyntaxError { at: position(&span.start), message });
                }
            };
            if !names.insert(key.clone()) {
                return Err(SyntaxError::duplicate(at, &key));
            }
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            fields.push((key, at, value));
        }
    }
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => {
            let is_number = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
            let integer = text.parse::<i64>().ok().map(Value::from);
            let float = || text.parse::<f64>().ok().and_then(number);
            let value = if is_number { integer.or_else(float) } else { None };
            value.unwrap_or_else(|| Value::String(text.to_owned()))
        }
    }
}

fn position(marker: &Marker) -> SourcePosition {
    SourcePosition { line: marker.line(), column: marker.col() + 1 }
}

fn count(node: &Node) -> usize {
    1 + match &node.kind {
        Kind::Scalar(_) => 0,
        Kind::List(items) => items.iter().map(count).sum(),
        Kind::Table(fields) => fields.iter().map(|(_, _, node)| count(node)).sum(),
    }
}

/// Limits aliases of aliases, which grow exponentially.
const MAX_NODES: usize = 20_000;

const MAX_DEPTH: usize = 32;
