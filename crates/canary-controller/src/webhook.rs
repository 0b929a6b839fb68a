//! Signed `POST` requests, which ask gates and notify receivers.
//!
//! ```
//! use bytes::Bytes;
//! use canary_controller::webhook::{SendFuture, WebhookClient};
//! use canary_rollout::Plan;
//! use http::{Request, Response};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let plan = Plan::from_toml(
//!     r#"
//!     steps = [{ weight = "1%" }]
//!
//!     [notify.ops.webhook]
//!     url = "https://ops.example/canary"
//!     secret_env = "CANARY_OPS_SECRET"
//!     "#,
//! )?;
//!
//! // With the feature `webhook`, `WebhookClient::try_http()` sends real requests.
//! let transport = |request: Request<Bytes>, _: usize| -> SendFuture<'static> {
//!     assert!(request.headers().contains_key("x-canary-signature"));
//!     Box::pin(async { Ok(Response::new(Bytes::new())) })
//! };
//! let client = WebhookClient::new(transport)
//!     .secrets(|name| (name == "CANARY_OPS_SECRET").then(|| "0123456789abcdef".to_owned()));
//! let reply = client.post(&plan.notify()["ops"].webhook, "delivery-1", "{}").await?;
//! assert_eq!(reply.status, 200);
//! # Ok(())
//! # }
//! ```

mod backoff;
mod client;
#[cfg(feature = "webhook")]
mod http_transport;
mod redacted_url;
mod signature;
#[cfg(feature = "webhook")]
mod target_rule;
mod transport;

#[cfg(feature = "webhook")]
pub use self::http_transport::{HttpTransport, RootsError};
pub(crate) use self::redacted_url::RedactedUrl;
pub use self::{
    backoff::Backoff,
    client::{PostError, Reply, WebhookClient},
    signature::{BadSignature, TOLERANCE, sign, verify},
    transport::{SendFuture, Transport},
};

#[doc = include_str!("../docs/hooks.md")]
pub mod guide {}
