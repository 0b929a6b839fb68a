//! WebSockets over HTTP/1 upgrades and over extended CONNECT of HTTP/2.

use axum::{
    Router,
    body::Body,
    extract::{
        Path, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    response::Response,
    routing::any,
};
use canary_tests::{
    Server, assert_counts_add_up, channel_of, connect_http2, final_counts, timeout::complete,
};
use futures_util::{SinkExt, StreamExt};
use hyper::ext::Protocol;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message as ClientMessage, protocol::Role},
};
use tower_canary::{Assignment, CanaryHandle, CanaryLayer, Channel, Weight, axum::RouterExt};

/// Echoes messages, sends one message when it is drained, and runs until the client closes.
async fn chat(mut socket: WebSocket, assignment: Assignment, room: String) {
    let mut drain_sent = false;
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) if text == "panic" => {
                    std::panic::resume_unwind(Box::new("intentional test panic"))
                }
                Some(Ok(Message::Text(text))) => {
                    let echo = format!("{room}: {text}");
                    socket.send(Message::text(echo)).await.unwrap();
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            () = assignment.draining(), if !drain_sent => {
                drain_sent = true;
                socket.send(Message::text("draining")).await.unwrap();
            }
        }
    }
}

async fn attached(
    upgrade: WebSocketUpgrade,
    Path(room): Path<String>,
    assignment: Assignment,
) -> Response {
    upgrade.on_upgrade(|socket| async move {
        let chat = chat(socket, assignment.clone(), room);
        assignment.attach(chat).await;
    })
}

/// Does not attach the socket to its assignment.
async fn unattached(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|mut socket| async move {
        while let Some(Ok(message)) = socket.recv().await {
            if let Message::Text(text) = message {
                socket.send(Message::text(text)).await.unwrap();
            }
        }
    })
}

fn routes() -> Router {
    Router::new()
        .route("/rooms/{room}", any(attached))
        .route("/plain", any(unattached))
        .route("/", any(async || "hello"))
}

type Mount = fn(Router, CanaryLayer<Router>) -> Router;

const MOUNTS: [(&str, Mount); 2] = [
    ("Router::layer", |stable, layer| stable.layer(layer)),
    ("RouterExt::canary", |stable, layer| stable.canary(layer)),
];

fn split(mount: Mount) -> (Server, CanaryHandle) {
    let layer = CanaryLayer::new("rooms", routes());
    let handle = layer.handle();
    (Server::of_router(mount(routes(), layer)), handle)
}

/// A socket over any transport.
type Socket = WebSocketStream<Box<dyn Transport>>;

trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

async fn over_http1(server: &Server, path: &str) -> (Option<Channel>, Socket) {
    let stream: Box<dyn Transport> = Box::new(TcpStream::connect(server.address()).await.unwrap());
    let url = format!("ws://{}{path}", server.address());
    let (socket, response) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    assert_eq!(response.status(), 101);
    (channel_of(response.headers()), socket)
}

async fn over_http2(server: &Server, path: &str) -> (Option<Channel>, Socket) {
    let (mut sender, _connection) = connect_http2(server).await;
    let uri = |path| format!("http://{}{path}", server.address());
    // The server's settings, which permit extended CONNECT, arrive with a first response.
    let hello = http::Request::get(uri("/")).body(Body::empty()).unwrap();
    sender.send_request(hello).await.unwrap();
    let request = http::Request::connect(uri(path))
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .body(Body::empty())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let channel = channel_of(response.headers());
    let upgraded = hyper::upgrade::on(response).await.unwrap();
    let stream: Box<dyn Transport> = Box::new(TokioIo::new(upgraded));
    (channel, WebSocketStream::from_raw_socket(stream, Role::Client, None).await)
}

#[derive(Clone, Copy, Debug)]
enum Version {
    Http1,
    Http2,
}

impl Version {
    const ALL: [Self; 2] = [Self::Http1, Self::Http2];

    async fn open(self, server: &Server, path: &str) -> (Option<Channel>, Socket) {
        match self {
            Self::Http1 => over_http1(server, path).await,
            Self::Http2 => over_http2(server, path).await,
        }
    }

    /// The number of additional calls for opening a socket.
    const fn other_calls(self) -> u64 {
        match self {
            Self::Http1 => 0,
            Self::Http2 => 1,
        }
    }
}

async fn send(socket: &mut Socket, text: &str) {
    socket.send(ClientMessage::text(text)).await.unwrap();
}

async fn receive(socket: &mut Socket) -> String {
    complete(socket.next()).await.unwrap().unwrap().into_text().unwrap().to_string()
}

fn at(channel: Channel) -> Weight {
    match channel {
        Channel::Stable => Weight::ZERO,
        Channel::Canary => Weight::FULL,
    }
}

#[tokio::test]
async fn a_socket_is_in_flight_until_it_ends_and_is_notified_of_a_drain() {
    for (mount_name, mount) in MOUNTS {
        for version in Version::ALL {
            let (server, handle) = split(mount);
            for channel in Channel::ALL {
                let what = format!("{mount_name} {version:?} {channel}");
                handle.set_weight(at(channel)).unwrap();
                let (served_by, mut socket) = version.open(&server, "/rooms/blue").await;
                assert_eq!(served_by, Some(channel), "{what}");
                send(&mut socket, "hi").await;
                assert_eq!(receive(&mut socket).await, "blue: hi", "{what}");
                assert_eq!(handle.open(channel), 1, "{what}");
                assert_counts_add_up(&handle);

                let drain = match channel {
                    Channel::Stable => handle.drain(Channel::Stable),
                    Channel::Canary => {
                        handle.roll_back();
                        handle.drain(Channel::Canary)
                    }
                };
                assert_eq!(receive(&mut socket).await, "draining", "{what}");
                send(&mut socket, "one more").await;
                assert_eq!(receive(&mut socket).await, "blue: one more", "{what}");
                assert_eq!(drain.open(), 1, "{what}");
                socket.close(None).await.unwrap();
                complete(drain.ended()).await;

                let counts = final_counts(&handle).await.evidence[channel].clone();
                let calls = 1 + version.other_calls();
                assert_eq!((counts.success, counts.picked), (calls, calls), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn closing_a_drain_drops_the_socket_as_cancelled() {
    for (mount_name, mount) in MOUNTS {
        for version in Version::ALL {
            let what = format!("{mount_name} {version:?}");
            let (server, handle) = split(mount);
            handle.set_weight(Weight::FULL).unwrap();
            let (_, mut socket) = version.open(&server, "/rooms/blue").await;
            handle.roll_back();
            let drain = handle.drain(Channel::Canary);
            assert_eq!(receive(&mut socket).await, "draining", "{what}");
            drain.close();
            complete(drain.ended()).await;
            // The connection ends without a close frame.
            assert!(!matches!(complete(socket.next()).await, Some(Ok(_))), "{what}");

            let canary = final_counts(&handle).await.evidence.canary;
            assert_eq!((canary.cancelled, canary.success), (1, version.other_calls()), "{what}");
        }
    }
}

#[tokio::test]
async fn a_panic_in_a_socket_is_a_failure() {
    let (server, handle) = split(|stable, layer| stable.layer(layer));
    handle.set_weight(Weight::FULL).unwrap();
    let (_, mut socket) = over_http1(&server, "/rooms/blue").await;
    send(&mut socket, "panic").await;
    assert!(!matches!(complete(socket.next()).await, Some(Ok(_))));
    let canary = final_counts(&handle).await.evidence.canary;
    assert_eq!((canary.failure, canary.panicked, canary.picked), (1, 1, 1));
}

#[tokio::test]
async fn a_client_that_disconnects_ends_its_socket() {
    let (server, handle) = split(|stable, layer| stable.layer(layer));
    handle.set_weight(Weight::FULL).unwrap();
    let (_, mut socket) = over_http1(&server, "/rooms/blue").await;
    send(&mut socket, "hi").await;
    receive(&mut socket).await;
    drop(socket);
    let canary = final_counts(&handle).await.evidence.canary;
    // The handler sees the end and returns, which the layer counts as a success.
    assert_eq!((canary.success, canary.picked), (1, 1));
}

#[tokio::test]
async fn a_socket_that_is_not_attached_is_counted_until_its_upgrade() {
    for version in Version::ALL {
        let (server, handle) = split(|stable, layer| stable.layer(layer));
        handle.set_weight(Weight::FULL).unwrap();
        let (_, mut socket) = version.open(&server, "/plain").await;
        let canary = final_counts(&handle).await.evidence.canary;
        assert_eq!(canary.success, 1 + version.other_calls(), "{version:?}");
        // The socket still works, although it is not in flight.
        send(&mut socket, "hi").await;
        assert_eq!(receive(&mut socket).await, "hi", "{version:?}");
    }
}
