//! Requests with invalid cookies, headers and baggage are answered, and do not affect other
//! requests.

use std::net::SocketAddr;

use axum::body::Body;
use canary_tests::{
    Client, Server, connect_http2, deployment::Releases, final_counts, timeout::complete,
};
use http::{HeaderName, HeaderValue, Request, header::COOKIE};
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tower_canary::{
    AssignmentReason, CanaryHandle, CanaryLayer, CanaryOptions, Channel,
    axum::RouterExt as _,
    select::{Condition, Forced, Propagated, Select, Sticky},
};

use crate::shop::{BAGGAGE, FORCE, HALF, SECRET, Shop, USER, assignment_of, secret, signed_cookie};

/// All policies that read request headers.
fn policy() -> impl Select {
    Forced::by_header(FORCE, secret())
        .or(Forced::by_cookie("force", secret()))
        .or(Propagated::from_callers(Condition::any()))
        .or(Sticky::by_header(USER).or_cookie("session").or_issue(signed_cookie()))
}

struct BadRequest {
    what: &'static str,
    headers: Vec<(HeaderName, Vec<u8>)>,
    /// The reason in the assignment.
    reason: &'static str,
}

fn bad(
    what: &'static str,
    headers: impl IntoIterator<Item = (HeaderName, Vec<u8>)>,
    reason: &'static str,
) -> BadRequest {
    BadRequest { what, headers: headers.into_iter().collect(), reason }
}

/// A request without a valid key gets a cookie, so its reason is `sticky` as well.
fn bad_requests() -> Vec<BadRequest> {
    let user = |value: &[u8]| (USER, value.to_vec());
    let cookie = |value: &[u8]| (COOKIE, value.to_vec());
    let baggage = |value: &[u8]| (BAGGAGE, value.to_vec());
    let force = |value: &[u8]| (FORCE, value.to_vec());
    let many = |what: &str, times: usize| what.repeat(times).into_bytes();
    vec![
        bad("a key that is not UTF-8", [user(b"Zo\xeb \xff\xfe\x80")], "sticky"),
        bad("a key with a tab", [user(b"a\tb")], "sticky"),
        bad("an empty key", [user(b"")], "sticky"),
        bad("an oversized key", [(USER, many("k", 8_000))], "sticky"),
        bad("a repeated key", [user(b"one"), user(b"two"), user(b"one")], "sticky"),
        bad("ninety keys", (0..90).map(|_| user(b"one")), "sticky"),
        bad("an empty cookie header", [cookie(b"")], "sticky"),
        bad(
            "cookies without names and values",
            [cookie(b"=; ;;=;=a;session;a=;session")],
            "sticky",
        ),
        bad(
            "a cookie that is not UTF-8",
            [cookie(b"session=\xff\xfe; canary_id=\xc3\x28")],
            "sticky",
        ),
        bad("a broken quote", [cookie(b"session=\"; canary_id=\"abc; force=\"canary")], "sticky"),
        bad("only quotes", [cookie(b"session=\"\"; canary_id=\"; force=\"\"\"")], "sticky"),
        bad("a cookie in a cookie", [cookie(b"session=session=session=; canary_id==a=")], "sticky"),
        bad("an oversized cookie", [cookie(&[b"session=", &*many("s", 8_000)].concat())], "sticky"),
        bad("thousands of cookies", [(COOKIE, many("a=b; ", 2_500))], "sticky"),
        bad("thousands of cookies of one name", [(COOKIE, many("canary_id=x;", 1_000))], "sticky"),
        bad("ninety cookie headers", (0..90).map(|_| cookie(b"canary_id=a; force=b")), "sticky"),
        bad(
            "a forged signature",
            [cookie(b"canary_id=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=x")],
            "sticky",
        ),
        bad(
            "a signature of two-byte characters",
            [cookie(
                "canary_id=".bytes().chain("é".repeat(44).bytes()).collect::<Vec<_>>().as_slice(),
            )],
            "sticky",
        ),
        bad("percent signs", [cookie(b"session=%; canary_id=%zz%00%; %73ession=a")], "sticky"),
        bad(
            "a secret that is almost right",
            [force(&[b"canary:", &SECRET.as_bytes()[1..]].concat())],
            "sticky",
        ),
        bad(
            "a secret that is not UTF-8",
            [force(b"canary:\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")],
            "sticky",
        ),
        bad("an oversized secret", [(FORCE, many("canary:", 1_000))], "sticky"),
        bad("an unknown channel", [force(b"both:0b2f7c65a41d4f1e9c3d")], "sticky"),
        bad("empty baggage", [baggage(b"")], "sticky"),
        bad("baggage of commas", [(BAGGAGE, many(",", 5_000))], "sticky"),
        bad(
            "baggage without values",
            [baggage(b"canary.shop,=,canary.shop;=canary,canary.")],
            "sticky",
        ),
        bad(
            "baggage that is not UTF-8",
            [baggage(b"\xff\xfe=\x80,canary.shop=\xff,canary.shop=canary")],
            "sticky",
        ),
        bad("a channel in upper case", [baggage(b"canary.shop=CANARY")], "sticky"),
        bad("baggage with broken quotes", [baggage(b"a=\"b,canary.shop=\"canary\";\"p")], "sticky"),
        bad(
            "the canary's member behind 64 others",
            [(BAGGAGE, [&*many("a=b,", 64), b"canary.shop=canary"].concat())],
            "sticky",
        ),
        bad(
            "the canary's member as the 64th",
            [(BAGGAGE, [&*many("a=b,", 63), b"canary.shop=stable"].concat())],
            "propagated",
        ),
        bad(
            "the canary's member beyond 8,192 bytes",
            [(BAGGAGE, [&*many("a", 8_192), b"=b,canary.shop=canary"].concat())],
            "sticky",
        ),
        bad("ninety baggage headers", (0..90).map(|_| baggage(b"a=b")), "sticky"),
        bad(
            "two contradicting members",
            [baggage(b"canary.shop=stable"), baggage(b"canary.shop=canary")],
            "propagated",
        ),
        bad(
            "everything at once",
            [user(b"\xff"), cookie(b"session=\"\xff"), baggage(b",;=,\xff"), force(b"canary:")],
            "sticky",
        ),
    ]
}

#[tokio::test]
async fn bad_requests_are_answered_over_http1() {
    let shop = Shop::open(policy());
    shop.handle.set_weight(HALF).unwrap();
    let mut answered = 0;
    for BadRequest { what, headers, reason } in bad_requests() {
        let mut bytes = b"GET /page HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n".to_vec();
        for (name, value) in &headers {
            bytes.extend([name.as_str().as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        let answer = send(shop.server.address(), &bytes).await;
        let (head, body) =
            answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{what}: {answer}"));
        assert!(head.starts_with("HTTP/1.1 200"), "{what}: {head}");
        assert!(body.contains(&format!(" {reason}\n")), "{what}: {body}");
        assert_secrets_are_hidden(what, body);
        answered += 1;
    }
    assert_all_succeeded(&shop.handle, answered).await;
}

#[tokio::test]
async fn bad_requests_are_answered_over_http2() {
    let shop = Shop::open(policy());
    shop.handle.set_weight(HALF).unwrap();
    // All requests share a connection, which a bad request must not break.
    let (sender, _connection) = connect_http2(&shop.server).await;
    let mut answered = 0;
    for BadRequest { what, headers, reason } in bad_requests() {
        let mut request = Request::get(format!("http://{}/page", shop.server.address()))
            .body(Body::empty())
            .unwrap();
        for (name, value) in headers {
            request.headers_mut().append(name, HeaderValue::from_bytes(&value).unwrap());
        }
        let mut sender = sender.clone();
        let answer = complete(async {
            sender.ready().await.unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 200, "{what}");
            let body = Body::new(response.into_body());
            axum::body::to_bytes(body, usize::MAX).await.unwrap()
        })
        .await;
        let body = String::from_utf8(answer.to_vec()).unwrap();
        assert!(body.contains(&format!(" {reason}\n")), "{what}: {body}");
        assert_secrets_are_hidden(what, &body);
        answered += 1;
    }
    assert_all_succeeded(&shop.handle, answered).await;
}

#[tokio::test]
async fn grpc_calls_with_bad_metadata_are_answered() {
    let releases = Releases::new();
    let options = CanaryOptions::new().select(policy());
    let layer = CanaryLayer::with_options("shop", releases.router(Channel::Canary), options);
    let handle = layer.handle();
    handle.set_weight(HALF).unwrap();
    let server = Server::of_router(releases.router(Channel::Stable).canary(layer));
    let (sender, _connection) = connect_http2(&server).await;
    let mut answered = 0;
    for BadRequest { what, headers, reason: _ } in bad_requests() {
        let url = format!("http://{}/canary.tests.Echo/Unary", server.address());
        let mut request = Request::post(url)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            // An empty message: a compression flag and four bytes of length.
            .body(Body::from(vec![0; 5]))
            .unwrap();
        for (name, value) in headers {
            request.headers_mut().append(name, HeaderValue::from_bytes(&value).unwrap());
        }
        let mut sender = sender.clone();
        let answer = complete(async {
            sender.ready().await.unwrap();
            sender.send_request(request).await.unwrap().into_body().collect().await.unwrap()
        })
        .await;
        let trailers = answer.trailers().unwrap_or_else(|| panic!("{what}: no trailers"));
        assert_eq!(trailers["grpc-status"], "0", "{what}");
        answered += 1;
    }
    assert_all_succeeded(&handle, answered).await;
}

/// The server refuses these requests before any layer, and must keep serving.
#[tokio::test]
async fn invalid_http_does_not_affect_other_requests() {
    let shop = Shop::open(policy());
    shop.handle.set_weight(HALF).unwrap();
    let many_headers = "cookie: session=a\r\n".repeat(10_000);
    for header in [
        "cookie: session=a\0b\r\n",
        "cookie: session=a\x01b\r\n",
        "cookie session=a\r\n",
        "baggage: a=b\r\n c=d\r\n",
        "x-user-id : one\r\n",
        &many_headers,
        &format!("cookie: session={}\r\n", "s".repeat(2_000_000)),
    ] {
        let request = format!("GET / HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n{header}\r\n");
        let answer = send(shop.server.address(), request.as_bytes()).await;
        // If data is left unread, the connection may be reset before the response is read.
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        assert_eq!(assignment_of(&Client::http1(&shop.server).get("/").await).1, "sticky");
    }
}

/// Sends raw bytes, and reads until the server closes the connection.
async fn send(address: SocketAddr, bytes: &[u8]) -> String {
    complete(async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let (mut read, mut write) = stream.split();
        // A server that refuses the request may not read all of it.
        let (_, answer) = tokio::join!(write.write_all(bytes), async {
            let mut answer = Vec::new();
            let _ = read.read_to_end(&mut answer).await;
            answer
        });
        String::from_utf8_lossy(&answer).into_owned()
    })
    .await
}

fn assert_secrets_are_hidden(what: &str, body: &str) {
    for secret in ["x-canary-force:", "force=", "canary.shop="] {
        assert!(!body.contains(secret), "{what}: the handler saw {secret}: {body}");
    }
}

async fn assert_all_succeeded(handle: &CanaryHandle, answered: u64) {
    let counts = final_counts(handle).await;
    let all = [
        counts.evidence.stable,
        counts.evidence.canary,
        counts.excluded.stable,
        counts.excluded.canary,
    ];
    assert_eq!(all.iter().map(|counts| counts.success).sum::<u64>(), answered);
    assert_eq!(all.iter().map(|counts| counts.reasons[AssignmentReason::Forced]).sum::<u64>(), 0);
    assert_eq!(all.iter().map(|counts| counts.panicked + counts.failure).sum::<u64>(), 0);
}
