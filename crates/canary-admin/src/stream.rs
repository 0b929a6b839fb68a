//! The stream of a canary: its events, and its state in each interval of its controller, a second by
//! default.
//!
//! A stream has no queue. Whenever its client can take more, it sends the next event after the last one
//! that it has sent, or else the latest view. So a slow client costs no memory, and misses views but no
//! events.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Weak},
    time::Duration,
};

use axum::response::{
    IntoResponse as _, Response, Sse,
    sse::{Event, KeepAlive},
};
use canary_controller::{Viewer, rollout::event::EventId};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    access::Caller,
    canary::{Canary, EventLog, StoredEvent},
    problem::{ApiError, Kind},
    routes::events::stored_after,
    shared::Shared,
    streams::Place,
};

/// Opens a stream of server-sent events; see [`follow`].
pub(crate) fn open(
    shared: &Arc<Shared>,
    canary: &Arc<Canary>,
    caller: &Caller,
    last: Option<EventId>,
    most: usize,
) -> Result<Response, ApiError> {
    let shown = Arc::clone(canary);
    let items = follow(shared, canary, caller, last, most)?;
    let events = items.map(move |item| Ok::<_, Infallible>(to_event(item, &shown)));
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

/// An item of a stream.
pub(crate) enum Item {
    /// The events between the client's last one and the next are no longer stored.
    Reset,
    Event(StoredEvent),
    /// The state of the canary is to be sent.
    View,
    /// The canary is no longer managed. The stream ends.
    Gone,
}

/// Follows a canary after the event `last`, or else with the latest `most` events. The stream ends when
/// the server stops, or the credentials of the caller are no longer valid.
pub(crate) fn follow(
    shared: &Arc<Shared>,
    canary: &Arc<Canary>,
    caller: &Caller,
    last: Option<EventId>,
    most: usize,
) -> Result<impl Stream<Item = Item> + Send + use<>, ApiError> {
    let stop = shared.stop.subscribe();
    if *stop.borrow() {
        return Err(ApiError::new(Kind::Storage, "the server is about to stop"));
    }
    let place = shared.streams.take(caller.name()).ok_or_else(|| {
        let detail = format!(
            "too many streams are open, of {} or of all operators: close another page first",
            caller.name()
        );
        ApiError::new(Kind::TooMany, detail)
    })?;
    let ticks = canary.ticks();
    let stream = EventStream {
        shared: Arc::downgrade(shared),
        caller: caller.clone(),
        checked: Instant::now(),
        canary: Arc::clone(canary),
        place,
        _viewer: canary.rollout().keep_current(),
        ticks,
        events: canary.events(),
        stop,
        last,
        most,
        queue: VecDeque::new(),
        is_view_due: true,
    };
    Ok(stream::unfold(Some(stream), |stream| async {
        let mut stream = stream?;
        let item = stream.next().await?;
        let rest = (!matches!(item, Item::Gone)).then_some(stream);
        Some((item, rest))
    }))
}

struct EventStream {
    /// An open stream must not keep the server.
    shared: Weak<Shared>,
    caller: Caller,
    /// When the credentials of the caller were checked.
    checked: Instant,
    canary: Arc<Canary>,
    place: Place,
    /// A controller at rest publishes its status for it.
    _viewer: Viewer,
    /// `None` if the canary was gone from the start.
    ticks: Option<watch::Receiver<u64>>,
    events: watch::Receiver<Option<Arc<EventLog>>>,
    stop: watch::Receiver<bool>,
    /// The last event that was queued.
    last: Option<EventId>,
    /// The number of events to begin with, if there is no last one.
    most: usize,
    queue: VecDeque<Queued>,
    is_view_due: bool,
}

enum Queued {
    Reset,
    Event(StoredEvent),
}

impl EventStream {
    async fn next(&mut self) -> Option<Item> {
        loop {
            if *self.stop.borrow() || !self.place.used() {
                return None;
            }
            if self.checked.elapsed() >= TIME_BETWEEN_CHECKS {
                self.checked = Instant::now();
                let shared = self.shared.upgrade()?;
                if !self.caller.is_still_known(&shared.access).await {
                    return None;
                }
            }
            if let Some(queued) = self.queue.pop_front() {
                return Some(match queued {
                    Queued::Reset => Item::Reset,
                    Queued::Event(event) => Item::Event(event),
                });
            }
            let log = self.events.borrow_and_update().clone();
            if let Some(log) = log {
                self.queue_events(&log).await;
                if !self.queue.is_empty() {
                    continue;
                }
            }
            if std::mem::take(&mut self.is_view_due) {
                return Some(Item::View);
            }
            let Some(ticks) = &mut self.ticks else { return Some(Item::Gone) };
            tokio::select! {
                tick = ticks.changed() => match tick {
                    Ok(()) => self.is_view_due = true,
                    Err(_) => self.ticks = None,
                },
                Ok(()) = self.events.changed() => {}
                _ = self.stop.changed() => {}
                () = sleep_until(self.checked + TIME_BETWEEN_CHECKS) => {}
            }
        }
    }

    /// Queues the events after the last one.
    async fn queue_events(&mut self, log: &EventLog) {
        let latest = |events: &[StoredEvent], most: usize| {
            events[events.len().saturating_sub(most)..].to_vec()
        };
        let events = match self.last {
            None => latest(log.all(), self.most),
            Some(last) => match log.after(last) {
                Some(events) => events.to_vec(),
                // The store keeps more than the log.
                None => match stored_after(self.canary.rollout(), last).await {
                    // The next status is the next attempt.
                    Err(_) => return,
                    Ok(Some(events)) => EventLog::new(&events).all().to_vec(),
                    Ok(None) => {
                        self.queue.push_back(Queued::Reset);
                        // Even if the log is empty, the unknown event must not reset the stream again.
                        self.last = None;
                        latest(log.all(), EventLog::MOST)
                    }
                },
            },
        };
        self.last = events.last().map(|event| event.id).or(self.last);
        self.queue.extend(events.into_iter().map(Queued::Event));
    }
}

fn to_event(item: Item, canary: &Canary) -> Event {
    match item {
        Item::Reset => Event::default().event("reset").data("{}"),
        Item::Event(event) => {
            Event::default().event("event").id(event.id.to_string()).data(&*event.json)
        }
        Item::View => Event::default().event("view").data(String::from_utf8_lossy(&canary.json())),
        Item::Gone => Event::default().event("gone").data("{}"),
    }
}

/// The time after which an open stream checks that its caller has not lost access.
const TIME_BETWEEN_CHECKS: Duration = Duration::from_secs(5);

/// A comment shows the page that the connection is open: it takes six seconds of silence for the end.
/// A controller's interval can be ten seconds. The comment also keeps proxies from closing the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
