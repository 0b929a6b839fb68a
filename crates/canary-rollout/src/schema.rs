//! How a plan's texts look, for its JSON Schema.
use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// A weight: "0.1%".
pub(crate) struct Percent;

/// A duration: "5m".
pub(crate) struct Span;

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
