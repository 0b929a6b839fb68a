use std::{env, process::Command, time::Duration};

use axum::{body::Body, response::IntoResponse};
use bytes::Bytes;
use canary_controller::webhook::{BadSignature, HttpTransport, PostError, WebhookClient, verify};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::mpsc,
    time::Instant,
};

use crate::{
    scripted_transport::{pauses, scripted},
    support::{SECRET, client, hang, soon, webhook},
    webhook_server::{WebhookServer, reply},
};

#[tokio::test]
async fn a_request_has_the_documented_headers_and_a_signature() {
    let mut receiver = WebhookServer::of_status(200).await;
    let webhook = webhook(&receiver.url, &json!({ "secret_env": "SECRET" }));
    let reply = client().post(&webhook, "delivery-1", r#"{"weight":"1%"}"#).await.unwrap();
    assert_eq!((reply.status, reply.requests), (StatusCode::OK, 1));
    let received = receiver.next().await;
    assert_eq!(received.body, br#"{"weight":"1%"}"#);
    assert_eq!(received.header("content-type"), "application/json");
    assert_eq!(received.header("x-canary-delivery"), "delivery-1");
    assert!(received.header("user-agent").starts_with("canary-controller/0."));

    let [timestamp, signature] =
        ["x-canary-timestamp", "x-canary-signature"].map(|name| received.header(name));
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let verified =
        |delivery| verify(SECRET.as_bytes(), timestamp, delivery, signature, &received.body, now);
    assert_eq!(verified("delivery-1"), Ok(()));
    assert_eq!(verified("delivery-2"), Err(BadSignature::Forged), "a replay has the same id");
}

#[tokio::test]
async fn a_request_without_a_secret_is_not_signed() {
    let mut receiver = WebhookServer::of_status(200).await;
    client().post(&webhook(&receiver.url, &json!({})), "1", "{}").await.unwrap();
    assert_eq!(receiver.next().await.header("x-canary-signature"), "");
}

/// Files usually end with a line break, and variables filled from them do, too.
#[tokio::test]
async fn a_line_break_at_the_end_of_a_secret_is_not_a_part_of_it() {
    let mut receiver = WebhookServer::of_status(200).await;
    let webhook = webhook(&receiver.url, &json!({ "secret_env": "SECRET" }));
    for end in ["\n", "\r\n"] {
        let client = client().secrets(move |_| Some(format!("{SECRET}{end}")));
        client.post(&webhook, "delivery-1", "{}").await.unwrap();
        let received = receiver.next().await;
        let [timestamp, signature] =
            ["x-canary-timestamp", "x-canary-signature"].map(|name| received.header(name));
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let verified =
            verify(SECRET.as_bytes(), timestamp, "delivery-1", signature, &received.body, now);
        assert_eq!(verified, Ok(()), "{end:?}");
    }
    for end in ["\n\n", "\r", "\t", "\0"] {
        let client = client().secrets(move |_| Some(format!("{SECRET}{end}")));
        let error = client.post(&webhook, "delivery-1", "{}").await.unwrap_err().to_string();
        let expected = "of the secret: expected no control character";
        assert!(error.starts_with("the environment variable SECRET: byte "), "{error}");
        assert!(error.ends_with(expected), "{error}");
    }
}

const TOKEN: &str = "Bearer swordfish.3f1c";

#[tokio::test]
async fn headers_have_the_values_of_variables_for_each_attempt() {
    let mut receiver = WebhookServer::start(async |index| {
        StatusCode::from_u16(if index == 0 { 503 } else { 200 }).unwrap().into_response()
    })
    .await;
    let fields = json!({
        "retries": 1,
        "headers_env": { "authorization": "CANARY_TOKEN", "x-team": "CANARY_TEAM" },
    });
    let webhook = webhook(&receiver.url, &fields);
    let client = client().secrets(|name| match name {
        "CANARY_TOKEN" => Some(format!("{TOKEN}\r\n")),
        "CANARY_TEAM" => Some("team shop".to_owned()),
        _ => None,
    });
    client.post(&webhook, "1", "{}").await.unwrap();
    for _ in 0..2 {
        let received = receiver.next().await;
        assert_eq!(received.header("authorization"), TOKEN);
        assert_eq!(received.header("x-team"), "team shop");
        assert_eq!(received.header("content-type"), "application/json");
    }
}

#[tokio::test]
async fn the_value_of_a_header_is_in_no_error_and_no_debug_form() {
    let fields = json!({ "headers_env": { "authorization": "CANARY_TOKEN" } });
    let webhook = webhook("http://a.example", &fields);
    for (value, expected) in [
        (Some("swordfish\nx-forged: 1"), "expected visible ASCII and spaces"),
        (Some("swordfish\n\n"), "expected visible ASCII and spaces"),
        (Some("swordfish\u{e9}"), "expected visible ASCII and spaces"),
        (Some("\n"), "expected visible ASCII and spaces"),
        (None, "CANARY_TOKEN is not set"),
    ] {
        let (transport, log) = scripted(|_| (200, HeaderMap::new()));
        let client = WebhookClient::new(transport).secrets(move |_| value.map(str::to_owned));
        let error = client.post(&webhook, "1", "{}").await.unwrap_err();
        let text = format!("{error} {error:?} {client:?} {webhook:?}");
        assert!(text.contains(expected) && !text.contains("swordfish"), "{text}");
        assert!(log.lock().unwrap().is_empty(), "nothing is sent");
    }
    let (transport, log) = scripted(|_| (200, HeaderMap::new()));
    let client = WebhookClient::new(transport).secrets(|_| Some(TOKEN.to_owned()));
    client.post(&webhook, "1", "{}").await.unwrap();
    let (_, request) = log.lock().unwrap().pop().unwrap();
    assert_eq!(request.headers()["authorization"], TOKEN);
    let text = format!("{request:?}");
    assert!(!text.contains("swordfish"), "{text}");
}

#[tokio::test]
async fn a_header_cannot_have_another_variable_of_the_environment() {
    let fields = json!({ "headers_env": { "authorization": "CARGO_MANIFEST_DIR" } });
    let webhook = webhook("http://a.example", &fields);
    let (transport, log) = scripted(|_| (200, HeaderMap::new()));
    let error = WebhookClient::new(transport).post(&webhook, "1", "{}").await.unwrap_err();
    assert!(error.to_string().ends_with("expected a name that begins with CANARY_"), "{error}");
    assert!(log.lock().unwrap().is_empty(), "nothing is sent");
}

/// Runs in a process of its own, which has the variable.
#[test]
fn secrets_come_from_the_environment_by_default() {
    let child = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "webhook::signs_with_a_secret_of_the_environment"])
        .env("CANARY_TEST_SECRET", SECRET)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && output.contains("1 passed"), "{output}");
}

#[tokio::test]
#[ignore = "another test runs this as a child process"]
async fn signs_with_a_secret_of_the_environment() {
    let (transport, log) = scripted(|_| (200, HeaderMap::new()));
    let webhook = webhook("http://a.example", &json!({ "secret_env": "CANARY_TEST_SECRET" }));
    WebhookClient::new(transport).post(&webhook, "1", "{}").await.unwrap();
    let (_, request) = log.lock().unwrap().pop().unwrap();
    let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
    let (timestamp, signature) = (header("x-canary-timestamp"), header("x-canary-signature"));
    let now = timestamp.parse().unwrap();
    assert_eq!(verify(SECRET.as_bytes(), &timestamp, "1", &signature, b"{}", now), Ok(()));
}

#[tokio::test]
async fn a_plan_cannot_sign_with_other_variables_of_the_environment() {
    // A variable that cargo sets for tests and that is long enough for a secret.
    let webhook = webhook("http://a.example", &json!({ "secret_env": "CARGO_MANIFEST_DIR" }));
    let (transport, log) = scripted(|_| (200, HeaderMap::new()));
    let client = WebhookClient::new(transport);
    let error = client.post(&webhook, "1", "{}").await.unwrap_err();
    let expected =
        "the environment variable CARGO_MANIFEST_DIR: expected a name that begins with CANARY_";
    assert_eq!(error.to_string(), expected);
    assert!(log.lock().unwrap().is_empty(), "nothing is sent");
    let client = client.secrets(|name| env::var(name).ok());
    client.post(&webhook, "1", "{}").await.expect("the code allows the variable");
}

#[tokio::test]
async fn a_link_local_address_is_refused_unless_allowed() {
    let post = async |transport: HttpTransport, url: &str| {
        let webhook = webhook(url, &json!({ "timeout": "50ms" }));
        WebhookClient::new(transport).post(&webhook, "1", "{}").await
    };
    let transport = || HttpTransport::try_with_roots(crate::support::CERTIFICATE).unwrap();
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "https://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fd00:ec2::254]/",
        // Names, for the operating system.
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://0251.0376.0251.0376/",
    ] {
        let error = post(transport(), url).await.unwrap_err();
        let text = format!("{error:?} {error}");
        assert!(text.contains("is a link-local address"), "{url}: {text}");
        let allowed = post(transport().allow_link_local(), url).await;
        let text = allowed.map_or_else(|error| format!("{error:?}"), |_| String::new());
        assert!(!text.contains("is a link-local address"), "{url}: {text}");
    }
}

#[tokio::test]
async fn a_delivery_with_a_dot_is_refused() {
    let (transport, _) = scripted(|_| (200, HeaderMap::new()));
    let client = WebhookClient::new(transport);
    for delivery in ["a.b", "", "a b", "ä", "a\n"] {
        let error = client.post(&webhook("http://a.example", &json!({})), delivery, "{}").await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("expected visible ASCII without a dot"), "{delivery:?}: {error}");
    }
}

#[tokio::test]
async fn a_port_out_of_range_is_refused() {
    for url in
        ["http://127.0.0.1:70000/x", "http://127.0.0.1:/x", "http://[::1]:99999/x", "http://a:0/"]
    {
        let (transport, log) = scripted(|_| (200, HeaderMap::new()));
        let posted = WebhookClient::new(transport).post(&webhook(url, &json!({})), "1", "{}").await;
        let error = posted.unwrap_err();
        assert!(matches!(error, PostError::Invalid(_)), "{url}: {error:?}");
        assert!(log.lock().unwrap().is_empty(), "{url}");
    }
}

#[tokio::test(start_paused = true)]
async fn retries_have_growing_pauses_and_the_same_delivery_id() {
    let (transport, log) =
        scripted(|number| (if number < 4 { 503 } else { 200 }, HeaderMap::new()));
    let webhook = webhook("http://a.example", &json!({ "retries": 5 }));
    let reply = WebhookClient::new(transport).post(&webhook, "same", "{}").await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.requests), (200, 5));
    let pauses = pauses(&log);
    for (pause, max) in pauses.iter().zip([500, 1_000, 2_000, 4_000]) {
        assert!((max / 2..=max + 2).contains(pause), "{pauses:?}");
    }
    for (_, request) in log.lock().unwrap().iter() {
        assert_eq!(request.headers()["x-canary-delivery"], "same");
        assert_eq!(request.body(), "{}");
    }
}

#[tokio::test(start_paused = true)]
async fn retries_are_limited() {
    let (transport, log) = scripted(|_| (503, HeaderMap::new()));
    let webhook = webhook("http://a.example", &json!({ "retries": 2 }));
    let reply = WebhookClient::new(transport).post(&webhook, "1", "{}").await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.requests), (503, 3));
    assert_eq!(log.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn retry_after_extends_a_pause_up_to_the_maximum() {
    let (transport, log) = scripted(|number| {
        let after = HeaderValue::from_static(if number == 0 { "9" } else { "86400" });
        (429, HeaderMap::from_iter([(RETRY_AFTER, after)]))
    });
    let webhook = webhook("http://a.example", &json!({ "retries": 2 }));
    WebhookClient::new(transport).post(&webhook, "1", "{}").await.unwrap();
    let pauses = pauses(&log);
    assert!((9_000..9_010).contains(&pauses[0]), "{pauses:?}");
    assert!((30_000..30_010).contains(&pauses[1]), "{pauses:?}");
}

#[tokio::test]
async fn a_final_status_is_not_retried() {
    for status in [201, 301, 400, 403, 404, 410] {
        let (transport, log) = scripted(move |_| (status, HeaderMap::new()));
        let webhook = webhook("http://a.example", &json!({ "retries": 3 }));
        let reply = WebhookClient::new(transport).post(&webhook, "1", "{}").await.unwrap();
        assert_eq!((reply.status.as_u16(), log.lock().unwrap().len()), (status, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn each_request_to_a_receiver_that_hangs_ends_at_the_time_limit() {
    let (transport, _log) = scripted(|_| (0, HeaderMap::new()));
    let webhook = webhook("http://a.example/T0/hush", &json!({ "retries": 1, "timeout": "10s" }));
    let begin = Instant::now();
    let error = WebhookClient::new(transport).post(&webhook, "1", "{}").await.unwrap_err();
    assert_eq!(error.to_string(), "http://a.example did not answer within 10s (2 requests)");
    assert!((20_250..20_600).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_timeout_closes_the_connection() {
    struct DropGuard(mpsc::UnboundedSender<()>);
    impl Drop for DropGuard {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (sender, mut ended) = mpsc::unbounded_channel();
    let receiver = WebhookServer::start(move |_| {
        let ended = DropGuard(sender.clone());
        async move {
            let _ended = ended;
            hang().await
        }
    })
    .await;
    let webhook = webhook(&receiver.url, &json!({ "timeout": "100ms" }));
    let error = client().post(&webhook, "1", "{}").await.unwrap_err();
    assert!(matches!(error, PostError::Timeout { requests: 1, .. }), "{error}");
    soon(ended.recv()).await.unwrap();
}

#[tokio::test]
async fn a_receiver_is_notified_after_an_outage() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let restarted = tokio::spawn(async move {
        for _ in 0..2 {
            drop(listener.accept().await.unwrap()); // Closes the connection.
        }
        WebhookServer::on(listener, |number| async move { reply([502, 200][number], "") })
    });
    let webhook = webhook(&url, &json!({ "retries": 3 }));
    let reply = soon(client().post(&webhook, "1", "{}")).await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.requests), (200, 4));
    let mut receiver = restarted.await.unwrap();
    let [first, second] = [receiver.next().await, receiver.next().await];
    assert_eq!(first.header("x-canary-delivery"), second.header("x-canary-delivery"));
}

#[tokio::test]
async fn an_error_does_not_contain_the_path_of_the_url() {
    // The port is taken, so that no other program gets it, and refuses connections.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let webhook = webhook(&format!("http://{address}/services/T0/hush"), &json!({}));
    let error = client().post(&webhook, "1", "{}").await.unwrap_err();
    assert_eq!(error.to_string(), format!("http://{address} could not be reached"));
    let debug = format!("{error:?}");
    assert!(debug.contains("refused") && !debug.contains("hush"), "{debug}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let mut elsewhere = WebhookServer::of_status(200).await;
    for status in [301, 302, 303, 307, 308] {
        let location = elsewhere.url.clone();
        let receiver = WebhookServer::start(move |_| {
            let location = location.clone();
            async move {
                let status = StatusCode::from_u16(status).unwrap();
                (status, [(http::header::LOCATION, location)]).into_response()
            }
        })
        .await;
        let reply = client().post(&webhook(&receiver.url, &json!({})), "1", "{}").await.unwrap();
        assert_eq!(reply.status.as_u16(), status);
    }
    assert_eq!(elsewhere.unread(), 0);
}

#[tokio::test]
async fn an_endless_response_is_truncated() {
    let receiver = WebhookServer::start(|_| async {
        let endless = stream::repeat_with(|| Ok::<_, String>(Bytes::from(vec![b'x'; 10_000])));
        reply(200, Body::from_stream(endless))
    })
    .await;
    let reply = soon(client().post(&webhook(&receiver.url, &json!({})), "1", "{}")).await.unwrap();
    assert_eq!(reply.body.len(), 64 * 1024);
}

#[tokio::test]
async fn a_slow_response_ends_at_the_time_limit() {
    let receiver = WebhookServer::start(|_| async {
        let trickle = stream::unfold(0, async |sent| {
            if sent > 0 {
                hang::<()>().await;
            }
            Some((Ok::<_, String>(Bytes::from_static(b"x")), sent + 1))
        });
        reply(200, Body::from_stream(trickle))
    })
    .await;
    let webhook = webhook(&receiver.url, &json!({ "timeout": "100ms" }));
    let error = soon(client().post(&webhook, "1", "{}")).await.unwrap_err();
    assert!(matches!(error, PostError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn reasons_are_read_from_json_and_from_text() {
    for (body, reason) in [
        (r#"{"reason": "a database\nis moved", "by": 7}"#, Some("a database is moved")),
        ("\u{feff}{\"reason\": \"frozen\"}", Some("frozen")),
        ("not now\n", Some("not now")),
        ("\u{feff}not now", Some("not now")),
        ("\u{feff}<html>proxy</html>", None),
        (r#"{"reason": 7}"#, None),
        ("{}", None),
        ("<html>proxy</html>", None),
        ("", None),
    ] {
        let receiver = WebhookServer::start(move |_| async move { reply(403, body) }).await;
        let reply = client().post(&webhook(&receiver.url, &json!({})), "1", "{}").await.unwrap();
        assert_eq!(reply.reason().as_deref(), reason, "{body}");
    }
}

#[test]
fn debug_output_contains_no_secrets() {
    let debug = format!("{:?}", client());
    assert!(debug.contains("WebhookClient") && !debug.contains(SECRET), "{debug}");
}

#[tokio::test]
async fn limits_are_as_documented() {
    assert_eq!(WebhookClient::MAX_RETRIES, 10);
    assert_eq!(canary_controller::webhook::TOLERANCE, Duration::from_secs(300));
}
