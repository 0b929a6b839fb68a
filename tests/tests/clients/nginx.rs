use std::{
    path::{Path, PathBuf},
    process::Command,
};

use axum::{Router, body::Body, routing::get};
use canary_tests::{Server, skip::skip};
use http::{HeaderName, Request};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tower_canary::{
    CanaryLayer, CanaryOptions, Weight,
    select::{IssuedCookie, Sticky},
};

/// Headers with which an application permits shared caches to store a response.
const PERMISSIONS: &[(&str, &str)] = &[
    ("cache-control", "public, max-age=600, s-maxage=600"),
    ("x-accel-expires", "600"),
    ("expires", "Thu, 31 Dec 2037 23:55:55 GMT"),
    ("surrogate-control", "max-age=600"),
    ("cdn-cache-control", "max-age=600"),
    ("edge-control", "max-age=600"),
];

/// Returns a version whose responses a shared cache may store, unless the layer forbids it.
fn version(name: &'static str) -> Router {
    let names = PERMISSIONS.iter().map(|(name, value)| (HeaderName::from_static(name), *value));
    let headers = http::HeaderMap::from_iter(
        names.map(|(name, value)| (name, value.parse().expect("a header value"))),
    );
    Router::new().route("/{page}", get(async move || (headers.clone(), name)))
}

async fn page_after_a_canary_response(options: CanaryOptions, canary: Weight) -> Option<String> {
    let layer = CanaryLayer::with_options("shop", version("canary"), options);
    let handle = layer.handle();
    let server = Server::of_router(version("stable").layer(layer));
    let directory = tempfile::tempdir().unwrap();
    let _nginx = Nginx::start(directory.path(), &server).await?;
    handle.set_weight(canary).unwrap();
    assert_eq!(get_page(directory.path()).await, "canary");
    handle.set_weight(Weight::ZERO).unwrap();
    Some(get_page(directory.path()).await)
}

#[tokio::test]
async fn a_cache_in_front_does_not_serve_one_callers_canary_response_to_others() {
    let almost_full = Weight::from_ppm(999_999);
    for (options, expected) in [
        (CanaryOptions::new(), "stable"),
        // The cache stores what it is permitted to store.
        (CanaryOptions::new().cacheable_canary(), "canary"),
    ] {
        let Some(page) = page_after_a_canary_response(options, almost_full).await else {
            return skip("nginx", "`nginx` is not on the PATH");
        };
        assert_eq!(page, expected);
    }
}

#[tokio::test]
async fn a_cache_in_front_does_not_store_the_cookie_of_a_caller() {
    let cookie = IssuedCookie::new("canary_id");
    let options = CanaryOptions::new().cacheable_canary().select(Sticky::by_issued(cookie));
    match page_after_a_canary_response(options, Weight::FULL).await {
        Some(page) => assert_eq!(page, "stable"),
        None => skip("nginx", "`nginx` is not on the PATH"),
    }
}

/// An nginx process. It stops when it is dropped.
struct Nginx {
    directory: PathBuf,
}

impl Nginx {
    /// Starts nginx as a cache in front of `server`, listening on a socket in `directory`. Returns
    /// `None` without nginx.
    async fn start(directory: &Path, server: &Server) -> Option<Self> {
        let path = directory.display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {path}/{kind};"))
            .concat();
        // By default, nginx stores no response with a cookie. Other caches do.
        let config = format!(
            "pid {path}/pid; worker_processes 1; events {{}}
             http {{
                 access_log off; {temporary} proxy_cache_path {path}/cache keys_zone=pages:1m;
                 server {{
                     listen unix:{path}/socket;
                     location / {{
                         proxy_pass http://{};
                         proxy_cache pages; proxy_cache_key $uri; proxy_ignore_headers Set-Cookie;
                     }}
                 }}
             }}",
            server.address(),
        );
        tokio::fs::write(directory.join("nginx.conf"), config).await.unwrap();
        // The command ends when nginx listens in the background.
        let output = tokio::process::Command::from(command(directory)?).output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        Some(Self { directory: directory.to_owned() })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let stop =
            command(&self.directory).map(|mut command| command.args(["-s", "stop"]).output());
        assert!(stop.is_some_and(|output| output.is_ok()), "nginx does not stop");
    }
}

fn command(directory: &Path) -> Option<Command> {
    // Debian has it in a directory that only root has on the PATH.
    let is_nginx = |name: &&str| Command::new(name).arg("-v").output().is_ok();
    let mut command = Command::new(["nginx", "/usr/sbin/nginx"].into_iter().find(is_nginx)?);
    command.arg("-p").arg(directory).arg("-c").arg(directory.join("nginx.conf"));
    command.arg("-e").arg(directory.join("error.log"));
    Some(command)
}

/// Gets the same page through the cache.
async fn get_page(directory: &Path) -> String {
    let stream = UnixStream::connect(directory.join("socket")).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("/page").header("host", "shop").body(Body::empty()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.into()).unwrap()
}
