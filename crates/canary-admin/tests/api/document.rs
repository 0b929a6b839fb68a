//! Every path and method of the OpenAPI document, tried by callers who may not change anything.

use std::collections::BTreeSet;

use canary_admin::Access;
use canary_controller::Status;
use serde_json::Value;

use crate::support::{Call, Server, tokens};

/// An operation of the document, with a body that would change something.
struct Operation {
    method: String,
    path: String,
    has_body: bool,
    is_public: bool,
    responses: BTreeSet<String>,
}

impl Operation {
    fn call(&self) -> Call {
        let call = Call::new(&self.method, &self.path);
        if self.has_body { call.json(body(&self.path)) } else { call }
    }

    fn is_read(&self) -> bool {
        self.method == "GET"
    }
}

/// Returns a body for this path that would change something.
fn body(path: &str) -> &'static str {
    match path {
        "/canaries/shop/commands" => r#"{"command":"halt","reason":"an attack"}"#,
        "/canaries/shop/variables" => r#"{"stage":{"backend":"http://evil.example"}}"#,
        "/canaries/shop/plan" => r#"{"text":"steps = [{ weight = '50%' }]"}"#,
        "/canaries/shop/drain" => r#"{"channel":"stable","close":true}"#,
        GATEWAY => {
            r#"{"patchOperations":[
                {"op":"replace","path":"/canarySettings/percentTraffic","value":"50"}
            ]}"#
        }
        "/plans/check" => r#"{"text":"steps = [{ weight = '50%' }]"}"#,
        path => panic!("add a body for {path}, so that this test covers it"),
    }
}

async fn operations(server: &Server) -> Vec<Operation> {
    let document = server.get("/openapi.json").await.json();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations.push(Operation {
                method: method.to_uppercase(),
                path: path.replace("{canary}", "shop").replace("{stage}", "prod"),
                has_body: !operation["requestBody"].is_null(),
                is_public: !operation["security"].is_null(),
                responses: operation["responses"].as_object().unwrap().keys().cloned().collect(),
            });
        }
    }
    assert!(operations.len() >= 13, "the document lists everything");
    operations
}

/// Its error responses have the form of API Gateway.
const GATEWAY: &str = "/restapis/shop/stages/prod";

/// What a request could change.
fn state(status: &Status) -> (String, String, Value) {
    let rollout = &status.rollout;
    (format!("{:?}", rollout.latest()), status.weight.to_string(), rollout.plan().to_public_json())
}

/// Sends all operations as `change` alters them, and checks the status, and that nothing has changed.
async fn try_all(
    server: &Server,
    change: impl Fn(Call) -> Call,
    expected: impl Fn(&Operation) -> u16,
) {
    let before = state(&server.rollout.status());
    for operation in operations(server).await {
        let reply = server.send(change(operation.call())).await;
        let Operation { method, path, responses, .. } = &operation;
        assert_eq!(reply.status, expected(&operation), "{method} {path}: {}", reply.text);
        assert!(responses.contains(&reply.status.to_string()), "{method} {path}: {reply:?}");
        if reply.status >= 400 && path != GATEWAY {
            reply.problem();
        }
    }
    assert_eq!(state(&server.rollout.status()), before);
}

#[tokio::test]
async fn without_a_token_there_are_only_static_files() {
    let (_directory, access) = tokens();
    let server = Server::start(access).await;
    let expected = |operation: &Operation| if operation.is_public { 200 } else { 401 };
    try_all(&server, |call| call, expected).await;
    for path in ["/nope", "/canaries/nope", "/canaries/shop/nope"] {
        assert_eq!(server.get(path).await.status, 401, "{path} tells nothing");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_viewer_changes_nothing() {
    let (_directory, access) = tokens();
    let server = Server::start(access).await;
    let expected = |operation: &Operation| match &*operation.path {
        "/canaries/shop/variables" => 403,
        "/plans/check" => 200,
        _ if operation.is_read() => 200,
        _ => 403,
    };
    try_all(&server, |call| call.token("vic"), expected).await;
    server.stop().await;
}

#[tokio::test]
async fn a_request_for_a_foreign_host_gets_nothing() {
    let server = Server::start(Access::loopback()).await;
    try_all(&server, |call| call.host("evil.example"), |_| 421).await;
    server.stop().await;
}

#[tokio::test]
async fn a_request_of_a_foreign_website_changes_nothing() {
    let server = Server::start(Access::loopback()).await;
    let expected = |operation: &Operation| if operation.is_read() { 200 } else { 403 };
    let by_origin = |call: Call| call.header("origin", "https://evil.example");
    try_all(&server, by_origin, expected).await;
    let by_site = |call: Call| call.header("sec-fetch-site", "cross-site");
    try_all(&server, by_site, expected).await;
    server.stop().await;
}

#[tokio::test]
async fn other_methods_are_problems_and_name_the_right_ones() {
    let server = Server::start(Access::loopback()).await;
    for operation in operations(&server).await {
        let reply = server.send(Call::new("DELETE", &operation.path)).await;
        assert_eq!(reply.status, 405, "{}", operation.path);
        assert!(reply.header("allow").contains(&operation.method), "{reply:?}");
    }
    let reply = server.get("/nope").await;
    assert_eq!(reply.problem()["type"], "/problems/not-found");
    server.stop().await;
}

#[tokio::test]
async fn every_response_has_the_security_headers() {
    let server = Server::start(Access::loopback()).await;
    for path in ["/", "/index.html", "/canaries", "/nope"] {
        let reply = server.get(path).await;
        assert!(reply.header("content-security-policy").contains("default-src 'none'"), "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("referrer-policy"), "no-referrer");
        let is_file = matches!(path, "/" | "/index.html");
        let caching = if is_file { "no-cache" } else { "no-store" };
        assert_eq!(reply.header("cache-control"), caching, "{path}");
    }
    let tag = server.get("/").await.header("etag").to_owned();
    let again = Call::new("GET", "/").header("if-none-match", &tag);
    assert_eq!(server.send(again).await.status, 304);
    server.stop().await;
}

#[tokio::test]
async fn a_browser_keeps_the_files_of_one_version_and_no_others() {
    let server = Server::start(Access::loopback()).await;
    let page = server.get("/").await.text;
    let (_, links) = page.split_once("\"assets/").expect("the page has a link");
    let (version, _) = links.split_once('/').unwrap();
    let file = server.get(&format!("/assets/{version}/style.css")).await;
    assert!(file.header("cache-control").contains("immutable"), "{file:?}");
    let other = server.get("/assets/0123456789abcdef/style.css").await;
    assert_eq!((other.status, &other.text), (200, &file.text));
    assert_eq!(other.header("cache-control"), "no-store");
    assert_eq!(server.get(&format!("/assets/{version}/nope.js")).await.status, 404);
    server.stop().await;
}
