use std::sync::Arc;

use canary_api::EventView;
use canary_controller::rollout::event::EventId;
use futures_util::{Stream, StreamExt as _};
use tonic::Status;

use super::{
    convert,
    proto::{Gone, Reset, WatchResponse, watch_response::Item as Message},
};
use crate::{
    access::Caller,
    canary::{Canary, EventLog},
    extract::NamedCanary,
    problem::{ApiError, Kind},
    shared::Shared,
    stream::{self, Item},
};

/// Opens a stream after the event `after`, or else with the latest events.
pub(super) fn open(
    shared: &Arc<Shared>,
    canary: &str,
    caller: &Caller,
    after: Option<&str>,
) -> Result<impl Stream<Item = Result<WatchResponse, Status>> + Send + use<>, ApiError> {
    let NamedCanary(canary) = NamedCanary::find(shared, canary)?;
    let after = after.map(event_id).transpose()?;
    let items = stream::follow(shared, &canary, caller, after, EventLog::MOST)?;
    let shown = Arc::clone(&canary);
    Ok(items.map(move |item| Ok(WatchResponse { item: Some(message(item, &shown)) })))
}

fn event_id(text: &str) -> Result<EventId, ApiError> {
    text.parse().map_err(|_| {
        ApiError::new(Kind::Invalid, "this is not the id of an event").field(
            "after",
            text,
            "an id such as 17-1795510800000",
        )
    })
}

fn message(item: Item, canary: &Canary) -> Message {
    match item {
        Item::Reset => Message::Reset(Reset {}),
        Item::Event(event) => {
            let view: EventView = serde_json::from_str(&event.json).expect("it is an event");
            Message::Event(convert::event(view))
        }
        Item::View => Message::Canary(convert::canary((*canary.shared_view()).clone())),
        Item::Gone => Message::Gone(Gone {}),
    }
}
