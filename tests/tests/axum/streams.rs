//! Server-sent events: open until their end, drained, and closed.

use std::convert::Infallible;

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
    routing::get,
};
use canary_tests::{
    Client, Server, assert_counts_add_up, channel_of, final_counts, timeout::complete,
};
use futures_util::{Stream, stream};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::broadcast::{Receiver, Sender, channel};
use tower_canary::{Assignment, CanaryHandle, CanaryLayer, Channel, Weight};

type Feed = Sender<&'static str>;
type Events = Sse<Box<dyn Stream<Item = Result<Event, Infallible>> + Send + Unpin>>;

/// Forwards the feed, and ends with a last event when it is drained.
async fn draining(State(feed): State<Feed>, assignment: Assignment) -> Events {
    let state = Some((feed.subscribe(), assignment));
    let events = stream::unfold(state, |state| async move {
        let (mut feed, assignment): (Receiver<&str>, Assignment) = state?;
        tokio::select! {
            event = feed.recv() => Some((Ok(Event::default().data(event.ok()?)), Some((feed, assignment)))),
            () = assignment.draining() => Some((Ok(Event::default().data("good-bye")), None)),
        }
    });
    Sse::new(Box::new(Box::pin(events)))
}

/// Forwards the feed and ignores drains.
async fn endless(State(feed): State<Feed>) -> Events {
    let events = stream::unfold(feed.subscribe(), |mut feed| async move {
        let event = feed.recv().await.ok()?;
        Some((Ok(Event::default().data(event)), feed))
    });
    Sse::new(Box::new(Box::pin(events)))
}

fn split() -> (Server, CanaryHandle, [Feed; 2]) {
    let feeds = [channel(8).0, channel(8).0];
    let routes = |feed: &Feed| {
        Router::new()
            .route("/draining", get(draining))
            .route("/endless", get(endless))
            .with_state(feed.clone())
    };
    let layer = CanaryLayer::new("events", routes(&feeds[1]));
    let handle = layer.handle();
    (Server::of_router(routes(&feeds[0]).layer(layer)), handle, feeds)
}

async fn open(client: &Client, path: &str) -> (Channel, Incoming) {
    let response =
        client.send(http::Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    (channel_of(response.headers()).unwrap(), response.into_body())
}

async fn next(events: &mut Incoming) -> Option<Result<String, hyper::Error>> {
    loop {
        let data = match complete(events.frame()).await? {
            Ok(frame) => frame.into_data().unwrap(),
            Err(error) => return Some(Err(error)),
        };
        // HTTP/2 may end the stream with an empty frame.
        if !data.is_empty() {
            return Some(Ok(String::from_utf8(data.into()).unwrap()));
        }
    }
}

fn at(channel: Channel) -> Weight {
    match channel {
        Channel::Stable => Weight::ZERO,
        Channel::Canary => Weight::FULL,
    }
}

#[tokio::test]
async fn events_are_not_buffered_and_their_call_is_open_until_the_last() {
    let (server, handle, feeds) = split();
    for channel in Channel::ALL {
        handle.set_weight(at(channel)).unwrap();
        let feed = &feeds[channel as usize];
        for (version, client) in Client::of_each_version(&server) {
            let (served_by, mut events) = open(&client, "/endless").await;
            assert_eq!(served_by, channel);
            for event in ["one", "two", "three"] {
                // No other event follows before this one arrives, so it was not buffered.
                feed.send(event).unwrap();
                let seen = next(&mut events).await.unwrap().unwrap();
                assert_eq!(seen, format!("data: {event}\n\n"), "{version}");
                assert_eq!(handle.open(channel), 1, "{version}");
                assert_counts_add_up(&handle);
            }
            drop(events);
            let drain = handle.drain(channel);
            // A stream detects that its reader has left when it sends an event.
            let _ = feed.send("last");
            complete(drain.ended()).await;
            assert_eq!(handle.open(channel), 0, "{version}");
        }
        let counts = final_counts(&handle).await.evidence[channel].clone();
        assert_eq!((counts.cancelled, counts.picked), (2, 2), "{channel}");
    }
}

#[tokio::test]
async fn a_rollback_drains_the_streams_of_the_canary_and_not_those_of_stable() {
    let (server, handle, feeds) = split();
    for (version, client) in Client::of_each_version(&server) {
        handle.set_weight(Weight::ZERO).unwrap();
        let (_, mut of_stable) = open(&client, "/draining").await;
        handle.set_weight(Weight::FULL).unwrap();
        let (_, mut of_canary) = open(&client, "/draining").await;

        handle.roll_back();
        assert_eq!(next(&mut of_canary).await.unwrap().unwrap(), "data: good-bye\n\n", "{version}");
        assert!(next(&mut of_canary).await.is_none(), "{version}: a clean end");
        let (served_by, later) = open(&client, "/draining").await;
        assert_eq!(served_by, Channel::Stable, "{version}");
        drop(later);

        feeds[0].send("still open").unwrap();
        assert_eq!(
            next(&mut of_stable).await.unwrap().unwrap(),
            "data: still open\n\n",
            "{version}"
        );
        let drain = handle.drain(Channel::Stable);
        assert_eq!(next(&mut of_stable).await.unwrap().unwrap(), "data: good-bye\n\n", "{version}");
        assert!(next(&mut of_stable).await.is_none());
        complete(drain.ended()).await;
    }
    let counts = final_counts(&handle).await.evidence;
    assert_eq!((counts.canary.success, counts.canary.picked), (2, 2));
    assert_eq!(counts.stable.success + counts.stable.cancelled, 4);
    assert!(counts.stable.success >= 2);
}

#[tokio::test]
async fn closing_a_drain_ends_its_streams_with_an_error_as_cancelled() {
    let (server, handle, feeds) = split();
    for (version, client) in Client::of_each_version(&server) {
        handle.set_weight(Weight::FULL).unwrap();
        let (_, mut events) = open(&client, "/endless").await;
        feeds[1].send("one").unwrap();
        next(&mut events).await.unwrap().unwrap();

        handle.roll_back();
        let drain = handle.drain(Channel::Canary);
        assert_eq!(drain.open(), 1, "{version}");
        feeds[1].send("two").unwrap();
        assert_eq!(next(&mut events).await.unwrap().unwrap(), "data: two\n\n", "{version}");

        drain.close();
        let end = next(&mut events).await.expect("the end must be an error");
        assert!(end.is_err(), "{version}: {end:?}");
        complete(drain.ended()).await;
        assert_eq!(drain.open(), 0, "{version}");
    }
    let canary = final_counts(&handle).await.evidence.canary;
    assert_eq!((canary.cancelled, canary.picked), (2, 2));
}

#[tokio::test]
async fn keep_alive_events_pass() {
    let events = async || {
        let nothing = stream::pending::<Result<Event, Infallible>>();
        Sse::new(nothing).keep_alive(KeepAlive::new().interval(std::time::Duration::from_millis(1)))
    };
    let layer = CanaryLayer::new("events", Router::new().route("/", get(events)));
    layer.handle().set_weight(Weight::FULL).unwrap();
    let server = Server::of_router(Router::new().route("/", get(events)).layer(layer));
    let (served_by, mut events) = open(&Client::http2(&server), "/").await;
    assert_eq!(served_by, Channel::Canary);
    assert_eq!(next(&mut events).await.unwrap().unwrap(), ":\n\n");
}
