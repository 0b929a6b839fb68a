//! A load generator that knows what each replica answered.

use std::{ops::Add, time::Duration};

use axum::body::{Body, to_bytes};
use http::{HeaderValue, StatusCode, Uri};
use hyper_util::{
    client::legacy::{Client, connect::Connect},
    rt::TokioExecutor,
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{self, MissedTickBehavior, timeout},
};

use super::support::TIMEOUT;

/// Calls one replica, one call after another, until a call gets no complete response.
pub(crate) struct Load {
    answers: watch::Receiver<Answers>,
    is_on: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What a replica has answered.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Answers {
    /// Complete responses of stable.
    pub(crate) stable: u64,
    /// Complete responses of the canary.
    pub(crate) canary: u64,
    /// Complete responses of the release v1, as either channel.
    pub(crate) v1: u64,
    /// Complete responses with an error, of either channel.
    pub(crate) failed: u64,
    /// Calls without a complete response.
    pub(crate) broken: u64,
    /// Whether no call is under way, because the load is paused.
    is_idle: bool,
}

impl Answers {
    pub(crate) const fn complete(self) -> u64 {
        self.stable + self.canary
    }
}

impl Add for Answers {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            stable: self.stable + other.stable,
            canary: self.canary + other.canary,
            v1: self.v1 + other.v1,
            failed: self.failed + other.failed,
            broken: self.broken + other.broken,
            is_idle: self.is_idle && other.is_idle,
        }
    }
}

impl Load {
    /// Calls the shop at this address at most `per_second` times per second, once it is resumed.
    pub(crate) fn new(addr: &str, per_second: u32) -> Self {
        let uri = format!("http://{addr}/products/1").parse().unwrap();
        let (answered, answers) = watch::channel(Answers::default());
        let (is_on, switch) = watch::channel(false);
        let task = tokio::spawn(call(uri, per_second, answered, switch));
        Self { answers, is_on, task }
    }

    /// Makes no further calls, and waits for the end of the last one.
    pub(crate) async fn pause(&mut self) {
        self.is_on.send_replace(false);
        self.wait_for(|answers| answers.is_idle).await;
    }

    pub(crate) fn resume(&self) {
        self.is_on.send_replace(true);
    }

    pub(crate) fn answers(&self) -> Answers {
        *self.answers.borrow()
    }

    pub(crate) async fn wait_for(&mut self, is_awaited: impl Fn(&Answers) -> bool) {
        let waited = timeout(TIMEOUT, self.answers.wait_for(|it| is_awaited(it))).await;
        waited.expect("the replica should answer").unwrap();
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn call(
    uri: Uri,
    per_second: u32,
    answers: watch::Sender<Answers>,
    mut is_on: watch::Receiver<bool>,
) {
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
    let mut interval = time::interval(Duration::from_secs(1) / per_second);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if !*is_on.borrow() {
            answers.send_modify(|it| it.is_idle = true);
            if is_on.wait_for(|on| *on).await.is_err() {
                return;
            }
            answers.send_modify(|it| it.is_idle = false);
        }
        interval.tick().await;
        let Some(Answer { status, is_canary, is_v1 }) = answer(&client, uri.clone()).await else {
            // A balancer would make no further calls either.
            return answers.send_modify(|it| (it.broken, it.is_idle) = (it.broken + 1, true));
        };
        answers.send_modify(|it| {
            *(if is_canary { &mut it.canary } else { &mut it.stable }) += 1;
            it.v1 += u64::from(is_v1);
            it.failed += u64::from(status != StatusCode::OK);
        });
    }
}

/// A complete response.
struct Answer {
    status: StatusCode,
    is_canary: bool,
    is_v1: bool,
}

/// Makes a call. Returns `None` without a complete response.
async fn answer(
    client: &Client<impl Connect + Clone + Send + Sync + 'static, Body>,
    uri: Uri,
) -> Option<Answer> {
    let (head, body) = client.get(uri).await.ok()?.into_parts();
    to_bytes(Body::new(body), usize::MAX).await.ok()?;
    let header = |name| head.headers.get(name).map(HeaderValue::as_bytes);
    let is_canary = match header("x-canary-channel") {
        Some(b"canary") => true,
        Some(b"stable") => false,
        other => panic!("the channel of a response is {other:?}"),
    };
    let is_v1 = header("x-canary-release") == Some(b"v1");
    Some(Answer { status: head.status, is_canary, is_v1 })
}
