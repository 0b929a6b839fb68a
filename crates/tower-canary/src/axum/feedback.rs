use std::error::Error as _;

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    response::{IntoResponse, Response},
    routing::{MethodRouter, post},
};
use canary_core::{AssignmentReason, Rating};
use http::{HeaderMap, StatusCode, header};
use http_body_util::LengthLimitError;
use serde::Deserialize;

use crate::{
    axum::{extract, problem::Problem},
    config::canary_config::CanaryConfig,
    control::handle::CanaryHandle,
    feedback::{Receipt, ReceiptError, store::RatingSeries},
    service::assignment::Assignment,
};

/// A route for users' feedback: `POST` with `{"rating": "good" | "bad", "receipt": ".."}`.
///
/// The [receipt](crate::Assignment::receipt) identifies the rated call and its channel. Add the
/// route outside the layer, so that calls to it are not assigned to a channel:
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_canary::{CanaryLayer, axum::feedback};
///
/// let v1 = Router::new().route("/", get(|| async { "v1" }));
/// let v2 = Router::new().route("/", get(|| async { "v2" }));
/// let layer = CanaryLayer::new("checkout", v2);
/// let canary = layer.handle();
/// let app: Router = v1.layer(layer).route("/feedback", feedback(canary));
/// # let _ = app;
/// ```
///
/// # Without a receipt
///
/// Inside the layer, feedback without a receipt counts for the channel and the weight of the
/// feedback call itself, if that call is [sticky](AssignmentReason::Sticky): the user is served by
/// the same channel as before. *This is wrong for users whose channel has changed since*, because
/// the weight was changed: a bug of stable then counts against the canary. Such feedback also
/// counts every time, not once. It is only accepted if receipts are
/// [unsigned](crate::feedback::FeedbackOptions::unsigned); otherwise a receipt is required.
///
/// # Responses
///
/// | status | reason |
/// |---|---|
/// | 204 | the rating was counted |
/// | 400 | the body or the receipt has an invalid format |
/// | 403 | the signature of the receipt is invalid |
/// | 408 | the body did not arrive within the time limit (feature `tokio`): `FeedbackOptions::body_time_limit` |
/// | 409 | the receipt was already used |
/// | 410 | the receipt is too old, from an earlier attempt or release, or from a time from which too many were used |
/// | 413 | the body has more than 1 KiB |
/// | 415 | the content type is not `application/json`; this also prevents cross-site request forgery |
/// | 422 | a receipt is required; or it belongs to another canary, is from the future, or has an unknown weight |
///
/// Errors are `application/problem+json` and do not repeat anything from the request.
///
/// # Panics
///
/// With the feature `tokio`, the route panics outside of a tokio runtime with timers.
pub fn feedback<S: Clone + Send + Sync + 'static>(canary: CanaryHandle) -> MethodRouter<S> {
    post(move |request: Request| async move { respond(canary.control().config(), request).await })
}

/// Like [`feedback`], for a route inside the layer: ratings count for the canary that
/// [assigned](crate::Assignment) the call.
///
/// It needs no handle, so it can be a route of the canary itself. It responds with status 500 if
/// the call has no assignment, for example because the [tag](crate::Tags::request_extension) is
/// off.
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_canary::{CanaryLayer, axum::feedback_inside};
///
/// let v1 = Router::new().route("/feedback", feedback_inside());
/// let v2 = Router::new().route("/feedback", feedback_inside());
/// let app: Router = v1.layer(CanaryLayer::new("checkout", v2));
/// # let _ = app;
/// ```
pub fn feedback_inside<S: Clone + Send + Sync + 'static>() -> MethodRouter<S> {
    post(async |request: Request| {
        let Some(assignment) = request.extensions().get::<Assignment>().cloned() else {
            return problem(StatusCode::INTERNAL_SERVER_ERROR, extract::MISSING).into_response();
        };
        respond(&assignment.counters().config, request).await
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FeedbackForm {
    rating: RatingForm,
    receipt: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RatingForm {
    Good,
    Bad,
}

async fn respond(config: &CanaryConfig, request: Request) -> Response {
    match rate(config, request).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn rate(config: &CanaryConfig, request: Request) -> Result<(), Problem> {
    if !is_json(request.headers()) {
        return Err(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "expected application/json"));
    }
    let (head, body) = request.into_parts();
    let FeedbackForm { rating, receipt } = read(body, config).await?;
    let rating = match rating {
        RatingForm::Good => Rating::Good,
        RatingForm::Bad => Rating::Bad,
    };
    if let Some(receipt) = receipt {
        let receipt: Receipt = receipt
            .parse()
            .map_err(|_| problem(StatusCode::BAD_REQUEST, "the receipt has an invalid format"))?;
        return config
            .feedback
            .redeem(RatingSeries::Feedback, &receipt, rating)
            .map_err(Problem::from);
    }
    if config.feedback.signs() {
        return Err(problem(StatusCode::UNPROCESSABLE_ENTITY, "a receipt is required"));
    }
    let assignment = head.extensions.get::<Assignment>();
    match assignment.filter(|assignment| assignment.canary_name() == &config.name) {
        Some(assignment) if is_sticky(assignment.reason()) => {
            assignment.rate(rating);
            Ok(())
        }
        Some(_) => Err(problem(StatusCode::UNPROCESSABLE_ENTITY, NOT_STICKY)),
        None => Err(problem(StatusCode::UNPROCESSABLE_ENTITY, NOT_ASSIGNED)),
    }
}

/// A capped call counts no rating as evidence, but its caller has a channel too.
const fn is_sticky(reason: AssignmentReason) -> bool {
    matches!(reason, AssignmentReason::Sticky | AssignmentReason::Capped)
}

async fn read(body: Body, config: &CanaryConfig) -> Result<FeedbackForm, Problem> {
    let bytes = within_limit(config, to_bytes(body, MAX_BODY)).await?.map_err(|error| {
        if error.source().is_some_and(|source| source.is::<LengthLimitError>()) {
            problem(StatusCode::PAYLOAD_TOO_LARGE, "the body has more than 1024 bytes")
        } else {
            problem(StatusCode::BAD_REQUEST, "the body is incomplete")
        }
    })?;
    // Some clients write a byte order mark, which serde_json refuses.
    let json = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
    serde_json::from_slice(json).map_err(|_| problem(StatusCode::BAD_REQUEST, INVALID_FORM))
}

/// Waits for the body of a request, for a limited time.
#[cfg(feature = "tokio")]
async fn within_limit<T>(
    config: &CanaryConfig,
    read: impl Future<Output = T>,
) -> Result<T, Problem> {
    let read = tokio::time::timeout(config.feedback.body_time_limit(), read).await;
    read.map_err(|_| problem(StatusCode::REQUEST_TIMEOUT, "the body is too slow"))
}

#[cfg(not(feature = "tokio"))]
async fn within_limit<T>(_: &CanaryConfig, read: impl Future<Output = T>) -> Result<T, Problem> {
    Ok(read.await)
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

const fn problem(status: StatusCode, detail: &'static str) -> Problem {
    Problem { status, detail }
}

impl From<ReceiptError> for Problem {
    fn from(error: ReceiptError) -> Self {
        let (status, detail) = match error {
            ReceiptError::Signature => {
                (StatusCode::FORBIDDEN, "the signature of the receipt is invalid")
            }
            ReceiptError::Used => (StatusCode::CONFLICT, "the receipt was already used"),
            ReceiptError::Expired { .. } => (StatusCode::GONE, "the receipt is too old"),
            ReceiptError::Forgotten => {
                (StatusCode::GONE, "too many receipts of the same time were used")
            }
            ReceiptError::OtherSalt => {
                (StatusCode::GONE, "the receipt is from an earlier attempt or release")
            }
            ReceiptError::OtherCanary => {
                (StatusCode::UNPROCESSABLE_ENTITY, "the receipt belongs to another canary")
            }
            ReceiptError::FromTheFuture => {
                (StatusCode::UNPROCESSABLE_ENTITY, "the receipt is from the future")
            }
            ReceiptError::UnknownWeight(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "the receipt has an unknown weight")
            }
            ReceiptError::UnknownEvent(_) => (StatusCode::UNPROCESSABLE_ENTITY, "unknown event"),
        };
        problem(status, detail)
    }
}

const MAX_BODY: usize = 1024;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
const INVALID_FORM: &str =
    r#"expected {"rating": "good", "receipt": ".."}, with a rating of "good" or "bad""#;
const NOT_STICKY: &str =
    "a receipt is required: the call is not sticky, so the channel that served the user is unknown";
const NOT_ASSIGNED: &str = "a receipt is required: the call has no assignment";
