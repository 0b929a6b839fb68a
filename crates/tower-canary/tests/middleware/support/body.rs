//! A test double of a body.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::service::record_thread;

/// The effect of one poll of a [`ScriptedBody`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    Data(&'static str),
    /// Trailers with this gRPC status.
    Trailers(&'static str),
    Error,
    Panic,
    /// Panics in `is_end_stream` instead of in `poll_frame`.
    PanicInIsEndStream,
    /// The end, which stays the body's last step.
    End,
}

/// A body that follows its steps one by one. It is pending when no step is left.
#[derive(Clone, Debug)]
pub(crate) struct ScriptedBody {
    steps: Arc<[Step]>,
    position: usize,
    /// The bytes left, as `size_hint` reports them.
    length: Option<u64>,
    announces_end: bool,
    /// The number of answers before a panic.
    end_stream_answers: Option<Arc<AtomicUsize>>,
    size_hint_answers: Option<Arc<AtomicUsize>>,
    pub(super) threads: Option<Arc<Mutex<BTreeSet<String>>>>,
}

impl ScriptedBody {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            position: 0,
            length: None,
            announces_end: false,
            end_stream_answers: None,
            size_hint_answers: None,
            threads: None,
        }
    }

    /// Like `Empty`: it has ended before the first poll.
    pub(crate) fn empty() -> Self {
        Self::new([Step::End]).announces_end().length(0)
    }

    /// Makes `is_end_stream` return true before the end is polled, as `Full` does and streams do not.
    pub(crate) fn announces_end(mut self) -> Self {
        self.announces_end = true;
        self
    }

    /// Makes `size_hint` exact.
    pub(crate) fn length(mut self, bytes: u64) -> Self {
        self.length = Some(bytes);
        self
    }

    /// Makes `is_end_stream` panic after this many answers.
    pub(crate) fn end_stream_answers(mut self, answers: usize) -> Self {
        self.end_stream_answers = Some(Arc::new(AtomicUsize::new(answers)));
        self
    }

    /// Makes `size_hint` panic after this many answers.
    pub(crate) fn size_hint_answers(mut self, answers: usize) -> Self {
        self.size_hint_answers = Some(Arc::new(AtomicUsize::new(answers)));
        self
    }

    fn step(&self) -> Option<Step> {
        self.steps.get(self.position).copied()
    }
}

impl From<&'static str> for ScriptedBody {
    fn from(text: &'static str) -> Self {
        Self::new([Step::Data(text), Step::End]).announces_end().length(text.len() as u64)
    }
}

impl Body for ScriptedBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        record_thread(self.threads.as_ref());
        let step = self.step();
        if step != Some(Step::End) {
            self.position += 1;
        }
        match step {
            Some(Step::End) => Poll::Ready(None),
            Some(Step::Data(text)) => {
                self.length = self.length.map(|left| left.saturating_sub(text.len() as u64));
                Poll::Ready(Some(Ok(Frame::data(text.into()))))
            }
            Some(Step::Trailers(status)) => {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", status.parse().unwrap());
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Some(Step::Error) => Poll::Ready(Some(Err(std::io::Error::other("broken")))),
            Some(Step::Panic) => panic!("intentional test panic in poll_frame"),
            Some(Step::PanicInIsEndStream) | None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        count_down(self.end_stream_answers.as_deref());
        match self.step() {
            Some(Step::PanicInIsEndStream) => panic!("intentional test panic in is_end_stream"),
            Some(Step::End) => self.announces_end,
            _ => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        count_down(self.size_hint_answers.as_deref());
        self.length.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

fn count_down(answers: Option<&AtomicUsize>) {
    if let Some(answers) = answers {
        let left = answers.load(Ordering::SeqCst);
        assert_ne!(left, 0, "intentional test panic: no answers are left");
        answers.store(left - 1, Ordering::SeqCst);
    }
}
