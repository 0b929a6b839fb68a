//! Server-sent events: in flight until they end, asked to drain, closed.

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

/// Passes on what it is fed, and says good-bye when it should end.
async fn polite(State(feed): State<Feed>, assignment: Assignment) -> Events {
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

/// Passes on what it is fed, whatever happens.
async fn stubborn(State(feed): State<Feed>) -> Events {
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
            .route("/polite", get(polite))
            .route("/stubborn", get(stubborn))
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
        // HTTP/2 may say that the stream is over in an empty frame.
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
async fn events_come_one_by_one_and_their_call_is_open_until_the_last() {
    let (server, handle, feeds) = split();
    for channel in Channel::ALL {
        handle.set_weight(at(channel)).unwrap();
        let feed = &feeds[channel as usize];
        for (version, client) in Client::of_each_version(&server) {
            let (served_by, mut events) = open(&client, "/stubborn").await;
            assert_eq!(served_by, channel);
            for event in ["one", "two", "three"] {
                // Nothing else is sent before this one arrived: it was not held back.
                feed.send(event).unwrap();
                let seen = next(&mut events).await.unwrap().unwrap();
                assert_eq!(seen, format!("data: {event}\n\n"), "{version}");
                assert_eq!(handle.open(channel), 1, "{version}");
                assert_counts_add_up(&handle);
            }
            drop(events);
            let drain = handle.drain(channel);
            // A stream notices that its reader is gone when it has something to say.
            let _ = feed.send("anybody?");
            complete(drain.ended()).await;
            assert_eq!(handle.open(channel), 0, "{version}");
        }
        let counts = final_counts(&handle).await.evidence[channel].clone();
        assert_eq!((counts.cancelled, counts.picked), (2, 2), "{channel}");
    }
}

#[tokio::test]
async fn a_rollback_asks_the_canarys_streams_to_drain_and_leaves_stables_alone() {
    let (server, handle, feeds) = split();
    for (version, client) in Client::of_each_version(&server) {
        handle.set_weight(Weight::ZERO).unwrap();
        let (_, mut of_stable) = open(&client, "/polite").await;
        handle.set_weight(Weight::FULL).unwrap();
        let (_, mut of_canary) = open(&client, "/polite").await;

        handle.roll_back();
        assert_eq!(next(&mut of_canary).await.unwrap().unwrap(), "data: good-bye\n\n", "{version}");
        assert!(next(&mut of_canary).await.is_none(), "{version}: a clean end");
        let (served_by, later) = open(&client, "/polite").await;
        assert_eq!(served_by, Channel::Stable, "{version}");
        drop(later);

        feeds[0].send("still here").unwrap();
        assert_eq!(
            next(&mut of_stable).await.unwrap().unwrap(),
            "data: still here\n\n",
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
async fn a_stream_that_is_closed_ends_in_an_error_and_is_cancelled() {
    let (server, handle, feeds) = split();
    for (version, client) in Client::of_each_version(&server) {
        handle.set_weight(Weight::FULL).unwrap();
        let (_, mut events) = open(&client, "/stubborn").await;
        feeds[1].send("one").unwrap();
        next(&mut events).await.unwrap().unwrap();

        handle.roll_back();
        let drain = handle.drain(Channel::Canary);
        assert_eq!(drain.open(), 1, "{version}");
        feeds[1].send("two").unwrap();
        assert_eq!(next(&mut events).await.unwrap().unwrap(), "data: two\n\n", "{version}");

        drain.close();
        let end = next(&mut events).await.expect("no clean end");
        assert!(end.is_err(), "{version}: {end:?}");
        complete(drain.ended()).await;
        assert_eq!(drain.open(), 0, "{version}");
    }
    let canary = final_counts(&handle).await.evidence.canary;
    assert_eq!((canary.cancelled, canary.picked), (2, 2));
}

#[tokio::test]
async fn keep_alives_pass() {
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
