//! Words the messages of serde for people who write plans.

use std::borrow::Cow;

/// Replaces the terms of Rust, and names the known name that an unknown one is near to.
pub(super) fn reworded(message: &str) -> String {
    for (start, end) in [("invalid type: ", ", expected "), ("invalid value: ", ", expected ")] {
        let rest = message.strip_prefix(start);
        if let Some((found, expected)) = rest.and_then(|rest| rest.rsplit_once(end)) {
            return format!("expected {}, found {}", expectation(expected), value(found));
        }
    }
    if message.starts_with("invalid length") {
        return "expected a table of fields, found a list".to_owned();
    }
    let Some((unknown, expected)) = message.split_once(", ") else { return message.to_owned() };
    match nearest_name(message) {
        Some(near) => format!("{unknown}, did you mean `{near}`? {expected}"),
        None => message.to_owned(),
    }
}

/// Returns the known name that is near to the unknown one of a message such as
/// "unknown field `a`, expected one of `b`, `c`".
pub(super) fn nearest_name(message: &str) -> Option<&str> {
    let rest =
        ["unknown field `", "unknown variant `"].iter().find_map(|it| message.strip_prefix(it))?;
    let (name, expected) = rest.split_once("`, expected ")?;
    nearest(name, expected.split('`').skip(1).step_by(2))
}

/// Returns the known name that a misspelled one or one of another tool probably means.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let plain = |name: &str| name.replace(['_', '-', ' '], "").to_ascii_lowercase();
    let name = plain(name);
    let synonyms = SYNONYMS.iter().filter(|(_, words)| words.contains(&&*name));
    let synonym = synonyms.into_iter().find_map(|(of, _)| known.clone().find(|known| known == of));
    let distances = known.map(|known| (distance(&name, &plain(known)), known));
    let near = distances.filter(|(distance, known)| *distance <= known.len().div_ceil(4));
    synonym.or_else(|| near.min_by_key(|(distance, _)| *distance).map(|(_, known)| known))
}

/// Returns the number of characters to insert, delete, replace or swap to turn one name into the
/// other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<_>, Vec<_>) = (from.chars().take(64).collect(), to.chars().collect());
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=to.len()).collect();
    for i in 1..=from.len() {
        for j in 1..=to.len() {
            let changed = usize::from(from[i - 1] != to[j - 1]);
            let replaced = rows[i - 1][j - 1] + changed;
            let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[from.len()][to.len()]
}

fn expectation(expected: &str) -> Cow<'_, str> {
    match expected {
        "u64" | "u32" | "u16" => "a whole number".into(),
        "f64" => "a number".into(),
        "a boolean" => "true or false".into(),
        "a string" => "a text".into(),
        "a sequence" => "a list".into(),
        "a map" => "a table of fields".into(),
        "string or map" => "a name, or a table with one field".into(),
        "unit variant" => "a name without a value".into(),
        "newtype variant" => "a table with the name and its value".into(),
        _ if expected.starts_with("struct ") => "a table of fields".into(),
        _ => expected.into(),
    }
}

fn value(found: &str) -> Cow<'_, str> {
    match found {
        "sequence" => return "a list".into(),
        "map" => return "a table of fields".into(),
        "unit variant" => return "a name without a value".into(),
        "newtype variant" => return "a name with a value".into(),
        _ => {}
    }
    let kinds = ["integer ", "floating point ", "boolean "];
    if let Some(number) = kinds.iter().find_map(|kind| found.strip_prefix(kind)) {
        return number.trim_matches('`').into();
    }
    match found.strip_prefix("string ") {
        Some(text) => format!("the text {text}").into(),
        None if found == "string" => "a text".into(),
        None => found.into(),
    }
}

/// Names of fields in other tools.
const SYNONYMS: [(&str, &[&str]); 4] = [
    ("weight", &["setweight", "percent", "percentage", "traffic", "canaryweight"]),
    ("min_duration", &["wait", "pause", "duration", "interval", "atleast", "bake", "sleep"]),
    ("deadline", &["timeout", "progressdeadline", "atmost"]),
    ("monitors", &["analysis", "metrics"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_as_in_plan_files() {
        for (message, expected) in [
            ("invalid type: integer `5`, expected a string", "expected a text, found 5"),
            ("invalid value: integer `-5`, expected u64", "expected a whole number, found -5"),
            (
                "invalid type: string \"5, expected a map\", expected u32",
                "expected a whole number, found the text \"5, expected a map\"",
            ),
            ("invalid type: string, expected a map", "expected a table of fields, found a text"),
            ("invalid type: map, expected a sequence", "expected a list, found a table of fields"),
            ("invalid type: null, expected struct Draft", "expected a table of fields, found null"),
            ("missing field `weight`", "missing field `weight`"),
            ("weight \"1\", expected x", "weight \"1\", expected x"),
        ] {
            assert_eq!(reworded(message), expected);
        }
    }

    #[test]
    fn unknown_names_are_followed_by_the_nearest_known_one() {
        let known = "expected one of `weight`, `min_duration`, `min_calls`, `deadline`";
        for (name, near) in [
            ("wieght", "weight"),
            ("Weight", "weight"),
            ("minDuration", "min_duration"),
            ("min-calls", "min_calls"),
            ("min_call", "min_calls"),
            ("wait", "min_duration"),
            ("setWeight", "weight"),
        ] {
            let message = format!("unknown field `{name}`, {known}");
            let expected = format!("unknown field `{name}`, did you mean `{near}`? {known}");
            assert_eq!(reworded(&message), expected);
        }
        for name in ["hold", "", "x", &"weight".repeat(9_000)] {
            let message = format!("unknown field `{name}`, {known}");
            assert_eq!(reworded(&message), message);
        }
    }
}
