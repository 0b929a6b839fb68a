//! Ratings: feedback of users and events of the application, counted for the channel that served
//! the call.
//!
//! A response with status 200 can still be wrong. The outcomes of calls do not show it, but
//! complaints and orders that are not completed do. This module counts such ratings by channel and
//! by the weight at which the call was assigned, so that a judge can compare the channels. They are
//! in [`Snapshot::ratings`](crate::counts::Snapshot::ratings) of
//! [`CanaryHandle::counts`](crate::CanaryHandle::counts).
//!
//! # Rating a call while it runs
//!
//! A handler rates its call through its [`Assignment`](crate::Assignment), in HTTP and in gRPC.
//! Besides the feedback of users there are *events* of the application: each has a name, and each
//! occurrence is good or bad. Name the events when you build the layer.
//!
//! ```
//! use http::{Request, Response};
//! use tower::{Layer, Service, ServiceExt, service_fn};
//! use tower_canary::{
//!     Assignment, CanaryLayer, CanaryOptions, Channel, Rating, Weight, feedback::FeedbackOptions,
//! };
//!
//! async fn checkout(request: Request<()>) -> Result<Response<String>, std::convert::Infallible> {
//!     let paid = false; // The status is 200 nevertheless, with a page that asks to try again.
//!     if let Some(assignment) = request.extensions().get::<Assignment>() {
//!         let rating = if paid { Rating::Good } else { Rating::Bad };
//!         assignment.rate_event("order-completed", rating).expect("the options name the event");
//!     }
//!     Ok(Response::new("please try again".to_owned()))
//! }
//!
//! # tokio_test::block_on(async {
//! let options = CanaryOptions::new().feedback(FeedbackOptions::new().event("order-completed"));
//! let layer = CanaryLayer::with_options("checkout", service_fn(checkout), options);
//! let canary = layer.handle();
//! canary.set_weight(Weight::FULL)?;
//! layer.layer(service_fn(checkout)).oneshot(Request::new(())).await?;
//!
//! let ratings = canary.counts().ratings;
//! let orders = ratings.event("order-completed").expect("the options name the event");
//! assert_eq!(orders.evidence()[&Weight::FULL][Channel::Canary].adverse, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Rating a call later
//!
//! Users complain after they have seen the page. If the weight was raised in between, some users
//! have moved from stable to the canary, and their complaints about stable would count against the
//! canary. To avoid this, put a [receipt](Receipt) of the call into the page or a header, and have
//! the client send it back with the complaint:
//!
//! ```
//! # #[cfg(feature = "feedback")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tower_canary::{
//!     Assignment, CanaryOptions, feedback::FeedbackOptions, select::Secret,
//! };
//!
//! // All replicas need the same secret.
//! let secret = Secret::try_new("6f1d0c5a9e784b3f8d2e71c4a5b60938")?;
//! let options = CanaryOptions::new().feedback(FeedbackOptions::new().signed(&secret));
//!
//! fn page(assignment: &Assignment) -> String {
//!     format!(r#"<form data-receipt="{}">Was this helpful?</form>"#, assignment.receipt())
//! }
//! # let _ = (options, page);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "feedback"))]
//! # fn main() {}
//! ```
//!
//! Redeem the receipt with [`CanaryHandle::rate_receipt`](crate::CanaryHandle::rate_receipt), at
//! any replica. For axum there is a ready-made route, `axum::feedback`:
//!
//! ```
//! # #[cfg(all(feature = "axum", feature = "feedback"))]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use axum::{Router, routing::get};
//! use tower_canary::{Assignment, CanaryLayer, axum::{RouterExt, feedback}};
//!
//! async fn page(assignment: Assignment) -> String {
//!     assignment.receipt().to_string()
//! }
//! let v1 = Router::new().route("/", get(page));
//! let v2 = Router::new().route("/", get(page));
//!
//! let layer = CanaryLayer::new("shop", v2);
//! let canary = layer.handle();
//! // The feedback route is outside the layer, so that calls to it are not assigned to a channel.
//! let app: Router = v1.layer(layer).route("/feedback", feedback(canary));
//! // curl --json '{"rating": "bad", "receipt": "EwAB.."}' http://localhost:3000/feedback
//! # let _ = app;
//! # Ok(())
//! # }
//! # #[cfg(not(all(feature = "axum", feature = "feedback")))]
//! # fn main() {}
//! ```
//!
//! # Which ratings count
//!
//! | the rating | counts |
//! |---|---|
//! | of a call that was assigned at random (`random` or `sticky`) | as evidence, at the weight of the call |
//! | of a call that was assigned for [another reason](crate::AssignmentReason), such as a tester's or a spilled call | as excluded: in the metrics, not for the judge |
//! | of a mirrored copy of a call (crate `tower-canary-mirror`) | not at all; its handler can rate without an error |
//! | of a call from before the last change of the [salt](crate::control::ControlExt::set_salt) | as excluded through an assignment; not at all through a receipt |
//! | by a receipt that was used, has expired, is forged or belongs to another canary | not at all; it fails with a [`ReceiptError`] |
//!
//! Memory stays bounded. Events are named in code, not by clients; the number of remembered
//! receipts is [limited](FeedbackOptions::remember), and so is the number of
//! [weights](crate::counts::RatingsByWeight::MAX_WEIGHTS) that are counted separately.
//!
//! # Security
//!
//! Ratings can cause a rollback, so their senders influence the verdict. Receipts are signed, so a
//! rating requires a call that was served. (With [`unsigned`](FeedbackOptions::unsigned), anyone who
//! can reach the route can make up receipts for either channel.) Each receipt counts once at each
//! replica: with five replicas, a client that sends a receipt to all of them is counted five times. A client that
//! makes many calls can still rate all of them, and it can see from the tags which channel served
//! each one. Put the limits of your service in front of the route, such as a login and a rate limit
//! per user, and observe the ratings for a while before you let a plan depend on them.
//!
//! A receipt is not secret from its holder: it contains the channel and the weight, but no user
//! data.
//!
//! # Cost
//!
//! A rating takes a lock for 10 to 20 ns. Calls without a rating take no lock. Issuing a signed
//! receipt takes 0.2 µs, and redeeming it 0.3 µs, on a processor with SHA-256 instructions.

mod error;
mod options;
pub(crate) mod rated_call;
#[cfg(feature = "feedback")]
mod receipt;
#[cfg(feature = "feedback")]
mod redeem;
#[cfg(feature = "feedback")]
mod replay_guard;
#[cfg(feature = "feedback")]
mod signer;
pub(crate) mod store;

pub use self::{
    error::{UnknownEvent, UnknownWeight},
    options::FeedbackOptions,
};
#[cfg(feature = "feedback")]
pub use self::{
    receipt::{InvalidReceipt, Receipt},
    redeem::ReceiptError,
};
