//! What stays open: server-sent events, WebSockets, gRPC streams.
//!
//! A rollback sends no new calls to the canary, but the open ones are open. They are told by their
//! [`Assignment`], and say good-bye: callers that come back are stable's.

use std::{convert::Infallible, pin::Pin, time::Duration};

use axum::{
    Router,
    extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code},
    response::{
        Response,
        sse::{Event, Sse},
    },
    routing::get,
};
use futures_util::{Stream, StreamExt as _, stream};
use tokio_stream::wrappers::IntervalStream;
use tonic::Status;
use tower_canary::Assignment;

use crate::proto::Price;

/// The routes that are the same in both versions, save for what they say of themselves.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/events", get(events)).route("/ws", get(web_socket))
}

async fn events(assignment: Assignment) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let hello = introduction(&assignment);
    let news =
        ticks(&assignment).map(move |number| Event::default().data(format!("{number} {hello}")));
    let bye = stream::once(async { Event::default().event("bye").data(GOOD_BYE) });
    Sse::new(news.chain(bye).map(Ok))
}

async fn web_socket(upgrade: WebSocketUpgrade, assignment: Assignment) -> Response {
    upgrade.on_upgrade(|socket| async move {
        let talk = talk(socket, assignment.clone());
        // Until the talk ends, the call is in flight.
        assignment.attach(talk).await;
    })
}

/// Repeats what it is told, until either side has enough.
async fn talk(mut socket: WebSocket, assignment: Assignment) {
    let mut to_say = Some(Message::from(introduction(&assignment)));
    loop {
        if let Some(message) = to_say.take()
            && socket.send(message).await.is_err()
        {
            return;
        }
        tokio::select! {
            heard = socket.recv() => match heard {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => to_say = Some(message),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            () = assignment.draining() => {
                let close = CloseFrame { code: close_code::RESTART, reason: GOOD_BYE.into() };
                // Whoever is gone already needs no good-bye.
                let _ = socket.send(Message::Close(Some(close))).await;
                return;
            }
        }
    }
}

pub(crate) type PriceStream = Pin<Box<dyn Stream<Item = Result<Price, Status>> + Send>>;

/// Tells the price once a second.
pub(crate) fn prices<T>(
    request: &tonic::Request<T>,
    price: Price,
) -> Result<tonic::Response<PriceStream>, Status> {
    let assignment = request.extensions().get::<Assignment>();
    let assignment = assignment.ok_or_else(|| Status::internal("no canary layer"))?;
    let prices = ticks(assignment).map(move |_| Ok(price));
    Ok(tonic::Response::new(Box::pin(prices)))
}

/// The route of a gRPC service in an axum router.
pub(crate) fn grpc_path(service: &str) -> String {
    format!("/{service}/{{*method}}")
}

/// Counts the seconds, until the call should come to an end.
fn ticks(assignment: &Assignment) -> impl Stream<Item = usize> + use<> {
    let seconds = IntervalStream::new(tokio::time::interval(Duration::from_secs(1)));
    seconds.take_until(assignment.draining()).enumerate().map(|(number, _)| number)
}

fn introduction(assignment: &Assignment) -> String {
    let release = assignment.release().map_or("unknown", |release| release.as_str());
    format!("served by {release}, the {}", assignment.channel())
}

const GOOD_BYE: &str = "this version is going away, please come back";
