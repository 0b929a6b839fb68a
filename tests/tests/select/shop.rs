//! A shop that responds with the assignment and the headers of each request.

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

/// A running shop.
pub(crate) struct Shop {
    pub(crate) server: Server,
    pub(crate) handle: CanaryHandle,
}

impl Shop {
    /// Starts a shop whose canary is named `shop` and has the release `v2`.
    pub(crate) fn open(policy: impl Select) -> Self {
        Self::open_release("v2", policy)
    }

    pub(crate) fn open_release(release: &str, policy: impl Select) -> Self {
        Self::open_with(release, policy, Router::new())
    }

    /// `beside` has additional routes that are not split.
    pub(crate) fn open_with(release: &str, policy: impl Select, beside: Router) -> Self {
        let options = CanaryOptions::new().canary_release(release).select(policy);
        let layer = CanaryLayer::with_options("shop", version(), options);
        let handle = layer.handle();
        let server = Server::of_router(version().canary(layer).merge(beside));
        Self { server, handle }
    }
}

/// Both versions. They respond at any path with the channel and the reason, and then the headers of
/// the request, one per line.
pub(crate) fn version() -> Router {
    Router::new().route("/", get(show)).route("/{*path}", get(show).post(show))
}

async fn show(assignment: Assignment, request: Request) -> String {
    let mut text = format!("{} {}\n", assignment.channel(), assignment.reason());
    for (name, value) in request.headers() {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
    }
    text
}

/// Returns the channel and the reason from the body, and asserts that the tag agrees.
pub(crate) fn assignment_of(answer: &Answer) -> (Channel, &str) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let (channel, reason) = answer.body.lines().next().unwrap().split_once(' ').unwrap();
    let tag = answer.channel().unwrap();
    assert_eq!(channel, tag.as_str());
    (tag, reason)
}

/// Returns the values of a header that the handler saw.
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

/// Returns the channel of a key by the published formula.
pub(crate) fn channel_of_key(salt: &str, key: &str, weight: Weight) -> Channel {
    match weight.admits(StickyKey::new(salt, key).bucket()) {
        true => Channel::Canary,
        false => Channel::Stable,
    }
}

/// Returns one key of stable and one of the canary, at a weight of 50%.
pub(crate) fn one_key_of_each(salt: &str) -> [String; 2] {
    Channel::ALL.map(|channel| {
        let mut keys = (0..).map(|number| format!("user-{number}"));
        keys.find(|key| channel_of_key(salt, key, HALF) == channel).unwrap()
    })
}

pub(crate) fn secret() -> Secret {
    Secret::try_new(SECRET).unwrap()
}

/// A cookie signed with a fixed key, which stays valid after a restart.
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

    /// Continues with another server.
    pub(crate) fn move_to(&mut self, client: Client) {
        self.client = client;
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        // One header per cookie, as browsers send them over HTTP/2.
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
