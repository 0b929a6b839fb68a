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

use super::problem::Problem;
use crate::{
    config::canary_config::CanaryConfig,
    control::handle::CanaryHandle,
    feedback::{Receipt, ReceiptError, store::RatingSeries},
    service::assignment::Assignment,
};

/// Takes users' feedback: `POST` with `{"rating": "good" | "bad", "receipt": ".."}`.
///
/// The [receipt](crate::Assignment::receipt) says which call is rated, and so which channel is credited. A
/// good place for the route is outside of the layer, where calls to it are not the canary's:
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
/// Behind the layer, feedback that has no receipt is taken for the channel and the weight of its own call,
/// if that is [sticky](Reason::Sticky): the user who complains is served by the channel that served them
/// before. *This is wrong once the weight was changed in between*, for those whom the change moved: then
/// stable's bug is the canary's. And it counts each time, not once. So it is only for canaries without a
/// secret; one that [signs](crate::feedback::FeedbackOptions::signed) its receipts asks for them.
///
/// # Answers
///
/// | status | why |
/// |---|---|
/// | 204 | it counts |
/// | 400 | the body is not such an object, or the receipt none |
/// | 403 | the receipt is not signed by one of the canary's secrets |
/// | 409 | the receipt has counted |
/// | 410 | the receipt is too old, or of an earlier attempt or release |
/// | 413 | the body has more than 1 KiB |
/// | 415 | the content is not `application/json`, which other sites cannot send in a user's name unasked |
/// | 422 | no receipt, and it is needed; the receipt of another canary, or at a weight that never was |
///
/// Errors are `application/problem+json`, and repeat nothing of the request.
pub fn feedback<S: Clone + Send + Sync + 'static>(canary: CanaryHandle) -> MethodRouter<S> {
    post(move |request: Request| async move { answer(canary.control().config(), request).await })
}

/// As [`feedback`], for a route of both versions behind the layer: it is about the canary that
/// [assigned](crate::Assignment) its own call.
///
/// So it can be a route of the canary, which is built before there is a handle. It answers 500 to a call
/// that no canary assigned, or whose [tag](crate::Tags::request_extension) is off.
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
            return problem(StatusCode::INTERNAL_SERVER_ERROR, super::extract::MISSING)
                .into_response();
        };
        answer(&assignment.counters().config, request).await
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    rating: RatingForm,
    receipt: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RatingForm {
    Good,
    Bad,
}

async fn answer(config: &CanaryConfig, request: Request) -> Response {
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
    let Form { rating, receipt } = read(body).await?;
    let rating = match rating {
        RatingForm::Good => Rating::Good,
        RatingForm::Bad => Rating::Bad,
    };
    if let Some(receipt) = receipt {
        let receipt: Receipt =
            receipt.parse().map_err(|_| problem(StatusCode::BAD_REQUEST, "the receipt is none"))?;
        return config
            .feedback
            .redeem(RatingSeries::Feedback, &receipt, rating)
            .map_err(Problem::from);
    }
    if config.feedback.signs() {
        return Err(problem(StatusCode::UNPROCESSABLE_ENTITY, "a receipt is needed"));
    }
    let own = head.extensions.get::<Assignment>().filter(|own| own.canary_name() == &config.name);
    match own {
        Some(own) if own.reason() == AssignmentReason::Sticky => {
            own.rate(rating);
            Ok(())
        }
        Some(_) => Err(problem(StatusCode::UNPROCESSABLE_ENTITY, NOT_STICKY)),
        None => Err(problem(StatusCode::UNPROCESSABLE_ENTITY, NOT_ASSIGNED)),
    }
}

async fn read(body: Body) -> Result<Form, Problem> {
    let bytes = to_bytes(body, MAX_BODY).await.map_err(|error| {
        if error.source().is_some_and(|source| source.is::<LengthLimitError>()) {
            problem(StatusCode::PAYLOAD_TOO_LARGE, "the body has more than 1024 bytes")
        } else {
            problem(StatusCode::BAD_REQUEST, "the body broke off")
        }
    })?;
    serde_json::from_slice(&bytes).map_err(|_| problem(StatusCode::BAD_REQUEST, NOT_THE_FORM))
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
            ReceiptError::Signature => (StatusCode::FORBIDDEN, "the receipt's signature is wrong"),
            ReceiptError::Used => (StatusCode::CONFLICT, "the receipt has counted already"),
            ReceiptError::Expired { .. } | ReceiptError::Forgotten => {
                (StatusCode::GONE, "the receipt is too old")
            }
            ReceiptError::OtherSalt => {
                (StatusCode::GONE, "the receipt is of an earlier attempt or release")
            }
            ReceiptError::OtherCanary => {
                (StatusCode::UNPROCESSABLE_ENTITY, "the receipt is another canary's")
            }
            ReceiptError::FromTheFuture => {
                (StatusCode::UNPROCESSABLE_ENTITY, "the receipt is from the future")
            }
            ReceiptError::UnknownWeight(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "the receipt names a weight that never was")
            }
            ReceiptError::UnknownEvent(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "the canary has no such event")
            }
        };
        problem(status, detail)
    }
}

const MAX_BODY: usize = 1024;
const NOT_THE_FORM: &str =
    r#"expected {"rating": "good", "receipt": ".."}, with a rating of "good" or "bad""#;
const NOT_STICKY: &str =
    "a receipt is needed: the call is not sticky, so nobody knows which channel served the user";
const NOT_ASSIGNED: &str = "a receipt is needed: no canary assigned this call";
