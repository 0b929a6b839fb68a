//! A shop whose two versions say who they are and what they saw.

use std::collections::BTreeMap;

use axum::{Router, body::Body, extract::Request, routing::get};
use canary_tests::{Answer, Client, Server};
use http::{HeaderMap, HeaderName, header};
use tower_canary::{
    Assignment, CanaryHandle, CanaryLayer, CanaryOptions, Channel, Weight,
    axum::RouterExt as _,
    select::{IssuedCookie, Secret, Select, StickyKey},
};

pub(crate) const USER: HeaderName = HeaderName::from_static("x-user-id");
pub(crate) const FORCE: HeaderName = HeaderName::from_static("x-canary-force");
pub(crate) const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
pub(crate) const SECRET: &str = "0b2f7c65a41d4f1e9c3d";
pub(crate) const HALF: Weight = Weight::from_percent(50);

/// A shop that listens.
pub(crate) struct Shop {
    pub(crate) server: Server,
    pub(crate) handle: CanaryHandle,
}

impl Shop {
    /// The canary's name is `shop`, and its release `v2`.
    pub(crate) fn open(policy: impl Select) -> Self {
        Self::open_release("v2", policy)
    }

    pub(crate) fn open_release(release: &str, policy: impl Select) -> Self {
        Self::open_with(release, policy, Router::new())
    }

    /// Besides, there are routes that no canary assigns.
    pub(crate) fn open_with(release: &str, policy: impl Select, beside: Router) -> Self {
        let options = CanaryOptions::new().canary_release(release).select(policy);
        let layer = CanaryLayer::with_options("shop", version(), options);
        let handle = layer.handle();
        let server = Server::of_router(version().canary(layer).merge(beside));
        Self { server, handle }
    }
}

/// Either version, under any path: it answers with the channel, the reason, and the headers that it saw,
/// one a line.
pub(crate) fn version() -> Router {
    Router::new().route("/", get(tell)).route("/{*path}", get(tell).post(tell))
}

async fn tell(assignment: Assignment, request: Request) -> String {
    let mut told = format!("{} {}\n", assignment.channel(), assignment.reason());
    for (name, value) in request.headers() {
        told += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
    }
    told
}

/// What the handler said of the call, and the tag: they must agree.
pub(crate) fn told(answer: &Answer) -> (Channel, &str) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let (channel, reason) = answer.body.lines().next().unwrap().split_once(' ').unwrap();
    let tag = answer.channel().unwrap();
    assert_eq!(channel, tag.as_str());
    (tag, reason)
}

/// What the handler saw of a header.
pub(crate) fn seen<'a>(answer: &'a Answer, name: &HeaderName) -> Vec<&'a str> {
    let prefix = format!("{name}: ");
    answer.body.lines().filter_map(|line| line.strip_prefix(&*prefix)).collect()
}

pub(crate) async fn get_with(
    client: &Client,
    path: &str,
    headers: &[(HeaderName, &str)],
) -> Answer {
    let mut request = Request::get(path).body(Body::empty()).unwrap();
    for (name, value) in headers {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    client.ask(request).await
}

pub(crate) async fn get_as(client: &Client, user: &str) -> Answer {
    get_with(client, "/", &[(USER, user)]).await
}

/// The channel that the published formula gives a key.
pub(crate) fn channel_of_key(salt: &str, key: &str, weight: Weight) -> Channel {
    match weight.admits(StickyKey::new(salt, key).bucket()) {
        true => Channel::Canary,
        false => Channel::Stable,
    }
}

/// At a weight of 50 %, a key of stable's and one of the canary's.
pub(crate) fn one_key_of_each(salt: &str) -> [String; 2] {
    Channel::ALL.map(|channel| {
        let mut keys = (0..).map(|number| format!("user-{number}"));
        keys.find(|key| channel_of_key(salt, key, HALF) == channel).unwrap()
    })
}

pub(crate) fn secret() -> Secret {
    Secret::try_new(SECRET).unwrap()
}

/// A cookie signed with a key that outlives servers.
pub(crate) fn signed_cookie() -> IssuedCookie {
    let key = Secret::try_new("T5u6Wd0mQ3pZ8sYxVbNfGhJkLrEaC2i7").unwrap();
    IssuedCookie::new("canary_id").signed(&key)
}

/// A client that keeps its cookies, as browsers do.
pub(crate) struct Visitor {
    client: Client,
    cookies: BTreeMap<String, String>,
}

impl Visitor {
    pub(crate) const fn new(client: Client) -> Self {
        Self { client, cookies: BTreeMap::new() }
    }

    /// The same visitor after the server moved.
    pub(crate) fn move_to(&mut self, client: Client) {
        self.client = client;
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        // One header each, as browsers do over HTTP/2.
        for (name, value) in &self.cookies {
            let cookie = format!("{name}={value}").parse().unwrap();
            request.headers_mut().append(header::COOKIE, cookie);
        }
        let answer = self.client.ask(request).await;
        self.keep(&answer.headers);
        answer
    }

    fn keep(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}
