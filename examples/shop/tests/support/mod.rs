//! Starts the built shop as a separate process.
#![allow(dead_code, reason = "each test file uses a part")]

use std::{process::Stdio, time::Duration};

use axum::body::{Body, to_bytes};
use http::{HeaderMap, Method, Request, StatusCode};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout, Command},
};

/// A shop process, which is killed when it is dropped.
pub(crate) struct Shop {
    pub(crate) process: Child,
    pub(crate) output: BufReader<ChildStdout>,
    pub(crate) addr: String,
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
        Self { process, output, addr }
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: &str) -> HttpResponse {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.addr))
            .header("content-type", "application/json")
            .header("x-user", "ada")
            .body(Body::from(body.to_owned()))
            .unwrap();
        let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
        let (head, body) = client.request(request).await.unwrap().into_parts();
        let bytes = to_bytes(Body::new(body), usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        HttpResponse { status: head.status, headers: head.headers, text }
    }

    pub(crate) async fn get(&self, path: &str) -> HttpResponse {
        self.call(Method::GET, path, "").await
    }
}

/// Much longer than any test takes.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);
