//! Long-lived calls: server-sent events, WebSockets and gRPC streams.
//!
//! After a rollback the canary gets no new calls, but open ones continue. Their [`Assignment`]
//! reports that the channel is draining, and they end themselves. Clients that reconnect get
//! stable.

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

/// Returns the streaming routes, which both versions have.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/events", get(events)).route("/ws", get(web_socket))
}

async fn events(assignment: Assignment) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let release = served_by(&assignment);
    let events =
        ticks(&assignment).map(move |number| Event::default().data(format!("{number} {release}")));
    let bye = stream::once(async { Event::default().event("bye").data(GOOD_BYE) });
    Sse::new(events.chain(bye).map(Ok))
}

async fn web_socket(upgrade: WebSocketUpgrade, assignment: Assignment) -> Response {
    upgrade.on_upgrade(|socket| async move {
        let echo = echo(socket, assignment.clone());
        // The call stays in flight until the echo ends.
        assignment.attach(echo).await;
    })
}

/// Returns each message to the client, until either side closes the connection.
async fn echo(mut socket: WebSocket, assignment: Assignment) {
    let mut next = Some(Message::from(served_by(&assignment)));
    loop {
        if let Some(message) = next.take()
            && socket.send(message).await.is_err()
        {
            return;
        }
        tokio::select! {
            received = socket.recv() => match received {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => next = Some(message),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            () = assignment.draining() => {
                let close = CloseFrame { code: close_code::RESTART, reason: GOOD_BYE.into() };
                // Fails only if the client has disconnected.
                let _ = socket.send(Message::Close(Some(close))).await;
                return;
            }
        }
    }
}

pub(crate) type PriceStream = Pin<Box<dyn Stream<Item = Result<Price, Status>> + Send>>;

/// Sends the price once per second.
pub(crate) fn prices<T>(
    request: &tonic::Request<T>,
    price: Price,
) -> Result<tonic::Response<PriceStream>, Status> {
    let assignment = request.extensions().get::<Assignment>();
    let assignment = assignment.ok_or_else(|| Status::internal("no canary layer"))?;
    let prices = ticks(assignment).map(move |_| Ok(price));
    Ok(tonic::Response::new(Box::pin(prices)))
}

/// Returns the route of a gRPC service.
pub(crate) fn grpc_path(service: &str) -> String {
    format!("/{service}/{{*method}}")
}

/// Returns a stream that counts seconds until the channel drains.
fn ticks(assignment: &Assignment) -> impl Stream<Item = usize> + use<> {
    let seconds = IntervalStream::new(tokio::time::interval(Duration::from_secs(1)));
    seconds.take_until(assignment.draining()).enumerate().map(|(number, _)| number)
}

fn served_by(assignment: &Assignment) -> String {
    let release = assignment.release().map_or("unknown", |release| release.as_str());
    format!("served by {release}, the {}", assignment.channel())
}

const GOOD_BYE: &str = "this version is draining, please reconnect";
