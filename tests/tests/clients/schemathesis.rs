use canary_tests::{control_plane::ControlPlane, skip::skip};

use crate::python::Python;

/// Tries each operation of the OpenAPI document with valid and invalid data. There is no server error,
/// and no response that the document does not describe.
#[tokio::test]
async fn schemathesis_finds_no_undocumented_response() {
    let python = match Python::with_packages().await {
        Ok(python) => python,
        Err(reason) => return skip("schemathesis", reason),
    };
    let plane = ControlPlane::with_tokens().await;
    let url = plane.url();
    let document = format!("{url}/openapi.json");
    let config = Python::file("schemathesis.toml");
    let arguments = [
        &["--config-file", &config, "run", &document, "--url", &url][..],
        &["--header", "Authorization: Bearer operate", "--checks", CHECKS],
        &["--phases", "examples,coverage,fuzzing", "--max-examples", "30"],
        // The same requests in each run.
        &["--generation-deterministic"],
        &["--suppress-health-check", "all", "--warnings", "off", "--continue-on-failure"],
        &["--request-timeout", "60", "--no-color"],
    ];
    python.module("schemathesis.cli", &arguments.concat()).await;
}

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,unsupported_method";
