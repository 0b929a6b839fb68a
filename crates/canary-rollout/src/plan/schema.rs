//! The JSON Schema of plans, which a test compares with the committed file.
//!
//! The test is in the library, because the schema is generated from private types.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Weights such as "0.1%".
pub(crate) struct Percent;

/// Durations such as "5m".
pub(crate) struct Span;

/// Time limits such as "5m", or "none".
pub(crate) struct TimeLimit;

/// Absolute limits such as "0.1%" or 5.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum AtMost {
    /// A share of the canary's calls, from 0.0001% to 50%.
    Share(Percent),
    /// A number of the canary's calls in the whole rollout.
    Calls(u64),
}

/// Requires exactly one of the fields that define the steps.
pub(crate) fn shapes() -> serde_json::Value {
    ["steps", "preset", "linear", "exponential", "by_hand"]
        .map(|field| serde_json::json!({ "required": [field] }))
        .into_iter()
        .collect()
}

impl JsonSchema for Percent {
    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A share of calls, from 0% to 100%, in steps of 0.0001%.",
            "pattern": r"^\s*(100(\.0+)?|[0-9]{1,2}(\.[0-9]{1,4}0*)?)\s*%\s*$",
            "examples": ["0.1%", "50%"],
        })
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A duration: numbers with a unit (ms, s, m, h, d), larger units first.",
            "pattern": r"^\s*([0-9]+(ms|s|m|h|d)\s*)+$",
            "examples": ["30s", "5m", "1h30m"],
        })
    }
}

impl JsonSchema for TimeLimit {
    fn schema_name() -> Cow<'static, str> {
        "TimeLimit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A duration, or \"none\" for no limit.",
            "pattern": r"^\s*(none|([0-9]+(ms|s|m|h|d)\s*)+)\s*$",
            "examples": ["4h", "none"],
        })
    }
}

/// Whether the monitor decides, or is only shown.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum Role {
    Decides,
    Watches,
}

/// The unit that is counted.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum Unit {
    Calls,
    Keys,
}

/// The part of a call that is timed: until the response's head, or until its end.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) enum Until {
    Head,
    End,
}

/// A ratio and a rate.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct Margin {
    /// The canary's adverse rate as a multiple of stable's, `1.0..=1000.0`.
    ratio: f64,
    /// The canary's adverse rate, above 0.
    rate: f64,
}

mod tests {
    use std::{env, fs, path::Path};

    use serde_json::Value;

    use crate::plan::{Preset, definition::Plan, draft::Draft, source};

    /// `UPDATE_DOCS=1 cargo test -p canary-rollout --lib schema` updates the file.
    #[test]
    fn the_committed_schema_matches_the_types() {
        let schema = schemars::schema_for!(Draft);
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if env::var_os("UPDATE_DOCS").is_some() {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/plan.schema.json");
            fs::write(file, text).unwrap();
            return;
        }
        assert!(
            Plan::SCHEMA == text,
            "the schema differs from the types: update it with UPDATE_DOCS=1"
        );
    }

    fn validator() -> jsonschema::Validator {
        let schema: Value = serde_json::from_str(Plan::SCHEMA).unwrap();
        jsonschema::validator_for(&schema).unwrap()
    }

    #[test]
    fn the_schema_accepts_the_examples() {
        let schema = validator();
        let mut seen = 0;
        let plans = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
        for entry in fs::read_dir(plans).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let value = match path.extension().and_then(|it| it.to_str()) {
                Some("toml") => source::read_toml(&text),
                Some("json") => source::read_json(&text),
                _ => source::read_yaml(&text),
            };
            let value = value.unwrap().to_value();
            let errors: Vec<_> =
                schema.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:?}", path.display());
            seen += 1;
        }
        assert!(seen >= 5);
    }

    #[test]
    fn the_schema_accepts_stored_plans() {
        let stored = serde_json::to_value(Preset::all()[4].plan()).unwrap();
        assert!(validator().is_valid(&stored), "{stored}");
    }

    #[test]
    fn the_schema_rejects_invalid_plans() {
        let schema = validator();
        for json in [
            r#"{ "steps": [{ "weight": "1%", "min_duratoin": "5m" }] }"#,
            r#"{ "steps": [{ "weight": "101%" }] }"#,
            r#"{ "steps": [{ "weight": "1%", "min_duration": "5 minutes" }] }"#,
            r#"{ "steps": [{ "min_duration": "5m" }] }"#,
            r#"{ "on_degraded": "freeze" }"#,
            r#"{ "preset": "AllAtOnce", "steps": [{ "weight": "1%" }] }"#,
            r#"{ "preset": "AllAtOnce", "on_degraded": "rollback" }"#,
            r#"{ "preset": "AllAtOnce", "gates": { "x": { "kind": { "approval": 5 } } } }"#,
        ] {
            assert!(!schema.is_valid(&serde_json::from_str(json).unwrap()), "{json}");
        }
    }
}
