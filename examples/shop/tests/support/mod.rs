//! Starts the built shop as a separate process.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{process::Stdio, time::Duration};

use axum::body::{Body, to_bytes};
use http::{HeaderMap, Method, Request, StatusCode};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// A shop process, which is killed when it is dropped.
pub(crate) struct Shop {
    pub(crate) process: Child,
    pub(crate) output: BufReader<ChildStdout>,
    pub(crate) addr: String,
    client: Client<HttpConnector, Body>,
}

pub(crate) struct HttpResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Shop {
    pub(crate) async fn start(options: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_shop"))
            .args(["--addr", "127.0.0.1:0"])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).await.unwrap();
        let (_, addr) = line.split_once("http://").unwrap();
        let addr = addr.split(',').next().unwrap().to_owned();
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { process, output, addr, client }
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: &str) -> HttpResponse {
        let request = Request::builder().method(method).uri(format!("http://{}{path}", self.addr));
        self.send(request, body).await
    }

    /// Gives a command, as an operator who has just looked at the canary.
    pub(crate) async fn command(&self, command: &Value) -> HttpResponse {
        let latest = self.view().await["latest"].as_str().unwrap().to_owned();
        let request = Request::post(format!("http://{}{CANARY}/commands", self.addr));
        self.send(request.header("if-match", format!("{latest:?}")), &command.to_string()).await
    }

    /// Returns the canary as the API shows it.
    pub(crate) async fn view(&self) -> Value {
        serde_json::from_str(&self.get(CANARY).await.text).unwrap()
    }

    /// Waits until the canary is shown in such a state.
    pub(crate) async fn wait_for(&self, is_awaited: impl Fn(&Value) -> bool) {
        let awaited = async { while !is_awaited(&self.view().await) {} };
        timeout(TIMEOUT, awaited).await.expect("the state should be shown");
    }

    pub(crate) async fn send(&self, request: http::request::Builder, body: &str) -> HttpResponse {
        let request = request.header("content-type", "application/json");
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let (head, body) = self.client.request(request).await.unwrap().into_parts();
        let bytes = to_bytes(Body::new(body), usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        HttpResponse { status: head.status, headers: head.headers, text }
    }

    pub(crate) async fn get(&self, path: &str) -> HttpResponse {
        self.call(Method::GET, path, "").await
    }
}

pub(crate) const CANARY: &str = "/canary/canaries/shop";

/// Much longer than any test takes.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(300);
