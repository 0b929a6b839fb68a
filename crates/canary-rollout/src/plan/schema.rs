//! How a plan's texts look, for its JSON Schema.
use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// A weight: "0.1%".
pub(crate) struct Percent;

/// A duration: "5m".
pub(crate) struct Span;

/// Exactly one of these says the steps.
pub(crate) fn shapes() -> serde_json::Value {
    ["steps", "preset", "linear", "exponential"]
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

mod tests {
    use std::{env, fs, path::Path};

    use serde_json::Value;

    use crate::plan::{Preset, definition::Plan, draft::Draft, source};

    /// To write the schema anew: `UPDATE_DOCS=1 cargo test -p canary-rollout --lib schema`.
    #[test]
    fn the_committed_schema_is_that_of_the_types() {
        let schema = schemars::schema_for!(Draft);
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if env::var_os("UPDATE_DOCS").is_some() {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/plan.schema.json");
            fs::write(file, text).unwrap();
            return;
        }
        assert!(Plan::SCHEMA == text, "the schema is not that of the types any more");
    }

    fn validator() -> jsonschema::Validator {
        let schema: Value = serde_json::from_str(Plan::SCHEMA).unwrap();
        jsonschema::validator_for(&schema).unwrap()
    }

    #[test]
    fn the_examples_are_valid_by_the_schema() {
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
    fn stored_plans_are_valid_by_the_schema() {
        let stored = serde_json::to_value(Preset::all()[4].plan()).unwrap();
        assert!(validator().is_valid(&stored), "{stored}");
    }

    #[test]
    fn the_schema_refuses_what_editors_should_mark() {
        let schema = validator();
        for json in [
            r#"{ "steps": [{ "weight": "1%", "min_duratoin": "5m" }] }"#,
            r#"{ "steps": [{ "weight": "101%" }] }"#,
            r#"{ "steps": [{ "weight": "1%", "min_duration": "5 minutes" }] }"#,
            r#"{ "steps": [{ "min_duration": "5m" }] }"#,
            r#"{ "on_degraded": "freeze" }"#,
            r#"{ "preset": "AllAtOnce", "steps": [{ "weight": "1%" }] }"#,
            r#"{ "preset": "AllAtOnce", "on_degraded": "rollback" }"#,
            r#"{ "preset": "AllAtOnce", "gates": { "x": { "ask": { "approval": 5 } } } }"#,
        ] {
            assert!(!schema.is_valid(&serde_json::from_str(json).unwrap()), "{json}");
        }
    }
}
