//! A gRPC service that behaves as its caller requests.

use std::{pin::Pin, sync::Arc};

use futures_util::{
    Stream, StreamExt as _, TryStreamExt as _,
    future::ready,
    stream::{iter, once},
};
use tonic::{Code, Request, Response, Status, Streaming, metadata::MetadataMap};
use tower_canary::{Assignment, Rating};

use self::proto::{Answer, Ask, End, echo_server};
use crate::breakpoint::Breakpoint;

/// The code that the build script generates from `proto/echo.proto`.
#[allow(missing_docs, unused_qualifications, clippy::all, clippy::pedantic, clippy::restriction)]
pub mod proto {
    tonic::include_proto!("canary.tests");

    pub const FILE_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/echo.bin"));
}

/// A client of [`Echo`] over a tonic channel.
pub type EchoClient = proto::echo_client::EchoClient<tonic::transport::Channel>;
/// [`Echo`] as a tonic service.
pub type EchoServer = echo_server::EchoServer<Echo>;

/// One release of the service.
#[derive(Clone, Debug)]
pub struct Echo {
    release: &'static str,
    breakpoint: Arc<Breakpoint>,
}

impl Echo {
    /// Creates an implementation that reports `release`, and stops at `breakpoint` for `End::Wait`.
    #[must_use]
    pub const fn new(release: &'static str, breakpoint: Arc<Breakpoint>) -> Self {
        Self { release, breakpoint }
    }

    /// Converts it into a tonic service.
    #[must_use]
    pub fn into_server(self) -> EchoServer {
        EchoServer::new(self)
    }

    /// Ends the call as requested. Returns a last text if the call was drained.
    async fn end(&self, ask: &Ask, context: &Context) -> Result<Option<&'static str>, Status> {
        match ask.end() {
            End::Return => Ok(None),
            End::Fail => Err(context.status(ask.code)),
            End::Panic => {
                // Lets tonic's encoder flush the previous answers, which the panic would discard.
                tokio::task::yield_now().await;
                panic!("intentional test panic")
            }
            End::Wait => {
                self.breakpoint.stop().await;
                Ok(None)
            }
            End::Drain => {
                self.breakpoint.arrive();
                let assignment = context.assignment.as_ref();
                assignment.ok_or_else(|| Status::internal("not assigned"))?.draining().await;
                Ok(Some("good-bye"))
            }
        }
    }

    fn answer(&self, text: &str, context: &Context) -> Answer {
        let channel =
            context.assignment.as_ref().map(|assignment| assignment.channel().to_string());
        Answer {
            text: text.to_owned(),
            channel: channel.unwrap_or_default(),
            release: self.release.to_owned(),
        }
    }

    fn answers(self, ask: Ask, context: Context) -> impl Stream<Item = Result<Answer, Status>> {
        let answer = self.answer(&ask.text, &context);
        let answers = iter(0..ask.answers).map(move |_| Ok(answer.clone()));
        let end = once(async move {
            let last = self.end(&ask, &context).await?;
            Ok(last.map(|text| self.answer(text, &context)))
        });
        answers.chain(end.filter_map(|end| ready(end.transpose())))
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<Answer, Status>> + Send>>;

#[tonic::async_trait]
impl echo_server::Echo for Echo {
    type ExpandStream = Answers;
    type ChatStream = Answers;

    async fn unary(&self, request: Request<Ask>) -> Result<Response<Answer>, Status> {
        let (context, ask) = Context::of(request);
        self.end(&ask, &context).await?;
        context.rate(&ask);
        Ok(context.response(self.answer(&ask.text, &context)))
    }

    async fn collect(&self, request: Request<Streaming<Ask>>) -> Result<Response<Answer>, Status> {
        let (context, asks) = Context::of(request);
        let asks: Vec<Ask> = asks.try_collect().await?;
        for ask in &asks {
            self.end(ask, &context).await?;
        }
        let texts: Vec<&str> = asks.iter().map(|ask| ask.text.as_str()).collect();
        Ok(context.response(self.answer(&texts.join(" "), &context)))
    }

    async fn expand(&self, request: Request<Ask>) -> Result<Response<Answers>, Status> {
        let (context, ask) = Context::of(request);
        if ask.answers == 0 && ask.end() == End::Fail {
            return Err(context.status(ask.code));
        }
        let answers = self.clone().answers(ask, context.clone());
        Ok(context.response(Box::pin(answers)))
    }

    async fn chat(&self, request: Request<Streaming<Ask>>) -> Result<Response<Answers>, Status> {
        let (context, asks) = Context::of(request);
        let (echo, each) = (self.clone(), context.clone());
        let answers = asks.flat_map(move |ask| -> Answers {
            match ask {
                Ok(ask) => Box::pin(echo.clone().answers(ask, each.clone())),
                Err(status) => Box::pin(once(ready(Err(status)))),
            }
        });
        Ok(context.response(Box::pin(answers)))
    }
}

/// The assignment of a call, and the metadata that is returned to the caller.
#[derive(Clone)]
struct Context {
    assignment: Option<Assignment>,
    metadata: MetadataMap,
}

impl Context {
    fn of<T>(request: Request<T>) -> (Self, T) {
        let assignment = request.extensions().get::<Assignment>().cloned();
        let mut metadata = MetadataMap::new();
        if let Some(value) = request.metadata().get("x-ask") {
            metadata.insert("x-answer", value.clone());
        }
        if let Some(value) = request.metadata().get_bin("x-ask-bin") {
            metadata.insert_bin("x-answer-bin", value.clone());
        }
        (Self { assignment, metadata }, request.into_inner())
    }

    /// Rates an empty answer as bad, although its status is OK.
    fn rate(&self, ask: &Ask) {
        let Some(assignment) = &self.assignment else { return };
        let rating = if ask.text.is_empty() { Rating::Bad } else { Rating::Good };
        assignment.rate(rating);
        // Fails in deployments without this event, which is fine.
        let _ = assignment.rate_event("answered", rating);
    }

    fn response<T>(&self, message: T) -> Response<T> {
        let mut response = Response::new(message);
        *response.metadata_mut() = self.metadata.clone();
        response
    }

    fn status(&self, code: u32) -> Status {
        let code = Code::from(i32::try_from(code).expect("a gRPC code"));
        Status::with_metadata(code, "intentional test failure", self.metadata.clone())
    }
}
