use canary_tests::{control_plane::ControlPlane, skip::skip, task_server::TaskServer};
use serde_json::json;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tower_canary::{Channel, Weight};

use crate::python::Python;

#[tokio::test]
async fn grpcio_controls_a_canary_that_it_learns_by_reflection() {
    let python = match Python::with_packages().await {
        Ok(python) => python,
        Err(reason) => return skip("grpcio", reason),
    };
    let plane = ControlPlane::with_tokens().await;
    let address = plane.address().to_string();
    let described = python.run("control.py", &["describe", &address]).await;
    let services =
        ["canary.v1.Control", "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"];
    for service in services {
        assert!(described["services"].as_array().unwrap().contains(&json!(service)), "{described}");
    }
    assert_eq!(described["health"], 1);
    rollout(python, &plane, &address, "ada").await;

    // tonic's server, for callers on this machine.
    let plane = ControlPlane::start().await;
    let routes = plane.admin().grpc_routes();
    let server = TaskServer::start(|listener| async {
        let incoming = TcpListenerStream::new(listener);
        Server::builder().add_routes(routes).serve_with_incoming(incoming).await.unwrap();
    });
    let address = server.await;
    let address = address.address().to_string();
    rollout(python, &plane, &address, "localhost").await;
    let foreign = python.run("control.py", &["foreign", &address]).await;
    assert_eq!(foreign[0], "PERMISSION_DENIED", "{foreign}");
    assert_eq!(foreign[2], "/problems/foreign-host", "{foreign}");
}

async fn rollout(python: &Python, plane: &ControlPlane, address: &str, operator: &str) {
    let seen = python.run("control.py", &["rollout", address, "operate"]).await;
    assert_eq!(seen["listed"], json!(["shop", "v1", "v2", 0]));
    let effect = seen["effect"].as_str().unwrap();
    assert!(effect.contains("v2 gets 10.5% of the calls, not 0%"), "{effect}");
    assert_eq!(seen["weight"], json!([105_000, ["started", "weight_set"]]));
    assert_eq!(seen["variables"], json!(["variables_set"]));
    assert_eq!(seen["rolled_back"], json!([0, 8]));
    let sentence = |predicate: &str| format!("{operator} {predicate}");
    let variables = "set the variables backend, limit of the canary";
    assert_eq!(
        seen["events"],
        json!([
            [sentence("started (attempt 1)"), "a first look", 0],
            [sentence("set the weight"), "a first look", 105_000],
            [sentence(variables), "", 105_000],
            [sentence("rolled back"), "wrong totals", 0],
        ]),
    );
    assert_eq!(seen["again"], "canary");
    let canary = plane.rollout().canary();
    assert_eq!(canary.weight(), Weight::ZERO);
    let variables = canary.variables(Channel::Canary);
    assert_eq!(variables.read::<u32>("limit").unwrap(), 30);
    assert_eq!(variables.text("backend"), Some("b1"));
}

#[tokio::test]
async fn a_refusal_is_a_status_with_the_reason_and_changes_nothing() {
    let python = match Python::with_packages().await {
        Ok(python) => python,
        Err(reason) => return skip("grpcio", reason),
    };
    let plane = ControlPlane::with_tokens().await;
    let seen = python.run("control.py", &["refusals", &plane.address().to_string()]).await;
    for (call, code, message, problem) in [
        ("anonymous", "UNAUTHENTICATED", "`Authorization: Bearer TOKEN`", "unauthorized"),
        ("wrong token", "UNAUTHENTICATED", "the token is not valid", "unauthorized"),
        ("role", "PERMISSION_DENIED", "needs the role operate, and watcher has view", "forbidden"),
        ("canary", "NOT_FOUND", "canary is \"cart\", expected shop", "not-found"),
        ("watched canary", "NOT_FOUND", "canary is \"cart\", expected shop", "not-found"),
        ("after", "INVALID_ARGUMENT", "after is \"x\", expected an id", "invalid"),
        ("command", "INVALID_ARGUMENT", "there is no such command", "invalid"),
        ("no weight", "INVALID_ARGUMENT", "the command has no weight", "invalid"),
        ("weight", "INVALID_ARGUMENT", "weight_ppm is \"1000001\", expected 0 to", "invalid"),
        ("data", "INVALID_ARGUMENT", "halt has no data: gate is", "invalid"),
        ("variable", "INVALID_ARGUMENT", "the variable has no valid value", "invalid"),
        ("if_match", "INVALID_ARGUMENT", "if_match is \"x\", expected the id", "invalid"),
        ("refused", "FAILED_PRECONDITION", "the plan has no steps", "refused"),
        ("unseen", "INVALID_ARGUMENT", "name the latest event", "latest-needed"),
        ("changed", "ABORTED", "the rollout has changed since event", "changed"),
    ] {
        let status = &seen[call];
        assert_eq!(status[0], code, "{call}: {status}");
        assert!(status[1].as_str().unwrap().contains(message), "{call}: {status}");
        assert_eq!(status[2], format!("/problems/{problem}"), "{call}: {status}");
        assert!(!status[1].as_str().unwrap().contains("secret"), "{status}");
    }
    assert_eq!(plane.events(), ["started", "weight_set"]);
}
