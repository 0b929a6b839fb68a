use std::sync::Arc;

use axum::{extract::State, response::Response};
use canary_api::EventView;
use canary_controller::{
    RolloutHandle,
    rollout::event::{Event, EventId},
    store::StoreError,
};
use http::{HeaderMap, header};
use serde::Deserialize;

use crate::{
    access::Caller,
    canary::EventLog,
    extract::{NamedCanary, Params},
    problem::{ApiError, Kind},
    routes::json,
    shared::Shared,
    stream, view,
};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsParams {
    /// Only events after the one with this id, which has to be stored.
    after: Option<String>,
    /// The number of events at most, 256 by default, and 4096 at most: the first ones after `after`, or
    /// else the latest ones.
    #[param(minimum = 1, maximum = 4096)]
    most: Option<usize>,
}

/// The stored events of a canary, oldest first.
///
/// With `Accept: text/event-stream`, it is a stream of server-sent events: `event` with an id and an
/// `EventView`, each once and in order; `view` with a `CanaryView`, about once per second; `reset`, if
/// the events between the client's last one and the next are no longer stored; and `gone`, if the
/// canary is no longer managed. The stream begins after the event that `Last-Event-ID` or `after`
/// names, or else with the latest events.
#[utoipa::path(
    get,
    path = "/canaries/{canary}/events",
    params(
        ("canary" = String, Path, description = "The name of the canary"),
        EventsParams,
        ("last-event-id" = Option<String>, Header, description = "As `after`, for streams")
    ),
    responses(
        (status = 200, description = "The events", content(
            ([EventView] = "application/json"),
            (String = "text/event-stream")
        )),
        (status = 410, description = "The event `after` is no longer stored", body = canary_api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The store does not answer, or the server stops", body = canary_api::Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn events(
    State(shared): State<Arc<Shared>>,
    NamedCanary(canary): NamedCanary,
    caller: Caller,
    Params(params): Params<EventsParams>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let most = params.most.unwrap_or(EventLog::MOST);
    if !(1..=MOST).contains(&most) {
        return Err(ApiError::new(Kind::Invalid, "the number of events is out of range").field(
            "most",
            &most.to_string(),
            &format!("1 to {MOST}"),
        ));
    }
    let after = params.after.as_deref().map(|id| parse("after", id)).transpose()?;
    if accepts_stream(&headers) {
        let last = headers.get("last-event-id").map(|id| id.to_str().unwrap_or_default());
        let last = last.map(|id| parse("last-event-id", id)).transpose()?;
        return stream::open(&shared, &canary, &caller, last.or(after), most);
    }
    let rollout = canary.rollout();
    let storage = |error: StoreError| ApiError::new(Kind::Storage, error.to_string());
    let events = match after {
        Some(after) => {
            let events = stored_after(rollout, after).await.map_err(storage)?;
            let mut events = events.ok_or_else(|| no_longer_stored(after))?;
            events.truncate(most);
            events
        }
        None => rollout.history(most).await.map_err(storage)?,
    };
    let views: Vec<EventView> = events.iter().map(|event| view::event(event, true)).collect();
    Ok(json(&views))
}

fn parse(field: &str, id: &str) -> Result<EventId, ApiError> {
    id.parse().map_err(|_| {
        ApiError::new(Kind::Invalid, "this is not the id of an event").field(
            field,
            id,
            "an id such as 17-1795510800000",
        )
    })
}

/// Returns the stored events after this one; `None` if it is no longer stored.
pub(crate) async fn stored_after(
    rollout: &RolloutHandle,
    after: EventId,
) -> Result<Option<Vec<Event>>, StoreError> {
    // Nearly always, the latest events are enough, and far cheaper to read.
    for most in [EventLog::MOST, MOST] {
        let mut events = rollout.history(most).await?;
        if let Some(index) = events.iter().rposition(|event| event.id() == after) {
            return Ok(Some(events.split_off(index + 1)));
        }
        if events.len() < most {
            break;
        }
    }
    Ok(None)
}

fn no_longer_stored(after: EventId) -> ApiError {
    let detail = "events after this one may be missing: read the latest ones, without `after`";
    ApiError::new(Kind::NotStored, detail).field(
        "after",
        &after.to_string(),
        "the id of a stored event",
    )
}

fn accepts_stream(headers: &HeaderMap) -> bool {
    let accepts = |value: &http::HeaderValue| {
        value.to_str().is_ok_and(|value| value.contains("text/event-stream"))
    };
    headers.get_all(header::ACCEPT).iter().any(accepts)
}

/// The number of events that a page has at most.
pub(crate) const MOST: usize = 4096;
