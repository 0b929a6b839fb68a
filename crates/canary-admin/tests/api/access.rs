use std::{fs, path::PathBuf, process::Command, time::Duration};

use canary_admin::{Access, Admin, Operator, Role};
use canary_controller::{Phase, rollout::event::Event};
use tempfile::TempDir;
use tokio::{net::TcpListener, time::timeout};

use crate::support::{COMMANDS, Call, Log, Server, Stream, line, tokens};

const START: &str = r#"{"command":"start"}"#;

/// Asks until a token is valid or not. A change of the file applies within a second.
async fn until_valid(server: &Server, token: &str, is_valid: bool) {
    let call = Call::new("GET", "/session").token(token);
    let answers = async { while (server.send(call.clone()).await.status == 200) != is_valid {} };
    timeout(Duration::from_secs(60), answers).await.expect("the change applies");
}

#[tokio::test]
async fn the_stream_of_a_removed_token_ends() {
    let (_directory, file, server) = with_token_file().await;
    let call = Call::new("GET", "/canaries/shop/events").header("accept", "text/event-stream");
    let mut stream = Stream::open_as(server.addr, call.token("ada")).await;
    stream.next_of("view").await;
    fs::write(&file, line("grace", "view", "")).unwrap();
    let end = async { while stream.next().await.is_some() {} };
    timeout(Duration::from_secs(60), end).await.expect("the stream ends");
    server.stop().await;
}

#[tokio::test]
async fn a_changed_token_file_applies_soon() {
    let (_directory, file, server) = with_token_file().await;
    let status =
        async |token: &str| server.send(Call::new("GET", "/session").token(token)).await.status;
    assert_eq!((status("ada").await, status("bob").await), (200, 401));
    fs::write(&file, format!("# ada has left\n{}", line("grace", "view", ""))).unwrap();
    until_valid(&server, "grace", true).await;
    until_valid(&server, "ada", false).await;
    server.stop().await;
}

#[tokio::test]
async fn a_replaced_token_file_of_the_same_length_and_time_applies() {
    let (directory, file, server) = with_token_file().await;
    let draft = directory.path().join("draft");
    fs::write(&draft, line("bob", "operate", "")).unwrap();
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    fs::File::options().append(true).open(&draft).unwrap().set_modified(modified).unwrap();
    fs::rename(&draft, &file).unwrap();
    until_valid(&server, "bob", true).await;
    until_valid(&server, "ada", false).await;
    server.stop().await;
}

#[tokio::test]
async fn a_token_file_that_cannot_be_used_changes_nothing_until_it_can() {
    let (log, _guard) = Log::start();
    let (directory, file, server) = with_token_file().await;
    let draft = directory.path().join("draft");
    // Each fault is seen and logged, while the token stays valid.
    let reported = async |fault: &str| {
        let call = Call::new("GET", "/session").token("ada");
        let requests = async {
            while !log.has(&[fault, "the former tokens stay valid"]) {
                assert_eq!(server.send(call.clone()).await.status, 200, "{fault}");
            }
        };
        timeout(Duration::from_secs(60), requests).await.expect("the fault is logged");
    };
    fs::write(&file, "grace:admin:123\n").unwrap();
    reported("line 1: expected the role").await;
    fs::remove_file(&file).unwrap();
    reported("No such file").await;
    fs::create_dir(&file).unwrap();
    reported("directory").await;
    fs::remove_dir(&file).unwrap();
    fs::write(&draft, line("grace", "view", "")).unwrap();
    fs::rename(&draft, &file).unwrap();
    until_valid(&server, "ada", false).await;
    until_valid(&server, "grace", true).await;
    server.stop().await;
}

/// A pipe without a writer is like a file system that does not answer.
#[cfg(unix)]
#[tokio::test]
async fn a_token_file_that_does_not_answer_keeps_no_operator_out() {
    let (log, _guard) = Log::start();
    let (_directory, file, server) = with_token_file().await;
    fs::remove_file(&file).unwrap();
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    let halt = Call::new("POST", COMMANDS).json(r#"{"command":"halt"}"#).token("ada");
    let requests = async {
        while !log.has(&["no answer: the former tokens stay valid"]) {
            assert_eq!(server.send(halt.clone()).await.status, 200);
        }
        // No other check begins.
        assert_eq!(server.send(halt.clone()).await.status, 200);
    };
    timeout(Duration::from_secs(60), requests).await.expect("the fault is logged");
    // Ends the check, which the end of the test waits for.
    let text = line("grace", "view", "");
    tokio::task::spawn_blocking(move || fs::write(file, text)).await.unwrap().unwrap();
    server.stop().await;
}

/// Starts a server with a file that has a token of the operator `ada`.
async fn with_token_file() -> (TempDir, PathBuf, Server) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    fs::write(&file, line("ada", "operate", "")).unwrap();
    let server = Server::start(Access::tokens(&file).unwrap()).await;
    (directory, file, server)
}

#[test]
fn a_faulty_token_file_is_refused_with_its_line_and_without_its_content() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    let good = line("ada", "operate", "");
    for (text, expected) in [
        (String::new(), "at least one line"),
        (format!("{good}bob:admin:{}", "0".repeat(64)), "line 2: expected the role"),
        ("bob:view:swordfish".to_owned(), "line 1: expected a SHA-256"),
        (format!(":view:{}", "0".repeat(64)), "line 1: expected a name"),
        (format!("{good}{}", line("ada", "view", "")), "line 2: an earlier line has the same name"),
        (
            good.clone() + &good.replace("ada:", "bob:"),
            "line 2: an earlier line has the same digest",
        ),
        (line("bob", "operate", ":owner"), "line 1: only the role approve"),
    ] {
        fs::write(&file, &text).unwrap();
        let error = Access::tokens(&file).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains("swordfish"), "{error}");
    }
    let error = Access::tokens(directory.path().join("nope")).unwrap_err().to_string();
    assert!(error.contains("nope"), "{error}");
}

#[tokio::test]
async fn an_approver_answers_its_own_gates_and_nothing_else() {
    let (_directory, access) = tokens();
    let server = Server::start(access).await;
    let send = async |command: &str| {
        server.send(Call::new("POST", COMMANDS).json(command).token("gus").seen("*")).await
    };
    let problem = send(START).await.problem();
    assert_eq!(problem["detail"], "this needs the role operate, and gus has approve");
    let problem = send(r#"{"command":"approve","gate":"legal"}"#).await.problem();
    assert_eq!(problem["type"], "/problems/forbidden");
    assert_eq!((&problem["value"], &problem["expected"]), (&"legal".into(), &"owner".into()));
    // The gate is not waiting, which the rollout says and not the access.
    let problem = send(r#"{"command":"approve","gate":"owner"}"#).await.problem();
    assert_eq!(problem["type"], "/problems/refused");
    server.stop().await;
}

#[tokio::test]
async fn the_application_can_decide_who_has_access() {
    let access = Access::hook(|parts| {
        let user = parts.headers.get("x-user")?.to_str().ok()?;
        Some(Operator::new(user, if user == "ada" { Role::Operate } else { Role::View }))
    });
    let server = Server::start(access).await;
    let start = || Call::new("POST", COMMANDS).json(START);
    assert_eq!(server.send(start()).await.status, 401);
    assert_eq!(server.send(start().header("x-user", "vic")).await.status, 403);
    assert_eq!(server.send(start().header("x-user", "ada")).await.status, 200);
    let by = |event: &Event| event.by.to_string();
    assert_eq!(
        server.rollout.history(1).await.unwrap().iter().map(by).collect::<Vec<_>>().len(),
        1
    );
    let cross = start().header("x-user", "ada").header("sec-fetch-site", "cross-site");
    assert_eq!(server.send(cross).await.status, 403, "its credential may be a cookie");
    server.stop().await;
}

#[tokio::test]
async fn without_tokens_a_forwarded_request_has_no_access() {
    let server = Server::start(Access::loopback()).await;
    for header in ["x-forwarded-for", "forwarded", "via", "x-real-ip"] {
        let reply = server.send(Call::new("GET", "/canaries").header(header, "203.0.113.7")).await;
        assert_eq!(reply.problem()["type"], "/problems/foreign-caller", "{header}");
    }
    server.stop().await;
}

#[tokio::test]
async fn without_tokens_the_address_of_the_caller_must_be_known() {
    let admin = Admin::new(Access::loopback());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let app = axum::Router::new().nest_service("/canary", admin.router());
    let served = tokio::spawn(async { axum::serve(listener, app).await });
    let problem = Call::new("GET", "/canary/canaries").send(addr).await.problem();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("into_make_service_with_connect_info"), "{detail}");
    served.abort();
}

#[tokio::test]
async fn an_allowed_host_is_answered_with_and_without_tokens() {
    let (_directory, tokens) = tokens();
    for access in [Access::loopback(), tokens] {
        let admin = Admin::builder(access).allow_host("canary.internal").build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let served = tokio::spawn(admin.clone().serve_on(listener));
        for (host, status) in [("canary.internal:8080", 200), ("evil.example", 421)] {
            let call = Call::new("GET", "/canaries").token("vic").host(host);
            assert_eq!(call.send(addr).await.status, status, "{host}");
        }
        admin.stop();
        served.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn an_address_with_many_wrong_tokens_has_to_wait_and_a_valid_token_passes() {
    let (_directory, access) = tokens();
    let server = Server::start(access).await;
    let status =
        async |token: &str| server.send(Call::new("GET", "/session").token(token)).await.status;
    let mut replies = Vec::new();
    for guess in 0..200 {
        replies.push(status(&format!("guess {guess}")).await);
    }
    assert_eq!(replies[..10], [401; 10]);
    assert!(replies.contains(&429), "{replies:?}");
    assert_eq!(status("ada").await, 200);
    assert_eq!(server.send(Call::new("GET", "/session")).await.status, 401, "asked for a token");
    server.stop().await;
}

#[tokio::test]
async fn the_router_can_be_nested_and_its_page_is_found_with_and_without_a_slash() {
    let admin = Admin::new(Access::hook(|_| Some(Operator::new("ada", Role::View))));
    let nested = axum::Router::new().nest("/canary", admin.router());
    let service = axum::Router::new().nest_service("/canary", admin.router());
    for app in [nested, service] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let served = tokio::spawn(async { axum::serve(listener, app).await });
        let reply = Call::new("GET", "/canary").send(addr).await;
        assert_eq!((reply.status, reply.header("location")), (307, "./canary/index.html"));
        let page = Call::new("GET", "/canary/index.html").send(addr).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
        assert_eq!(Call::new("GET", "/canary/session").send(addr).await.status, 200);
        served.abort();
    }
}

#[tokio::test]
async fn refusals_do_not_start_anything() {
    let (_directory, access) = tokens();
    let server = Server::start(access).await;
    assert_eq!(server.send(Call::new("POST", COMMANDS).json(START)).await.status, 401);
    let in_url = Call::new("POST", &format!("{COMMANDS}?token=ada")).json(START);
    assert_eq!(server.send(in_url).await.status, 401, "a token in the URL is none");
    let cookie = Call::new("POST", COMMANDS).json(START).header("cookie", "token=ada");
    assert_eq!(server.send(cookie).await.status, 401);
    assert_eq!(server.rollout.status().rollout.phase(), Phase::Idle);
    server.stop().await;
}
