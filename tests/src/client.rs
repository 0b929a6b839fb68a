//! Clients that call a [`Server`] over a socket.

use std::net::SocketAddr;

use axum::body::Body;
use http::{HeaderMap, Request, Response, StatusCode, Uri, uri::PathAndQuery};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{net::TcpStream, task::JoinHandle};
use tower_canary::{Channel, Tags};

use crate::Server;

/// A client with a connection pool for one HTTP version.
#[derive(Clone, Debug)]
pub struct Client {
    inner: legacy::Client<HttpConnector, Body>,
    origin: String,
}

impl Client {
    /// Creates a client for HTTP/1.
    #[must_use]
    pub fn http1(server: &Server) -> Self {
        Self::new(server, &legacy::Client::builder(TokioExecutor::new()))
    }

    /// Creates a client for HTTP/2 with prior knowledge, on one connection.
    #[must_use]
    pub fn http2(server: &Server) -> Self {
        Self::new(server, legacy::Client::builder(TokioExecutor::new()).http2_only(true))
    }

    /// Creates a client for each version, and returns it with the version's name.
    #[must_use]
    pub fn of_each_version(server: &Server) -> [(&'static str, Self); 2] {
        [("HTTP/1", Self::http1(server)), ("HTTP/2", Self::http2(server))]
    }

    fn new(server: &Server, builder: &legacy::Builder) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { inner: builder.build(connector), origin: format!("http://{}", server.address()) }
    }

    /// Sends a request, whose URI is a path, and returns the response after its head has arrived.
    ///
    /// # Errors
    ///
    /// Returns an error if the connection breaks.
    ///
    /// # Panics
    ///
    /// If the URI is not a path.
    pub async fn send(
        &self,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, legacy::Error> {
        let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        let uri: Uri = format!("{}{path}", self.origin).parse().expect("a path makes a URI");
        *request.uri_mut() = uri;
        self.inner.request(request).await
    }

    /// Sends a request and reads the whole response.
    ///
    /// # Panics
    ///
    /// If the response does not arrive or is incomplete.
    pub async fn ask(&self, request: Request<Body>) -> Answer {
        let request_line = format!("{} {}", request.method(), request.uri());
        let response =
            self.send(request).await.unwrap_or_else(|error| panic!("{request_line}: {error:?}"));
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap_or_else(|error| panic!("{request_line}: {error:?}"));
        let body = String::from_utf8(body.to_bytes().into()).expect("the response is text");
        Answer { status: head.status, headers: head.headers, body }
    }

    /// Sends a GET request for a path, and reads the whole response.
    ///
    /// # Panics
    ///
    /// If the response does not arrive or is incomplete.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Body::empty()).expect("a path makes a request")).await
    }
}

/// A complete response.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

impl Answer {
    /// Returns the channel in the response's tag.
    #[must_use]
    pub fn channel(&self) -> Option<Channel> {
        channel_of(&self.headers)
    }
}

/// Returns the channel in the tag of a response.
///
/// # Panics
///
/// If the tag is not a channel.
#[must_use]
pub fn channel_of(headers: &HeaderMap) -> Option<Channel> {
    headers.get(Tags::CHANNEL_HEADER).map(|value| match value.as_bytes() {
        b"stable" => Channel::Stable,
        b"canary" => Channel::Canary,
        _ => panic!("unknown channel {value:?}"),
    })
}

/// Opens an HTTP/1 connection and spawns a task that drives it. Dropping the sender closes the
/// connection.
///
/// # Panics
///
/// If the server does not accept the connection.
pub async fn connect_http1(
    server: &Server,
) -> (conn::http1::SendRequest<Body>, JoinHandle<hyper::Result<()>>) {
    connect_http1_at(server.address()).await
}

/// Like [`connect_http1`], for any server at `address`.
///
/// # Panics
///
/// If no server accepts at `address`.
pub async fn connect_http1_at(
    address: SocketAddr,
) -> (conn::http1::SendRequest<Body>, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(address).await.expect("the server accepts");
    let (sender, connection) =
        conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1 needs no handshake");
    (sender, tokio::spawn(connection))
}

/// Opens an HTTP/2 connection and spawns a task that drives it.
///
/// # Panics
///
/// If the server does not accept the connection.
pub async fn connect_http2(
    server: &Server,
) -> (conn::http2::SendRequest<Body>, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(server.address()).await.expect("the server accepts");
    let (sender, connection) = conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .expect("the server speaks HTTP/2");
    (sender, tokio::spawn(connection))
}
