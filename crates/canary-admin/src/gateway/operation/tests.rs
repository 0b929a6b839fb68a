use serde_json::json;

use super::*;

fn parse_json(operations: &Value) -> Result<Vec<Operation>, Fault> {
    parse(serde_json::from_value(json!({ "patchOperations": operations })).unwrap())
}

fn fault_of(operation: &Value) -> String {
    let fault = parse_json(&json!([operation])).unwrap_err().to_string();
    fault.strip_prefix("patchOperations[0]: ").unwrap_or(&fault).to_owned()
}

#[test]
fn the_operations_of_a_documented_promotion_parse() {
    let operations = json!([
        {"op": "replace", "value": "0.0", "path": "/canarySettings/percentTraffic"},
        {"op": "copy", "from": "/canarySettings/stageVariableOverrides", "path": "/variables"},
        {"op": "copy", "from": "/canarySettings/deploymentId", "path": "/deploymentId"},
    ]);
    let expected = [
        Operation::SetWeight(Weight::ZERO),
        Operation::PromoteVariables,
        Operation::PromoteDeployment,
    ];
    assert_eq!(parse_json(&operations).unwrap(), expected);
}

#[test]
fn percentages_have_up_to_four_decimals() {
    for (text, ppm) in [
        ("10.5", 105_000),
        ("0.0", 0),
        ("0.0001", 1),
        ("10.500000", 105_000), // As Terraform formats it.
        ("100", 1_000_000),
    ] {
        assert_eq!(percent(text), Ok(Weight::from_ppm(ppm)), "{text}");
    }
    for text in ["", "abc", "-1", "100.1", "NaN", "1e400", "1e1", "0.00001", "10%", "inf", "1,5"] {
        let fault = percent(text).unwrap_err().to_string();
        assert!(
            fault.contains(&format!("value {text:?} is not a percentage: expected")),
            "{fault}"
        );
    }
}

#[test]
fn an_operation_that_its_place_does_not_have_is_refused_with_those_that_it_has() {
    for (op, path, message) in [
        (
            "add",
            "/canarySettings/percentTraffic",
            r#"operation "add" is not supported for /canarySettings/percentTraffic: expected replace or test"#,
        ),
        ("replace", "/canarySettings", "expected remove"),
        ("remove", "/canarySettings/useStageCache", "expected replace"),
        ("move", "/variables/a", "expected add, replace or remove"),
        ("test", "/variables/a", "expected add, replace or remove"),
        ("add", "/canarySettings/deploymentId", "expected replace or test"),
        ("remove", "/deploymentId", "expected copy, replace or test"),
        ("replace", "/variables", "expected copy"),
        ("copy", "/canarySettings/stageVariableOverrides", "expected replace or remove"),
    ] {
        let fault = fault_of(&json!({"op": op, "path": path, "value": "1"}));
        assert!(fault.ends_with(message), "{op} {path}: {fault}");
    }
}

#[test]
fn fields_that_an_operation_needs_are_named() {
    for (operation, message) in [
        (
            json!({"op": "replace", "path": "/variables/a"}),
            r#"the field "value" is missing: expected a string"#,
        ),
        (
            json!({"op": "copy", "path": "/variables"}),
            r#"the field "from" is missing: expected /canarySettings/stageVariableOverrides"#,
        ),
        (
            json!({"op": "copy", "path": "/deploymentId", "from": "/variables"}),
            r#"from "/variables" cannot be copied to /deploymentId: expected /canarySettings/deploymentId"#,
        ),
        (
            json!({"op": "replace", "path": "/canarySettings/useStageCache", "value": "yes"}),
            r#"value "yes" is not a boolean: expected "true" or "false""#,
        ),
    ] {
        assert_eq!(fault_of(&operation), message);
    }
}

#[test]
fn all_overrides_are_the_text_of_an_object_and_its_values_are_never_shown() {
    let replace = |value: &str| json!({"op": "replace", "path": "/canarySettings/stageVariableOverrides", "value": value});
    let map = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    assert_eq!(
        parse_json(&json!([replace(r#"{"a":"b"}"#)])),
        Ok(vec![Operation::ReplaceOverrides(map)])
    );
    for (value, message) in [
        ("secret", "the value is not JSON (line 1, column 1): expected"),
        (r#""secret""#, "the value is not an object: expected"),
        (r#"{"a":["secret"]}"#, r#"the value of "a" is not a string: expected"#),
    ] {
        let fault = fault_of(&replace(value));
        assert!(fault.starts_with(message) && !fault.contains("secret"), "{fault}");
    }
}

#[test]
fn a_place_is_changed_once() {
    let weight = |value: &str| json!({"op": "replace", "path": "/canarySettings/percentTraffic", "value": value});
    let fault = parse_json(&json!([weight("1"), weight("2")])).unwrap_err().to_string();
    assert_eq!(
        fault,
        "patchOperations[1]: path /canarySettings/percentTraffic is changed again after \
         /canarySettings/percentTraffic: expected one change",
    );
    let whole = json!({"op": "remove", "path": "/canarySettings/stageVariableOverrides"});
    let one = json!({"op": "remove", "path": "/canarySettings/stageVariableOverrides/a"});
    assert!(parse_json(&json!([whole, one])).is_err());
    assert!(parse_json(&json!([one, whole])).is_err());
}

#[test]
fn tests_come_first() {
    let test = json!({"op": "test", "path": "/canarySettings/deploymentId", "value": "v2"});
    let change = json!({"op": "remove", "path": "/canarySettings"});
    assert_eq!(parse_json(&json!([test, test, change])).unwrap().len(), 3);
    let fault = parse_json(&json!([change, test])).unwrap_err().to_string();
    assert_eq!(fault, "patchOperations[1]: a test follows a change: expected all tests first");
}

#[test]
fn at_most_64_operations_are_accepted() {
    let set =
        |name: usize| json!({"op": "add", "path": format!("/variables/v{name}"), "value": ""});
    let operations = |count| json!((0..count).map(set).collect::<Vec<_>>());
    assert_eq!(parse_json(&operations(64)).unwrap().len(), 64);
    let fault = parse_json(&operations(70)).unwrap_err();
    assert_eq!(fault.message, "patchOperations has 70 operations: expected at most 64");
}
