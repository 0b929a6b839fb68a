//! A test double of a service.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    thread,
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use tower::{BoxError, Service};
use tower_canary::{Assignment, Channel};

use super::ScriptedBody;

/// The effect of `poll_ready`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Readiness {
    Ready,
    Pending,
    Fails,
    /// Fails once, and is ready from then on.
    FailsOnce,
    Panics,
}

/// The effect of `call`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OnCall {
    ReturnFuture,
    Panic,
}

/// The effect of a poll of the response future. As an extension of a request, it takes
/// precedence in a service that is built with [`ScriptedService::obey_requests`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OnPoll {
    Respond,
    /// Responds with status 500.
    RespondError,
    Fail,
    Hang,
    Panic,
}

/// A service that follows a script and records its use. Clones share the record.
///
/// By default it is ready and responds at once with status 200 and an empty body.
#[derive(Debug)]
pub(crate) struct ScriptedService {
    readiness: Readiness,
    call: OnCall,
    future: OnPoll,
    status: StatusCode,
    headers: HeaderMap,
    body: ScriptedBody,
    has_own_content_type: bool,
    obeys_requests: bool,
    channel: Option<Channel>,
    panics_in_drop: bool,
    /// Whether this clone has panicked. A service must not be used after that.
    has_panicked: bool,
    record: Arc<Record>,
    threads: Option<Arc<Mutex<BTreeSet<String>>>>,
}

#[derive(Debug, Default)]
struct Record {
    is_pending: AtomicBool,
    panics_in_clone: AtomicBool,
    polls: AtomicU64,
    calls: AtomicU64,
    open: AtomicU64,
    most_open: AtomicU64,
    uses_after_panic: AtomicU64,
}

impl ScriptedService {
    pub(crate) fn new() -> Self {
        Self {
            readiness: Readiness::Ready,
            call: OnCall::ReturnFuture,
            future: OnPoll::Respond,
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: ScriptedBody::empty(),
            has_own_content_type: false,
            obeys_requests: false,
            channel: None,
            panics_in_drop: false,
            has_panicked: false,
            record: Arc::default(),
            threads: None,
        }
    }

    pub(crate) fn readiness(mut self, readiness: Readiness) -> Self {
        self.readiness = readiness;
        self
    }

    pub(crate) fn call(mut self, call: OnCall) -> Self {
        self.call = call;
        self
    }

    pub(crate) fn future(mut self, future: OnPoll) -> Self {
        self.future = future;
        self
    }

    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<ScriptedBody>) -> Self {
        self.body = body.into();
        self
    }

    /// Keeps the content type of the script, as an HTTP service does.
    pub(crate) fn own_content_type(mut self) -> Self {
        self.has_own_content_type = true;
        self
    }

    /// Lets an [`OnPoll`] in the request's extensions take precedence, and records open calls.
    pub(crate) fn obey_requests(mut self) -> Self {
        self.obeys_requests = true;
        self
    }

    /// Asserts that every request is assigned to this channel.
    pub(crate) fn expect_channel(mut self, channel: Channel) -> Self {
        self.channel = Some(channel);
        self
    }

    /// Makes each clone that has panicked panic again when it is dropped.
    pub(crate) fn panic_in_drop(mut self) -> Self {
        self.panics_in_drop = true;
        self
    }

    /// Records the names of the threads that poll or call the service, its futures or its bodies.
    #[cfg(feature = "tokio")]
    pub(crate) fn record_threads(mut self) -> Self {
        self.threads = Some(Arc::default());
        self
    }

    /// Makes all clones pending, or lets them follow the script again.
    pub(crate) fn set_ready(&self, is_ready: bool) {
        self.record.is_pending.store(!is_ready, Ordering::Relaxed);
    }

    /// Makes each later attempt to clone the service panic.
    pub(crate) fn panic_in_clone(&self) {
        self.record.panics_in_clone.store(true, Ordering::SeqCst);
    }

    pub(crate) fn polls(&self) -> u64 {
        self.record.polls.load(Ordering::SeqCst)
    }

    pub(crate) fn calls(&self) -> u64 {
        self.record.calls.load(Ordering::SeqCst)
    }

    /// Returns the highest number of futures that were open at the same time.
    pub(crate) fn most_open(&self) -> u64 {
        self.record.most_open.load(Ordering::SeqCst)
    }

    /// Returns how often a clone was polled or called after it had panicked.
    pub(crate) fn uses_after_panic(&self) -> u64 {
        self.record.uses_after_panic.load(Ordering::SeqCst)
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn threads(&self) -> BTreeSet<String> {
        self.threads.as_ref().unwrap().lock().unwrap().clone()
    }

    fn record_use(&self) {
        record_thread(self.threads.as_ref());
        if self.has_panicked {
            self.record.uses_after_panic.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Responds with the content type of the request, as a gRPC service does.
    fn response(&self, content_type: Option<&HeaderValue>) -> Response<ScriptedBody> {
        let mut response = Response::new(self.body.clone());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        if let Some(content_type) = content_type.filter(|_| !self.has_own_content_type) {
            response.headers_mut().insert(header::CONTENT_TYPE, content_type.clone());
        }
        response.body_mut().threads = self.threads.clone();
        response
    }
}

/// Records the name of the calling thread.
pub(super) fn record_thread(threads: Option<&Arc<Mutex<BTreeSet<String>>>>) {
    if let Some(threads) = threads {
        let name = thread::current().name().unwrap_or_default().to_owned();
        threads.lock().unwrap().insert(name);
    }
}

impl Clone for ScriptedService {
    fn clone(&self) -> Self {
        let panics = self.record.panics_in_clone.load(Ordering::SeqCst);
        assert!(!panics, "intentional test panic in clone");
        Self {
            headers: self.headers.clone(),
            body: self.body.clone(),
            record: Arc::clone(&self.record),
            threads: self.threads.clone(),
            ..*self
        }
    }
}

impl Drop for ScriptedService {
    fn drop(&mut self) {
        let panics = self.panics_in_drop && self.has_panicked;
        assert!(!panics, "intentional test panic in drop");
    }
}

impl Service<Request<()>> for ScriptedService {
    type Response = Response<ScriptedBody>;
    type Error = BoxError;
    type Future = ScriptedFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.record_use();
        let polls = self.record.polls.fetch_add(1, Ordering::SeqCst);
        if self.record.is_pending.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        match self.readiness {
            Readiness::Fails => Poll::Ready(Err("not ready".into())),
            Readiness::FailsOnce if polls == 0 => Poll::Ready(Err("not ready".into())),
            Readiness::Ready | Readiness::FailsOnce => Poll::Ready(Ok(())),
            Readiness::Pending => Poll::Pending,
            Readiness::Panics => {
                self.has_panicked = true;
                panic!("intentional test panic in poll_ready")
            }
        }
    }

    fn call(&mut self, request: Request<()>) -> ScriptedFuture {
        self.record_use();
        self.record.calls.fetch_add(1, Ordering::SeqCst);
        if let Some(channel) = self.channel {
            let assignment: &Assignment = request.extensions().get().unwrap();
            assert_eq!(assignment.channel(), channel);
        }
        if self.call == OnCall::Panic {
            self.has_panicked = true;
            panic!("intentional test panic in call");
        }
        let requested = request.extensions().get::<OnPoll>().filter(|_| self.obeys_requests);
        let open = self.obeys_requests.then(|| OpenCall::new(&self.record));
        if self.obeys_requests {
            // Lets other threads run while this call is open.
            thread::yield_now();
        }
        ScriptedFuture {
            script: requested.copied().unwrap_or(self.future),
            response: Some(self.response(request.headers().get(header::CONTENT_TYPE))),
            open,
            threads: self.threads.clone(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct ScriptedFuture {
    script: OnPoll,
    response: Option<Response<ScriptedBody>>,
    open: Option<OpenCall>,
    threads: Option<Arc<Mutex<BTreeSet<String>>>>,
}

impl Future for ScriptedFuture {
    type Output = Result<Response<ScriptedBody>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        record_thread(self.threads.as_ref());
        if self.script == OnPoll::Hang {
            return Poll::Pending;
        }
        drop(self.open.take());
        let mut response = self.response.take().expect("a future is not polled after its end");
        match self.script {
            OnPoll::Respond => Poll::Ready(Ok(response)),
            OnPoll::RespondError => {
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                Poll::Ready(Ok(response))
            }
            OnPoll::Fail => Poll::Ready(Err("the call failed".into())),
            OnPoll::Panic => panic!("intentional test panic in poll"),
            OnPoll::Hang => unreachable!("handled above"),
        }
    }
}

/// Counts one open future until it is dropped.
#[derive(Debug)]
struct OpenCall(Arc<Record>);

impl OpenCall {
    fn new(record: &Arc<Record>) -> Self {
        let open = record.open.fetch_add(1, Ordering::SeqCst) + 1;
        record.most_open.fetch_max(open, Ordering::SeqCst);
        Self(Arc::clone(record))
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}
