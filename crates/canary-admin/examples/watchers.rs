//! Measures the memory and the processor time of a server with 64 canaries while 32 pages watch them:
//!
//! ```sh
//! cargo run --release -p canary-admin --example watchers -- 600
//! ```
//!
//! Each canary and its stable get five calls a second. The server is a process of its own, so that the
//! pages do not count. A second server without pages runs at the same time. The example prints the
//! memory of both, and their processor time for the given number of seconds.

use std::{
    error::Error,
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, routing::get};
use canary_admin::{Access, Admin};
use canary_controller::{Controller, Managed, Plan, store::MemoryStore};
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tower::ServiceExt as _;
use tower_canary::{CanaryLayer, CanaryOptions};

type BoxError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let argument = std::env::args().nth(1).unwrap_or_else(|| "60".to_owned());
    if argument == "serve" {
        return serve().await;
    }
    let span = Duration::from_secs(argument.parse()?);
    let server = || {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
    };
    let (mut unwatched, mut watched) = (server()?, server()?);
    let measured = measure(&unwatched, &mut watched, span).await;
    unwatched.kill()?;
    watched.kill()?;
    measured
}

async fn serve() -> Result<(), BoxError> {
    let controller = Controller::new(MemoryStore::new());
    for index in 0..CANARIES {
        let options = CanaryOptions::new().stable_release("v1").canary_release("v2");
        let app = || Router::new().route("/", get(async || "hello"));
        let layer = CanaryLayer::with_options(format!("service-{index}"), app(), options);
        let plan = Plan::from_toml("steps = [{ weight = '10%', min_duration = '1h' }]")?;
        controller.add(Managed::new(layer.handle(), plan).auto_start())?;
        tokio::spawn(call(app().layer(layer)));
    }
    let admin = Admin::new(Access::loopback());
    admin.watch(&controller);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    Ok(admin.serve_on(listener).await?)
}

/// Makes calls for ever.
async fn call(app: Router) {
    let mut interval = tokio::time::interval(BETWEEN_CALLS);
    loop {
        interval.tick().await;
        let Ok(response) = app.clone().oneshot(Request::new(Body::empty())).await;
        // The call ends at the end of its body.
        let _ = response.into_body().collect().await;
    }
}

async fn measure(unwatched: &Child, watched: &mut Child, span: Duration) -> Result<(), BoxError> {
    let mut line = String::new();
    BufReader::new(watched.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let addr: SocketAddr = line.trim().parse()?;
    for page in 0..PAGES {
        tokio::spawn(watch(addr, page));
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    tokio::try_join!(
        report("without pages", unwatched.id(), span),
        report("with pages", watched.id(), span),
    )?;
    Ok(())
}

/// Reads what a page reads: a stream, and points every ten seconds.
async fn watch(addr: SocketAddr, page: usize) -> Result<(), BoxError> {
    let canary = page * CANARIES / PAGES;
    let mut stream = open(addr, &format!("/canaries/service-{canary}/events")).await?;
    tokio::spawn(async move {
        let mut bytes = vec![0; 64 * 1024];
        while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
    });
    loop {
        let mut points = open(addr, &format!("/canaries/service-{canary}/points")).await?;
        let mut bytes = Vec::new();
        points.read_to_end(&mut bytes).await?;
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
}

async fn open(addr: SocketAddr, path: &str) -> Result<TcpStream, BoxError> {
    let mut stream = TcpStream::connect(addr).await?;
    let request =
        format!("GET {path} HTTP/1.0\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

async fn report(what: &str, process: u32, span: Duration) -> Result<(), BoxError> {
    let before = ticks(process)?;
    tokio::time::sleep(span).await;
    let used = Duration::from_millis(10 * (ticks(process)? - before));
    let percent = 100.0 * used.as_secs_f64() / span.as_secs_f64();
    let memory = memory_kib(process)?;
    println!("{what}: {used:?} in {span:?}, {percent:.1}% of a core; {memory} KiB of memory");
    Ok(())
}

/// Returns the processor time in hundredths of a second.
fn ticks(process: u32) -> Result<u64, BoxError> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no fields")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}

fn memory_kib(process: u32) -> Result<u64, BoxError> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    let number = line.split_whitespace().nth(1).ok_or("no number")?;
    Ok(number.parse()?)
}

const CANARIES: usize = 64;
const PAGES: usize = 32;
const BETWEEN_CALLS: Duration = Duration::from_millis(200);
