//! The gRPC service, by HTTP/1.1 and with frames by hand.

use std::{net::SocketAddr, time::Duration};

use canary_admin::{Access, Admin};
use canary_controller::{Controller, store::MemoryStore};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

use crate::support::{Call, Log, PLAN, add, tokens};

/// A gRPC server with a rollout.
struct Grpc {
    addr: SocketAddr,
    admin: Admin,
    controller: Controller,
    served: JoinHandle<()>,
}

impl Grpc {
    async fn start(access: Access) -> Self {
        let controller = Controller::new(MemoryStore::new());
        add(&controller, "shop", PLAN);
        let admin = Admin::new(access);
        admin.watch(&controller);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let app = admin.grpc_routes().into_axum_router();
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let served = tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
        Self { addr, admin, controller, served }
    }

    async fn stop(self) {
        self.admin.stop();
        self.controller.stop().await;
        self.served.abort();
    }
}

/// Returns a call with this message, which is shorter than 128 bytes.
fn call(path: &str, message: &[u8]) -> Call {
    let length = u8::try_from(message.len()).unwrap();
    let frame = [&[0, 0, 0, 0, length], message].concat();
    Call::new("POST", path).header("content-type", "application/grpc").body(frame)
}

fn command(canary: &str, number: u8) -> Call {
    let length = u8::try_from(canary.len()).unwrap();
    let message = [&[0x0a, length], canary.as_bytes(), &[0x10, number]].concat();
    call("/canary.v1.Control/Command", &message)
}

const START: u8 = 1;
const RESUME: u8 = 3;
const HALT: u8 = 9;

#[tokio::test]
async fn every_failed_command_of_an_operator_is_in_the_audit_log() {
    let (log, _guard) = Log::start();
    let (_directory, access) = tokens();
    let server = Grpc::start(access).await;
    for (call, token, code) in [
        (command("shop", HALT), "vic", "PermissionDenied"),
        (command("cart", START), "ada", "NotFound"),
        (command("shop", RESUME), "ada", "FailedPrecondition"),
        (command("shop", 99), "ada", "InvalidArgument"),
    ] {
        assert_ne!(call.token(token).send(server.addr).await.header("grpc-status"), "");
        let parts = [&*format!("who=\"{token}\""), "/canary.v1.Control/Command", code];
        assert!(log.has(&parts), "{parts:?}: {}", log.text());
    }
    for _ in 0..100 {
        command("shop", HALT).token("opensesame").send(server.addr).await;
    }
    let text = log.text();
    let outsiders = text.lines().filter(|line| line.contains("who=\"\"")).count();
    assert!((1..90).contains(&outsiders), "{outsiders}");
    assert!(!text.contains("opensesame"), "{text}");
    server.stop().await;
}

/// Opens a stream of health, and returns it after its head.
async fn watch_health(addr: SocketAddr) -> (String, BufReader<TcpStream>) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let head = "POST /grpc.health.v1.Health/Watch HTTP/1.1\r\nhost: localhost\r\n\
        connection: close\r\ncontent-type: application/grpc\r\ncontent-length: 5\r\n\r\n\0\0\0\0\0";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(lines.read_line(&mut head).await.unwrap(), 0, "{head}");
    }
    (head, lines)
}

#[tokio::test]
async fn streams_without_an_operator_are_limited_and_end_when_the_server_stops() {
    let (_directory, access) = tokens();
    let server = Grpc::start(access).await;
    let mut open = Vec::new();
    for _ in 0..32 {
        let (head, stream) = watch_health(server.addr).await;
        assert!(!head.contains("grpc-status"), "{head}");
        open.push(stream);
    }
    let (head, _) = watch_health(server.addr).await;
    assert!(head.contains("grpc-status: 8"), "{head}");
    let check = call("/grpc.health.v1.Health/Check", &[]).send(server.addr).await;
    assert_eq!((check.status, check.header("grpc-status")), (200, ""), "it is never limited");
    assert_eq!(
        command("shop", START).token("ada").send(server.addr).await.header("grpc-status"),
        ""
    );

    server.admin.stop();
    for mut stream in open {
        let mut rest = Vec::new();
        let end = timeout(Duration::from_secs(60), stream.read_to_end(&mut rest));
        end.await.expect("the stream ends").unwrap();
    }
    server.stop().await;
}
