//! Calls of the shop's own, over real sockets as anybody's.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use axum::body::{Body, to_bytes};
use http::{Method, Request, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{task::JoinSet, time};
use tonic::transport::{Channel, Endpoint};

use crate::{
    proto::{PriceRequest, prices_client::PricesClient},
    report::Report,
};

/// Calls the shop `per_second` times a second, and prints a line every second. Ends only by an error.
///
/// Dropping it ends the calls that are under way.
pub(crate) async fn run(
    addr: SocketAddr,
    per_second: u32,
    report: &mut Report,
) -> anyhow::Result<()> {
    let customer = Customer::of(addr)?;
    let mut calls = JoinSet::new();
    // Bursts after a delay, so that there are as many calls as promised.
    let mut next_call = time::interval(Duration::from_secs(1) / per_second);
    let mut next_line = time::interval_at(time::Instant::now() + EACH_SECOND, EACH_SECOND);
    for number in (0..KINDS_OF_CALLS).cycle() {
        loop {
            tokio::select! {
                biased;
                _ = next_line.tick() => report.print_line(),
                Some(done) = calls.join_next() => log_failure(done?),
                _ = next_call.tick(), if calls.len() < MAX_OPEN => break,
            }
        }
        calls.spawn(customer.clone().call(number));
    }
    Ok(())
}

#[derive(Clone)]
struct Customer {
    authority: String,
    http: Client<HttpConnector, Body>,
    grpc: PricesClient<Channel>,
}

impl Customer {
    fn of(addr: SocketAddr) -> anyhow::Result<Self> {
        let grpc = Endpoint::from_shared(format!("http://{addr}"))?.connect_lazy();
        Ok(Self {
            authority: addr.to_string(),
            http: Client::builder(TokioExecutor::new()).build_http(),
            grpc: PricesClient::new(grpc),
        })
    }

    /// Of five calls, three look at a product, one buys, and one asks for a price by gRPC.
    async fn call(self, number: u32) -> anyhow::Result<()> {
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
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.authority))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(json.to_owned()))?;
        let response = self.http.request(request).await.context("no answer")?;
        to_bytes(Body::new(response.into_body()), MAX_RESPONSE).await?;
        Ok(())
    }

    async fn price(mut self, product_id: u32) -> anyhow::Result<()> {
        // A status that says the shop failed is an answer, too.
        let _ = self.grpc.get(PriceRequest { product_id }).await;
        Ok(())
    }
}

fn log_failure(done: anyhow::Result<()>) {
    if let Err(error) = done {
        tracing::debug!("{error:#}");
    }
}

/// Each of three products in each of five calls.
const KINDS_OF_CALLS: u32 = 15;
const EACH_SECOND: Duration = Duration::from_secs(1);
/// Calls that may be open at once. A shop that is too slow gets fewer calls than promised, not a crowd.
const MAX_OPEN: usize = 500;
const MAX_RESPONSE: usize = 64 * 1024;
