//! A load generator that calls the shop over real sockets.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use axum::body::{Body, to_bytes};
use http::{HeaderName, HeaderValue, Method, Request, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{task::JoinSet, time};
use tonic::{
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};

use crate::{
    proto::{PriceRequest, prices_client::PricesClient},
    report::Report,
};

/// The header with the user of a generated call.
pub(crate) const USER: HeaderName = HeaderName::from_static(USER_KEY);
const USER_KEY: &str = "x-user-id";

/// Calls the shop `per_second` times per second, as some of `users` if there are any, and prints a
/// line per second. Returns only on an error.
///
/// Dropping the future cancels the calls in flight.
pub(crate) async fn run(
    addr: SocketAddr,
    per_second: u32,
    users: Option<u32>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let customer = Customer::of(addr)?;
    let mut calls = JoinSet::new();
    // Catches up after a delay, so that the average rate is right.
    let mut next_call = time::interval(Duration::from_secs(1) / per_second);
    let mut next_line = time::interval_at(time::Instant::now() + ONE_SECOND, ONE_SECOND);
    for number in (0..CALL_KINDS).cycle() {
        loop {
            tokio::select! {
                biased;
                _ = next_line.tick() => report.print_line(),
                Some(done) = calls.join_next() => log_failure(done?),
                _ = next_call.tick(), if calls.len() < MAX_IN_FLIGHT => break,
            }
        }
        calls.spawn(customer.clone().call(number, users.map(random_user)));
    }
    Ok(())
}

#[derive(Clone)]
struct Customer {
    authority: String,
    http: Client<HttpConnector, Body>,
    grpc: PricesClient<Channel>,
    user: Option<HeaderValue>,
}

impl Customer {
    fn of(addr: SocketAddr) -> anyhow::Result<Self> {
        let grpc = Endpoint::from_shared(format!("http://{addr}"))?.connect_lazy();
        Ok(Self {
            authority: addr.to_string(),
            http: Client::builder(TokioExecutor::new()).build_http(),
            grpc: PricesClient::new(grpc),
            user: None,
        })
    }

    /// Of five calls, three get a product, one checks out, and one gets a price over gRPC.
    async fn call(mut self, number: u32, user: Option<HeaderValue>) -> anyhow::Result<()> {
        self.user = user;
        let product = number % 3 + 1;
        match number % 5 {
            0..=2 => self.http(Method::GET, &format!("/products/{product}"), "").await,
            3 => {
                let order = format!(r#"{{"items": [{{"product": {product}, "quantity": 2}}]}}"#);
                self.http(Method::POST, "/checkout", &order).await
            }
            _ => self.price(product).await,
        }
    }

    async fn http(&self, method: Method, path: &str, json: &str) -> anyhow::Result<()> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.authority))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(json.to_owned()))?;
        if let Some(user) = &self.user {
            request.headers_mut().insert(USER, user.clone());
        }
        let response = self.http.request(request).await.context("no response")?;
        to_bytes(Body::new(response.into_body()), MAX_RESPONSE).await?;
        Ok(())
    }

    async fn price(mut self, product_id: u32) -> anyhow::Result<()> {
        let mut request = tonic::Request::new(PriceRequest { product_id });
        if let Some(user) = self.user {
            let user = MetadataValue::try_from(user.as_bytes())?;
            request.metadata_mut().insert(USER_KEY, user);
        }
        // An error status is counted by the canary layer.
        let _ = self.grpc.get(request).await;
        Ok(())
    }
}

/// Returns a user. User n makes about 1/n of the calls of the first one.
fn random_user(users: u32) -> HeaderValue {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most `users`")]
    let user = f64::from(users).powf(rand::random()) as u32;
    user.into()
}

fn log_failure(done: anyhow::Result<()>) {
    if let Err(error) = done {
        tracing::debug!("{error:#}");
    }
}

/// Three products times five calls.
const CALL_KINDS: u32 = 15;
const ONE_SECOND: Duration = Duration::from_secs(1);
/// The maximum number of calls in flight. If the shop is too slow, the rate is lower than
/// requested.
const MAX_IN_FLIGHT: usize = 500;
const MAX_RESPONSE: usize = 64 * 1024;
