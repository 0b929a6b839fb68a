use canary_api::Role;
use canary_controller::Releases;
use serde_json::json;

use super::*;
use crate::gateway::{fault::FaultKind, operation};

/// A stage with v1 and a canary v2, which gets 10% of the calls.
fn stage() -> Stage {
    let variables = json!({"backend": "b1", "limit": 20, "debug": false});
    Stage {
        name: "prod".to_owned(),
        releases: Releases { stable: "v1".parse().unwrap(), canary: "v2".parse().unwrap() },
        phase: Phase::Paused,
        weight: Weight::from_percent(10),
        variables: serde_json::from_value(variables).unwrap(),
        overrides: serde_json::from_value(json!({"backend": "b2"})).unwrap(),
        uses_stage_cache: false,
        summary: "paused at 10%".to_owned(),
        created: None,
        latest: None,
    }
}

fn in_phase(phase: Phase, weight: Weight) -> Stage {
    Stage { phase, weight, ..stage() }
}

fn promoted() -> Stage {
    in_phase(Phase::Promoted, Weight::FULL)
}

fn rolled_back() -> Stage {
    Stage { summary: "rolled back (by anna)".into(), ..in_phase(Phase::RolledBack, Weight::ZERO) }
}

fn commands(stage: &Stage, operations: &Value) -> Result<Value, Fault> {
    let request = serde_json::from_value(json!({ "patchOperations": operations })).unwrap();
    let operations = operation::parse(request)?;
    let commands = Effect::of(&operations, stage)?.commands(stage);
    Ok(serde_json::to_value(commands).unwrap())
}

fn fault(stage: &Stage, operations: &Value) -> Fault {
    commands(stage, operations).unwrap_err()
}

fn percent_traffic(value: &str) -> Value {
    json!({"op": "replace", "path": "/canarySettings/percentTraffic", "value": value})
}

fn replace(path: &str, value: &str) -> Value {
    json!({"op": "replace", "path": path, "value": value})
}

fn remove(path: &str) -> Value {
    json!({"op": "remove", "path": path})
}

fn promotion() -> [Value; 3] {
    [
        percent_traffic("0.0"),
        json!({"op": "copy", "from": "/canarySettings/stageVariableOverrides", "path": "/variables"}),
        json!({"op": "copy", "from": "/canarySettings/deploymentId", "path": "/deploymentId"}),
    ]
}

fn test(path: &str, value: &str) -> Value {
    json!({"op": "test", "path": path, "value": value})
}

#[test]
fn a_percentage_becomes_a_weight() {
    let expected = json!([{"command": "set_weight", "weight": "10.5%"}]);
    assert_eq!(commands(&stage(), &json!([percent_traffic("10.5")])), Ok(expected));
}

#[test]
fn the_same_percentage_pauses_a_plan_in_progress_and_is_no_command_otherwise() {
    let patch = json!([percent_traffic("10")]);
    let expected = json!([{"command": "set_weight", "weight": "10%"}]);
    let running = in_phase(Phase::Running, Weight::from_percent(10));
    assert_eq!(commands(&running, &patch), Ok(expected));
    for stage in [in_phase(Phase::Idle, Weight::ZERO), promoted(), rolled_back()] {
        assert_eq!(commands(&stage, &json!([percent_traffic("0.0")])), Ok(json!([])));
    }
}

#[test]
fn variables_come_before_a_higher_weight_and_after_a_lower_one() {
    let patch = |weight| json!([percent_traffic(weight), replace("/variables/backend", "b9")]);
    let variables = json!({"command": "set_variables", "stage": {"backend": "b9"}});
    let weight = |weight: &str| json!({"command": "set_weight", "weight": weight});
    assert_eq!(commands(&stage(), &patch("20")), Ok(json!([variables, weight("20%")])));
    assert_eq!(commands(&stage(), &patch("5")), Ok(json!([weight("5%"), variables])));
}

#[test]
fn all_changes_of_variables_are_one_command() {
    let patch = json!([
        replace("/canarySettings/stageVariableOverrides/newVar", "newVal"),
        json!({"op": "add", "path": "/canarySettings/stageVariableOverrides/limit", "value": "30"}),
        remove("/canarySettings/stageVariableOverrides/backend"),
        replace("/variables/debug", "true"),
        remove("/variables/limit"),
    ]);
    let expected = json!([{
        "command": "set_variables",
        "stage": {"debug": true, "limit": null},
        "overrides": {"newVar": "newVal", "limit": 30, "backend": null},
    }]);
    assert_eq!(commands(&stage(), &patch), Ok(expected));
}

#[test]
fn all_overrides_are_replaced_by_their_differences() {
    let all = |value: &str| json!([replace("/canarySettings/stageVariableOverrides", value)]);
    let command = |overrides: Value| json!([{"command": "set_variables", "overrides": overrides}]);
    assert_eq!(
        commands(&stage(), &all(r#"{"limit":"5","a":""}"#)),
        Ok(command(json!({"backend": null, "limit": 5, "a": ""}))),
    );
    assert_eq!(commands(&stage(), &all(r#"{"backend":"b2"}"#)), Ok(json!([])));
    let remove_all = json!([remove("/canarySettings/stageVariableOverrides")]);
    assert_eq!(commands(&stage(), &remove_all), Ok(command(json!({"backend": null}))));
}

#[test]
fn a_variable_keeps_its_type_and_values_are_never_shown() {
    for (path, value, expected) in [
        ("/variables/limit", "secret", "expected a number"),
        ("/variables/limit", "\"5\"", "expected a number"),
        ("/canarySettings/stageVariableOverrides/debug", "secret", "expected true or false"),
    ] {
        let fault = fault(&stage(), &json!([replace(path, value)]));
        assert_eq!(fault.kind, FaultKind::BadRequest);
        assert!(fault.message.ends_with(expected), "{fault}");
        assert!(!fault.message.contains("secret") && !fault.message.contains("20"), "{fault}");
    }
}

#[test]
fn a_missing_variable_cannot_be_removed() {
    for (path, message) in [
        (
            "/canarySettings/stageVariableOverrides/x",
            r#"there is no override "x" to remove: expected "backend""#,
        ),
        (
            "/variables/x",
            r#"there is no variable "x" to remove: expected "backend" or "debug" or "limit""#,
        ),
    ] {
        assert_eq!(fault(&stage(), &json!([remove(path)])), Fault::bad_request(message));
    }
}

#[test]
fn the_three_operations_of_a_promotion_promote_in_any_order() {
    let [weight, variables, deployment] = promotion();
    let expected = json!([{"command": "promote"}]);
    for patch in [json!([weight, variables, deployment]), json!([deployment, weight, variables])] {
        assert_eq!(commands(&stage(), &patch), Ok(expected.clone()));
    }
    let checked = [test("/canarySettings/deploymentId", "v2")].into_iter().chain(promotion());
    assert_eq!(commands(&stage(), &checked.collect()), Ok(expected));
}

#[test]
fn an_incomplete_promotion_is_refused() {
    let [weight, variables, deployment] = promotion();
    for patch in [
        json!([deployment]),
        json!([variables]),
        json!([variables, deployment]),
        json!([weight, deployment]),
        json!([percent_traffic("5"), variables, deployment]),
        json!([weight, variables, deployment, remove("/canarySettings/stageVariableOverrides")]),
        json!([replace("/deploymentId", "v2")]),
    ] {
        assert_eq!(fault(&stage(), &patch), Fault::bad_request(PROMOTION), "{patch}");
    }
}

#[test]
fn removing_the_canary_rolls_back_but_does_not_undo_a_promotion() {
    let patch = json!([remove("/canarySettings")]);
    let roll_back = Ok(json!([{"command": "roll_back"}]));
    for stage in [stage(), in_phase(Phase::Baking, Weight::from_percent(99)), rolled_back()] {
        assert_eq!(commands(&stage, &patch), roll_back, "{:?}", stage.phase);
    }
    assert_eq!(commands(&promoted(), &patch), Ok(json!([])));

    let more = json!([remove("/canarySettings"), percent_traffic("1")]);
    assert_eq!(fault(&stage(), &more), Fault::bad_request(ALONE));
}

#[test]
fn the_earlier_release_undoes_a_promotion() {
    let patch = json!([replace("/deploymentId", "v1")]);
    assert_eq!(commands(&promoted(), &patch), Ok(json!([{"command": "roll_back"}])));
    assert_eq!(commands(&stage(), &patch), Ok(json!([])));

    let more = json!([replace("/deploymentId", "v1"), percent_traffic("1")]);
    assert_eq!(fault(&promoted(), &more), Fault::bad_request(ALONE));
}

#[test]
fn settings_of_the_build_cannot_be_changed_but_confirmed() {
    let confirmed = json!([
        replace("/canarySettings/useStageCache", "false"),
        replace("/canarySettings/deploymentId", "v2"),
        replace("/deploymentId", "v1"),
    ]);
    assert_eq!(commands(&stage(), &confirmed), Ok(json!([])));
    for (path, value, message) in [
        (
            "/canarySettings/useStageCache",
            "true",
            "useStageCache cannot become true: expected false, which \
             CanaryOptions::cacheable_canary has set in the code",
        ),
        (
            "/canarySettings/deploymentId",
            "v3",
            "the canary cannot become release \"v3\": expected \"v2\", which the process runs; \
             deploy another",
        ),
        (
            "/deploymentId",
            "v3",
            "the stage cannot become release \"v3\": expected \"v1\"; deploy another release",
        ),
    ] {
        let patch = json!([percent_traffic("20"), replace(path, value)]);
        assert_eq!(fault(&stage(), &patch), Fault::bad_request(message));
    }
}

#[test]
fn a_failed_test_is_a_conflict() {
    for (path, value) in [
        ("/canarySettings/percentTraffic", "10.0"),
        ("/canarySettings/deploymentId", "v2"),
        ("/deploymentId", "v1"),
    ] {
        let patch = |value: &str| json!([test(path, value), percent_traffic("20")]);
        assert!(commands(&stage(), &patch(value)).is_ok(), "{path}");
        let fault = fault(&stage(), &patch("7"));
        assert_eq!(fault.kind, FaultKind::Conflict);
        let message = format!("{path} is not \"7\": it is ");
        assert!(fault.message.starts_with(&message), "{fault}");
        assert!(fault.message.ends_with(", paused at 10%"), "{fault}");
    }
}

#[test]
fn without_a_canary_only_variables_of_the_stage_change() {
    let message = "the stage has no canary: rolled back (by anna); the command \"start\" begins \
                   another attempt";
    for patch in
        [json!([replace("/canarySettings/stageVariableOverrides/a", "b")]), json!(promotion())]
    {
        assert_eq!(fault(&rolled_back(), &patch), Fault::conflict(message));
    }
    assert!(commands(&rolled_back(), &json!([replace("/variables/a", "b")])).is_ok());
}

#[test]
fn the_document_shows_the_stage_as_the_gateway_would() {
    let document = |stage: &Stage| serde_json::to_value(stage.document(Role::Operate)).unwrap();
    let variables = json!({"backend": "b1", "limit": "20", "debug": "false"});
    let with = |deployment: &str, percent: f64, summary: &str| {
        json!({
            "stageName": "prod", "description": summary, "deploymentId": deployment,
            "variables": variables,
            "canarySettings": {
                "percentTraffic": percent, "deploymentId": "v2", "useStageCache": false,
                "stageVariableOverrides": {"backend": "b2"},
            },
        })
    };
    assert_eq!(document(&stage()), with("v1", 10.0, "paused at 10%"));
    assert_eq!(document(&promoted()), with("v2", 0.0, "paused at 10%"));
    let mut without = with("v1", 0.0, "rolled back (by anna)");
    without.as_object_mut().unwrap().remove("canarySettings");
    assert_eq!(document(&rolled_back()), without);
}

#[test]
fn only_operators_see_the_values_of_variables() {
    for role in [Role::View, Role::Approve] {
        let document = serde_json::to_value(stage().document(role)).unwrap();
        assert_eq!(document.get("variables"), None);
        assert_eq!(document["canarySettings"].get("stageVariableOverrides"), None);
        assert_eq!(document["canarySettings"]["percentTraffic"], 10.0);
    }
}
