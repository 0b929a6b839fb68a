use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{
        State,
        ws::{WebSocket, WebSocketUpgrade},
    },
    response::{Html, Response},
    routing::{get, post},
};
use canary_tests::{
    browser::Browser,
    deployment::{release, send_all_to},
    outcomes::{Outcomes, final_outcomes},
    skip::skip,
    task_server::TaskServer,
    timeout::complete,
};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};
use tower_canary::{Assignment, CanaryLayer, Channel};

#[tokio::test]
async fn a_browsers_web_sockets_get_the_requested_share_and_are_counted() {
    const SOCKETS: u64 = 100;
    let layer = CanaryLayer::new("sockets", app(Channel::Canary));
    let handle = layer.handle();
    let (mut page, control) = Page::new();
    let app = app(Channel::Stable).layer(layer).merge(control);
    let server = TaskServer::start(|listener| async {
        axum::serve(listener, app.into_make_service()).await.unwrap();
    });
    let server = server.await;
    let _browser = match Browser::start(&server.url("/"), env!("CARGO_TARGET_TMPDIR")) {
        Ok(browser) => browser,
        Err(reason) => return skip("browser", reason),
    };
    assert_eq!(page.report().await, ["ready"]);

    let mut ended = [0; 2];
    for (weight, allowed) in [
        ("100%", SOCKETS..=SOCKETS),
        ("0%", 0..=0),
        // Five standard deviations, of five sockets each, in both directions.
        ("50%", 25..=75),
    ] {
        handle.set_weight(weight.parse().unwrap()).unwrap();
        let greetings = page.run(json!({"do": "open", "count": SOCKETS})).await;

        let seen = Channel::ALL.map(|channel| {
            let greeting = greeting(channel, channel);
            greetings.iter().filter(|received| **received == greeting).count() as u64
        });
        assert_eq!(seen[0] + seen[1], SOCKETS, "{greetings:?}");
        assert!(allowed.contains(&seen[1]), "{} of {SOCKETS} at {weight}", seen[1]);
        assert_eq!(Channel::ALL.map(|channel| handle.open(channel)), seen, "{weight}");

        page.run(json!({"do": "close"})).await;
        ended = [ended[0] + seen[0], ended[1] + seen[1]];
        assert_eq!(final_outcomes(&handle).await, ended.map(Outcomes::success), "{weight}");
    }

    send_all_to(&handle, Channel::Canary);
    page.run(json!({"do": "open", "count": 5})).await;
    handle.roll_back();
    handle.drain(Channel::Canary).close();
    page.run(json!({"do": "lose"})).await;
    let canary = Outcomes { cancelled: 5, ..Outcomes::success(ended[1]) };
    assert_eq!(final_outcomes(&handle).await, [Outcomes::success(ended[0]), canary]);
}

/// A release that sends a greeting on `/socket`, and reads until the browser closes.
fn app(channel: Channel) -> Router {
    let socket = async move |upgrade: WebSocketUpgrade, assignment: Assignment| -> Response {
        let greeting = greeting(channel, assignment.channel());
        upgrade.on_upgrade(async |mut socket: WebSocket| {
            let conversation = async {
                if socket.send(greeting.into()).await.is_ok() {
                    while let Some(Ok(_)) = socket.recv().await {}
                }
            };
            // `None` if the test has closed the drain.
            let _ = assignment.attach(conversation).await;
        })
    };
    Router::new().route("/socket", get(socket))
}

/// The greeting of a release: its name and the channel in its assignment.
fn greeting(served_by: Channel, assigned: Channel) -> String {
    format!("{} {assigned}", release(served_by))
}

/// The test's side of the page.
struct Page {
    tasks: mpsc::UnboundedSender<Value>,
    reports: mpsc::UnboundedReceiver<Vec<String>>,
}

/// The page's side. The page reports the result of a task and gets the next one.
struct Control {
    tasks: Mutex<mpsc::UnboundedReceiver<Value>>,
    reports: mpsc::UnboundedSender<Vec<String>>,
}

impl Page {
    /// Creates a page, and the routes that control it. They must not be split.
    fn new() -> (Self, Router) {
        let (tasks, next_task) = mpsc::unbounded_channel();
        let (report, reports) = mpsc::unbounded_channel();
        let control = Arc::new(Control { tasks: Mutex::new(next_task), reports: report });
        // Not `Json`, since the page sends no content type.
        let next = async |State(control): State<Arc<Control>>, report: String| {
            control.reports.send(serde_json::from_str(&report).unwrap()).unwrap();
            let task = control.tasks.lock().await.recv().await;
            Json(task.unwrap())
        };
        let page = Html(include_str!("../../clients/sockets.html"));
        let routes = Router::new().route("/", get(page)).route("/next", post(next));
        (Self { tasks, reports }, routes.with_state(control))
    }

    async fn run(&mut self, task: Value) -> Vec<String> {
        self.tasks.send(task).unwrap();
        self.report().await
    }

    async fn report(&mut self) -> Vec<String> {
        complete(self.reports.recv()).await.unwrap()
    }
}
