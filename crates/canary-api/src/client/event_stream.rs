use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::{
    base_url::Path,
    error::ClientError,
    event_parser::{EventParser, MAX_EVENT, ServerSentEvent},
    transport::{RequestParts, Transport},
};
use crate::event::{EventId, StreamItem};

/// The stream of a canary: its stored events, each once and in order, and its state about once per
/// second.
///
/// An error is not the end of the stream. After a [transient](ClientError::is_transient) error it
/// waits, at most five seconds, and connects again after the last event that it has returned; the next
/// item shows that it is live. It ends after any other error, and after [`StreamItem::Gone`].
pub struct EventStream(Pin<Box<dyn Stream<Item = Result<StreamItem, ClientError>> + Send>>);

impl EventStream {
    pub(super) fn new(transport: Transport, canary: &str, after: Option<EventId>) -> Self {
        let path = Path::of_canary(canary, "events");
        let source = Source {
            transport,
            path,
            last: after,
            open: None,
            failures: 0,
            delay: None,
            is_over: false,
        };
        Self(Box::pin(stream::unfold(source, |mut source| async {
            let item = source.next().await?;
            Some((item, source))
        })))
    }
}

impl Stream for EventStream {
    type Item = Result<StreamItem, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").finish_non_exhaustive()
    }
}

struct Source {
    transport: Transport,
    path: Path,
    last: Option<EventId>,
    open: Option<OpenStream>,
    /// The failures since the last item.
    failures: u32,
    /// The delay before the next connection that the server asked for.
    delay: Option<Duration>,
    is_over: bool,
}

struct OpenStream {
    url: String,
    status: StatusCode,
    body: Incoming,
    parser: EventParser,
}

impl Source {
    async fn next(&mut self) -> Option<Result<StreamItem, ClientError>> {
        if self.is_over {
            return None;
        }
        let item = self.next_item().await;
        match &item {
            Ok(item) => {
                self.failures = 0;
                self.is_over = *item == StreamItem::Gone;
            }
            Err(error) => {
                self.open = None;
                self.failures = self.failures.saturating_add(1);
                self.is_over = !error.is_transient();
            }
        }
        Some(item)
    }

    async fn next_item(&mut self) -> Result<StreamItem, ClientError> {
        let silence_limit = self.transport.silence_limit;
        let open = match &mut self.open {
            Some(open) => open,
            none => {
                if let Some(delay) = delay(self.failures, self.delay) {
                    tokio::time::sleep(delay).await;
                }
                none.insert(connect(&self.transport, &self.path, self.last.as_ref()).await?)
            }
        };
        loop {
            while let Some(event) = open.parser.next() {
                self.delay = open.parser.retry();
                if let Some(id) = &event.id {
                    self.last = Some(EventId::new(id.clone()));
                }
                if let Some(item) = open.item(&event)? {
                    if matches!(item, StreamItem::Reset) {
                        self.last = None;
                    }
                    return Ok(item);
                }
            }
            let read = tokio::time::timeout(silence_limit, open.read()).await;
            read.map_err(|_| open.lost(&format!("silent for {}s", silence_limit.as_secs_f64())))??;
        }
    }
}

async fn connect(
    transport: &Transport,
    path: &Path,
    last: Option<&EventId>,
) -> Result<OpenStream, ClientError> {
    let url = transport.base.resource(path);
    let mut headers = HeaderMap::new();
    if let Some(id) = last {
        headers.insert("last-event-id", id_header(id)?);
    }
    let body = Bytes::new();
    let request = RequestParts { method: Method::GET, path: path.clone(), headers, body };
    let (head, body) = transport.open_stream(request).await?.into_parts();
    Ok(OpenStream { url, status: head.status, body, parser: EventParser::default() })
}

impl OpenStream {
    /// Reads the next bytes.
    async fn read(&mut self) -> Result<(), ClientError> {
        match self.body.frame().await {
            Some(Ok(frame)) => {
                let bytes = frame.into_data().unwrap_or_default();
                self.parser.push(&bytes).map_err(|_| {
                    self.unexpected(format!("expected events of at most {MAX_EVENT} bytes"))
                })
            }
            Some(Err(error)) => Err(ClientError::lost(&self.url, &error)),
            None => Err(self.lost("the server has closed it")),
        }
    }

    /// Returns the item of an event; `None` for a kind of a newer server.
    fn item(&self, event: &ServerSentEvent) -> Result<Option<StreamItem>, ClientError> {
        Ok(Some(match event.kind.as_str() {
            "event" => StreamItem::Event(self.parse(event)?),
            "view" => StreamItem::View(self.parse(event)?),
            "reset" => StreamItem::Reset,
            "gone" => StreamItem::Gone,
            _ => return Ok(None),
        }))
    }

    fn parse<T: DeserializeOwned>(&self, event: &ServerSentEvent) -> Result<T, ClientError> {
        serde_json::from_str(&event.data).map_err(|error| {
            self.unexpected(format!("expected other JSON in {:?}: {error}", event.kind))
        })
    }

    fn unexpected(&self, reason: String) -> ClientError {
        ClientError::protocol(&self.url, self.status, reason)
    }

    fn lost(&self, reason: &str) -> ClientError {
        ClientError::Lost { url: self.url.clone(), reason: reason.to_owned() }
    }
}

/// Returns the time to wait before a connection: none for the first, and then twice as long each time.
fn delay(failures: u32, server: Option<Duration>) -> Option<Duration> {
    let doublings = failures.checked_sub(1)?;
    let delay = FIRST_DELAY.saturating_mul(2_u32.saturating_pow(doublings));
    Some(delay.max(server.unwrap_or_default()).min(LONGEST_DELAY))
}

pub(super) fn id_header(id: &EventId) -> Result<HeaderValue, ClientError> {
    HeaderValue::from_str(id.as_str()).map_err(|_| {
        ClientError::Settings(format!("event id {:?}: expected an id of the server", id.as_str()))
    })
}

const FIRST_DELAY: Duration = Duration::from_millis(250);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
