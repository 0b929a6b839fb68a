use canary_rollout::Plan;
use canary_store_postgres::PostgresOptions;
use canary_tests::skip::skip;
use serde_json::json;
use tower_canary::{Bypass, select::RequestHead};

use crate::python::Python;

#[tokio::test]
async fn the_manifests_of_the_shop_are_valid() {
    let python = match Python::with_packages().await {
        Ok(python) => python,
        Err(reason) => return skip("kubernetes", reason),
    };
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/kubernetes");
    let found = python.run("manifests.py", &[directory]).await;
    let kinds = json!([
        "Service",
        "StatefulSet",
        "ConfigMap",
        "Deployment",
        "PodDisruptionBudget",
        "Service",
    ]);
    assert_eq!(found["validated"], kinds);
    assert_eq!(found["replicas"], 3);
    assert_eq!(found["waits_for_start"], true, "the guide starts the rollout after the last pod");
    Plan::from_toml(found["plan"].as_str().unwrap()).unwrap();
    PostgresOptions::from_url(found["store"].as_str().unwrap()).unwrap();
    let probe = http::Request::get(found["probe"].as_str().unwrap()).body(()).unwrap();
    assert!(Bypass::default().matches(&RequestHead::new(&probe)), "probes must not be evidence");
}
