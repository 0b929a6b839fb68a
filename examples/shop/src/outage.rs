//! An outage of a dependency that both versions use.

use std::time::{Duration, Instant};

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    middleware::{Next, from_fn},
    response::IntoResponse as _,
};
use tower_canary::Weight;

use crate::fault_injection::is_selected;

/// Lets a share of the calls fail in the first 20 s of each minute from now on.
pub(crate) fn add(router: Router, share: Weight) -> Router {
    let start = Instant::now();
    router.layer(from_fn(move |request: Request, next: Next| async move {
        let second_of_minute = start.elapsed().as_secs() % 60;
        if second_of_minute < LENGTH.as_secs() && is_selected(share) {
            return (StatusCode::SERVICE_UNAVAILABLE, "the database is down\n").into_response();
        }
        next.run(request).await
    }))
}

const LENGTH: Duration = Duration::from_secs(20);
