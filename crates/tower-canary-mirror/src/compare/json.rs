use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use crate::{
    compare::{
        comparison::{ABSENT, FieldDifference},
        field_path::{FieldPath, pointer},
    },
    findings::field_name::{pattern, truncate},
};

/// Returns the differences between two documents, one for each field.
///
/// The comparison stops at [`MAX_DIFFERENCES`]. Two large documents that differ everywhere would
/// otherwise occupy a thread of the runtime for a long time.
pub(super) fn differences(
    stable: &Value,
    canary: &Value,
    ignored: &[FieldPath],
) -> Vec<FieldDifference> {
    let mut diff =
        JsonDiff { ignored, location: Vec::new(), found: BTreeMap::new(), differences: 0 };
    diff.compare(stable, canary);
    diff.found.into_values().collect()
}

/// Traverses both documents together. The parser limits their depth to 128.
struct JsonDiff<'a> {
    ignored: &'a [FieldPath],
    location: Vec<String>,
    found: BTreeMap<String, FieldDifference>,
    /// The differences so far, including further ones in the same field.
    differences: usize,
}

impl JsonDiff<'_> {
    fn compare(&mut self, stable: &Value, canary: &Value) {
        if self.ignored.iter().any(|ignored| ignored.matches(&self.location)) {
            return;
        }
        match (stable, canary) {
            (Value::Object(stable), Value::Object(canary)) => self.compare_objects(stable, canary),
            (Value::Array(stable), Value::Array(canary)) => self.compare_arrays(stable, canary),
            (Value::Number(stable), Value::Number(canary)) if are_equal(stable, canary) => {}
            _ if stable == canary => {}
            _ => self.report(&text(Some(stable)), &text(Some(canary))),
        }
    }

    fn compare_objects(&mut self, stable: &Map<String, Value>, canary: &Map<String, Value>) {
        for (key, value) in stable {
            if self.has_stopped() {
                return;
            }
            self.at(key, |diff| match canary.get(key) {
                Some(other) => diff.compare(value, other),
                None => diff.report_unless_ignored(Some(value), None),
            });
        }
        for (key, value) in canary.iter().filter(|(key, _)| !stable.contains_key(*key)) {
            if self.has_stopped() {
                return;
            }
            self.at(key, |diff| diff.report_unless_ignored(None, Some(value)));
        }
    }

    fn compare_arrays(&mut self, stable: &[Value], canary: &[Value]) {
        if stable.len() != canary.len() {
            let items = |array: &[Value]| format!("{} items", array.len());
            self.at("length", |diff| diff.report(&items(stable), &items(canary)));
        }
        for (position, (stable, canary)) in stable.iter().zip(canary).enumerate() {
            if self.has_stopped() {
                return;
            }
            self.at(&position.to_string(), |diff| diff.compare(stable, canary));
        }
    }

    fn at(&mut self, key: &str, visit: impl FnOnce(&mut Self)) {
        self.location.push(key.to_owned());
        visit(self);
        self.location.pop();
    }

    fn report_unless_ignored(&mut self, stable: Option<&Value>, canary: Option<&Value>) {
        if !self.ignored.iter().any(|ignored| ignored.matches(&self.location)) {
            self.report(&text(stable), &text(canary));
        }
    }

    fn report(&mut self, stable: &str, canary: &str) {
        self.differences += 1;
        let field = format!("body{}", pointer(&self.location));
        let pattern = pattern(&field);
        if self.found.len() < MAX_FIELDS {
            let difference = || FieldDifference::new(field, stable, canary);
            self.found.entry(pattern.clone()).or_insert_with(difference);
        }
        if self.has_stopped() || !self.found.contains_key(&pattern) {
            let more = || FieldDifference::new(MORE, stable, canary);
            self.found.entry(MORE.to_owned()).or_insert_with(more);
        }
    }

    const fn has_stopped(&self) -> bool {
        self.differences >= MAX_DIFFERENCES
    }
}

/// Compares numbers by value: `1`, `1.0` and `1e0` are equal.
///
/// Integers of up to 64 bits are compared exactly, all others as the nearest `f64`.
fn are_equal(stable: &Number, canary: &Number) -> bool {
    let is_float = |number: &Number| number.as_i64().is_none() && number.as_u64().is_none();
    if is_float(stable) || is_float(canary) {
        return stable.as_f64() == canary.as_f64();
    }
    stable == canary
}

fn text(value: Option<&Value>) -> String {
    // Large values are summarized, because they would be truncated anyway.
    match value {
        None => ABSENT.to_owned(),
        Some(Value::Object(map)) if map.len() > 8 => format!("object of {} keys", map.len()),
        Some(Value::Array(array)) if array.len() > 8 => format!("array of {} items", array.len()),
        Some(value) => truncate(value.to_string()),
    }
}

/// The field that stands for all differences beyond the bounds.
const MORE: &str = "body (more differences)";

/// The maximum number of fields that a comparison reports separately.
const MAX_FIELDS: usize = 64;

/// The number of differences after which a comparison stops.
const MAX_DIFFERENCES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(stable: &str, canary: &str, ignored: &[&str]) -> Vec<String> {
        let parse = |text| serde_json::from_str(text).unwrap();
        let ignored: Vec<FieldPath> = ignored.iter().map(|path| path.parse().unwrap()).collect();
        let found = differences(&parse(stable), &parse(canary), &ignored);
        found.into_iter().map(|found| found.field).collect()
    }

    #[test]
    fn equivalent_documents_do_not_differ() {
        for (stable, canary) in [
            (r#"{"a":1,"b":2}"#, r#" { "b": 2, "a": 1 } "#),
            ("[1, 100, 0.0]", "[1.0, 1e2, -0.0]"),
            (r#""A""#, r#""\u0041""#),
            ("null", "null"),
        ] {
            assert_eq!(found(stable, canary, &[]), [""; 0], "{stable} {canary}");
        }
    }

    #[test]
    fn each_difference_is_reported_at_its_path() {
        for (stable, canary, field) in [
            ("1", "2", "body"),
            (r#"{"a":{"b":[0,1]}}"#, r#"{"a":{"b":[0,2]}}"#, "body/a/b/1"),
            (r#"{"a":1}"#, r#"{"a":"1"}"#, "body/a"),
            (r#"{"a":null}"#, "{}", "body/a"),
            ("{}", r#"{"a/b":1}"#, "body/a~1b"),
            ("[1]", "[1,2]", "body/length"),
            ("18446744073709551615", "18446744073709551614", "body"),
            ("9007199254740993", "9007199254740992", "body"),
            ("0.1", "0.10000000000000002", "body"),
        ] {
            assert_eq!(found(stable, canary, &[]), [field], "{stable} {canary}");
        }
    }

    #[test]
    fn ignored_paths_are_not_compared_even_if_absent() {
        let ignored = ["/at", "/items/*/id", "/trace"];
        let stable = r#"{"at":1,"items":[{"id":1,"n":1},{"id":2,"n":2}],"trace":{"x":1}}"#;
        let canary = r#"{"at":2,"items":[{"id":3,"n":1},{"n":3}]}"#;
        assert_eq!(found(stable, canary, &ignored), ["body/items/1/n"]);
    }

    #[test]
    fn the_items_of_an_array_are_one_field() {
        let list = |from: u32| {
            format!(
                "[{}]",
                (from..from + 1000).map(|n| n.to_string()).collect::<Vec<_>>().join(",")
            )
        };
        assert_eq!(found(&list(0), &list(1), &[]), ["body/0"]);
    }

    #[test]
    fn the_number_of_reported_fields_is_bounded() {
        let object = |value: u32| {
            let keys = (0..10_000).map(|n| format!(r#""k{n}":{value}"#));
            format!("{{{}}}", keys.collect::<Vec<_>>().join(","))
        };
        assert_eq!(found(&object(1), &object(2), &[]).len(), MAX_FIELDS + 1);
    }

    #[test]
    fn a_comparison_stops_when_everything_differs() {
        let document = |value: u32| {
            let items = vec![value.to_string(); 100_000].join(",");
            format!(r#"{{"items":[{items}],"total":{value}}}"#)
        };
        assert_eq!(found(&document(1), &document(2), &[]), [MORE, "body/items/0"]);
    }
}
