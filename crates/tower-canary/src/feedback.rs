//! What users and the application say of calls: ratings that count for the channel that served them.
//!
//! An answer of 200 within two milliseconds can be wrong. No outcome shows it; the user who complains
//! does, and the order that is not completed. This module counts such ratings for the channel that
//! served the call, and by the weight at which the call was assigned, so that a judge can compare the
//! channels: they are [`Snapshot::ratings`](crate::Snapshot::ratings) of
//! [`CanaryHandle::counts`](crate::CanaryHandle::counts).
//!
//! # While the call lasts
//!
//! A handler that knows how a call went says so by its [`Assignment`](crate::Assignment), in HTTP and in
//! gRPC. What it counts besides what users say is an *event*: a name, and of each occasion whether it was
//! good or bad. Name the events when the layer is made.
//!
//! ```
//! use http::{Request, Response};
//! use tower::{Layer, Service, ServiceExt, service_fn};
//! use tower_canary::{
//!     Assignment, CanaryLayer, CanaryOptions, Channel, Rating, Weight, feedback::FeedbackOptions,
//! };
//!
//! async fn checkout(request: Request<()>) -> Result<Response<String>, std::convert::Infallible> {
//!     let paid = false; // It answers 200 all the same: the page says to try again.
//!     if let Some(assignment) = request.extensions().get::<Assignment>() {
//!         let rating = if paid { Rating::Good } else { Rating::Bad };
//!         assignment.rate_event("order-completed", rating).expect("the options name it");
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
//! let orders = ratings.event("order-completed").expect("the options name it");
//! assert_eq!(orders.evidence()[&Weight::FULL][Channel::Canary].adverse, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Later, with another request
//!
//! Users complain when they have seen the page. By then the weight may have been raised, which moves some
//! of them from stable to the canary, and their complaint about stable would be the canary's. So give them
//! a [receipt](Receipt) of the call, in the page or in a header, and have it back with the complaint:
//!
//! ```
//! # #[cfg(feature = "feedback")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tower_canary::{
//!     Assignment, CanaryOptions, feedback::FeedbackOptions, select::Secret,
//! };
//!
//! // The same at each replica.
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
//! [`CanaryHandle::rate_receipt`](crate::CanaryHandle::rate_receipt) takes it back, wherever it arrives.
//! In axum there is a route for it, `axum::feedback`:
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
//! let app: Router = v1.layer(layer).route("/feedback", feedback(canary)); // Outside of the layer.
//! // curl --json '{"rating": "bad", "receipt": "EwAB.."}' http://localhost:3000/feedback
//! # let _ = app;
//! # Ok(())
//! # }
//! # #[cfg(not(all(feature = "axum", feature = "feedback")))]
//! # fn main() {}
//! ```
//!
//! # What counts, and what does not
//!
//! | the rating | counts |
//! |---|---|
//! | of a call that chance assigned: random or sticky | as evidence, at the call's weight |
//! | of a tester's call, a spilled one, or [whatever else](crate::AssignmentReason) is no evidence | aside: in the metrics, not for the judge |
//! | of a mirror's copy, in which a handler rates as in any call | not at all |
//! | of a call before the canary got its [salt](crate::CanaryHandle::set_salt) | aside, by an assignment; by a receipt, not at all |
//! | by a receipt that was used, is too old, forged, or another canary's | not at all, with an [error](ReceiptError) |
//!
//! Nothing that a client sends becomes a name or takes memory for good: events are named in code, receipts
//! are remembered up to a [number](FeedbackOptions::remember), and weights are told apart up to
//! [another](crate::RatingsByWeight::MAX_WEIGHTS).
//!
//! # Whom to believe
//!
//! Ratings decide about a rollback, so those who send them have a say in it. **Without a secret, anybody who
//! can reach the route can make up receipts** of either channel, and poison the verdict. With one, a rating
//! takes a call that was served, and each call counts once at each replica: a service of five replicas may
//! count a receipt up to five times, if somebody sends it to each. Still, who makes many calls can rate many,
//! and only those of one channel, which they are told. Put the limits of your service in front of the
//! route: its login, a rate per user. And watch feedback before you let it decide.
//!
//! A receipt is no secret to who holds it: it tells the channel and the weight, not the user.
//!
//! # What it costs
//!
//! A rating takes a lock, for 10 to 20 ns as measured; calls that are not rated take none. To make a
//! signed receipt takes 0.2 µs, and to check and count one 0.3 µs, on a processor that knows SHA-256.

mod ledger;
mod options;
mod rate;
#[cfg(feature = "feedback")]
mod receipt;
#[cfg(feature = "feedback")]
mod redeem;
#[cfg(feature = "feedback")]
mod rules;
#[cfg(feature = "feedback")]
mod seen;
#[cfg(feature = "feedback")]
mod signer;
mod unknown;

pub(crate) use self::ledger::Ledger;
#[cfg(all(feature = "axum", feature = "feedback"))]
pub(crate) use self::ledger::Rater;
#[cfg(feature = "feedback")]
use self::rules::ReceiptRules;
pub use self::{
    options::FeedbackOptions,
    unknown::{UnknownEvent, UnknownWeight},
};
#[cfg(feature = "feedback")]
pub use self::{
    receipt::{InvalidReceipt, Receipt},
    redeem::ReceiptError,
};
