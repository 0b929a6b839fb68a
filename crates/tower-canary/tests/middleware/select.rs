//! Which channel each policy of `tower_canary::select` assigns.

mod forced;
#[cfg(feature = "cookie")]
mod issued_cookie;
mod propagated;
mod rules;
mod sticky;
mod untrusted_headers;

use std::convert::Infallible;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tower::{Layer, ServiceExt, service_fn};
use tower_canary::{
    Assignment, AssignmentReason, CanaryHandle, CanaryLayer, CanaryOptions, Channel, Weight,
    select::{Forced, Secret, Select, StickyKey},
};

use crate::support::HALF;

const USER: HeaderName = HeaderName::from_static("x-user-id");
const FORCE: HeaderName = HeaderName::from_static("x-canary-force");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
const SECRET: &str = "0b2f7c65a41d4f1e9c3d";

/// A canary with a policy. Its services answer with the headers and the assignment of the request.
struct PolicyFixture {
    handle: CanaryHandle,
    layer: CanaryLayer<Echo>,
}

type Echo = tower::util::BoxCloneSyncService<Request<()>, Response<String>, Infallible>;

fn echo() -> Echo {
    Echo::new(service_fn(|request: Request<()>| async move {
        let assignment = request.extensions().get::<Assignment>().cloned();
        let mut response = Response::new(String::new());
        for (name, value) in request.headers() {
            response.headers_mut().append(name, value.clone());
        }
        if let Some(assignment) = assignment {
            response.extensions_mut().insert(assignment);
        }
        Ok(response)
    }))
}

impl PolicyFixture {
    fn new(policy: impl Select, weight: Weight) -> Self {
        Self::with_options(CanaryOptions::new().canary_release("v2").select(policy), weight)
    }

    fn with_options(options: CanaryOptions, weight: Weight) -> Self {
        let layer = CanaryLayer::with_options("shop", echo(), options);
        let handle = layer.handle();
        handle.set_weight(weight).unwrap();
        Self { handle, layer }
    }

    async fn call(&self, request: Request<()>) -> Answer {
        let response = self.layer.layer(echo()).oneshot(request).await.unwrap();
        Answer {
            assignment: response.extensions().get().cloned(),
            headers: response.headers().clone(),
        }
    }

    async fn assign(&self, request: Request<()>) -> (Channel, AssignmentReason) {
        let assignment = self.call(request).await.assignment.unwrap();
        (assignment.channel(), assignment.reason())
    }
}

struct Answer {
    /// `None` if the request was bypassed.
    assignment: Option<Assignment>,
    headers: HeaderMap,
}

fn get(path: &str, headers: &[(HeaderName, &str)]) -> Request<()> {
    let mut request = Request::get(path).body(()).unwrap();
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        request.headers_mut().append(name, value);
    }
    request
}

fn of_user(user: &str) -> Request<()> {
    get("/", &[(USER, user)])
}

/// Returns one key of stable and one of the canary, at a weight of 50%.
fn one_key_of_each(salt: &str) -> [String; 2] {
    [false, true].map(|is_canary| {
        let mut keys = (0..).map(|number| format!("user-{number}"));
        keys.find(|key| HALF.admits(StickyKey::new(salt, key).bucket()) == is_canary).unwrap()
    })
}

fn secret() -> Secret {
    Secret::try_new(SECRET).unwrap()
}

#[cfg(feature = "cookie")]
fn long_secret() -> Secret {
    Secret::try_new("T5u6Wd0mQ3pZ8sYxVbNfGhJkLrEaC2i7").unwrap()
}

/// A policy that sends testers, who know the secret, to the channel that they name.
pub(crate) fn testers() -> Forced {
    Forced::by_header(FORCE, secret())
}

/// A tester's request for the canary.
pub(crate) fn forced_request() -> Request<()> {
    get("/", &[(FORCE, &format!("canary:{SECRET}"))])
}
