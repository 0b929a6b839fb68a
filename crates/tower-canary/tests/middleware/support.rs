//! Test doubles and helpers.

mod body;
mod service;

use std::{thread, time::Duration};

use http::{Request, Response, header};
use tower_canary::{
    AssignmentReason, CanaryHandle, Channel, Weight,
    counts::Counts,
    select::{Incoming, Selection},
};

pub(crate) use self::{
    body::{ScriptedBody, Step},
    service::{OnCall, OnPoll, Readiness, ScriptedService},
};

pub(crate) const HALF: Weight = Weight::from_percent(50);
/// All calls but one in a million go to the canary. Unlike at full weight, calls can spill and fall
/// back. A test that expects every call at the canary therefore fails once in a million runs.
pub(crate) const ALMOST_ALL: Weight = Weight::from_ppm(999_999);

/// A policy that gives every call one sticky key, which is on the canary at [`ALMOST_ALL`].
pub(crate) fn one_key(request: &Incoming<'_>) -> Option<Selection> {
    request.sticky_key("ann").map(Selection::sticky)
}

/// Asserts the counting identities, and returns the counts of all epochs.
#[track_caller]
pub(crate) fn counts(handle: &CanaryHandle) -> Counts {
    let counts = handle.counts().total();
    for channel in Channel::ALL {
        for counts in [&counts.evidence[channel], &counts.excluded[channel]] {
            assert_eq!(counts.picked, counts.ended() + counts.in_flight());
        }
    }
    let canary = counts.total(Channel::Canary);
    let reasons = &counts.excluded.stable.reasons;
    assert_eq!(reasons[AssignmentReason::Spilled], canary.spilled);
    assert_eq!(reasons[AssignmentReason::FellBack], canary.fell_back);
    assert!(canary.fell_back <= canary.failure);
    counts
}

/// Returns the channel in the response's default tag.
pub(crate) fn channel_of<B>(response: &Response<B>) -> &str {
    response.headers()["x-canary-channel"].to_str().unwrap()
}

/// The shortest timeout that is a deadline of a gRPC call.
pub(crate) const SHORTEST_DEADLINE: Duration = Duration::from_millis(10);

/// Waits until a deadline has passed. The layer reads the real clock even if tokio's is paused.
pub(crate) fn wait_for_deadline(deadline: Duration) {
    thread::sleep(deadline);
}

pub(crate) fn grpc_request() -> Request<()> {
    Request::builder().header(header::CONTENT_TYPE, "application/grpc").body(()).unwrap()
}
