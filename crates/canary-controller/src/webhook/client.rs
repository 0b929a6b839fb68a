use std::{
    env, fmt,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use canary_rollout::{Webhook, bounded};
use futures_util::FutureExt;
use http::{Method, Request, Response, StatusCode, Uri, header};
use tokio::time::{sleep, timeout};

use super::{
    backoff::{Backoff, asked_pause},
    redacted_url::RedactedUrl,
    signature::sign,
    transport::Transport,
};
use crate::{
    BoxError, USER_AGENT, body::MAX_BODY_BYTES, error_chain, isolated::panic_text,
    requirements::Need,
};

/// Posts JSON to a plan's webhooks.
///
/// A request that gets no answer in time, or one that says "later" (408, 425, 429 and 5xx), is
/// repeated as often as the plan says, with pauses that grow; it keeps its body and its
/// `x-canary-delivery`. A longer pause that `Retry-After` asks for is kept, up to
/// [`Backoff`]'s bound. Redirects are not followed.
///
/// Clones are cheap, and the same client.
#[derive(Clone)]
pub struct WebhookClient {
    transport: Option<Arc<dyn Transport>>,
    secrets: Secrets,
    backoff: Backoff,
}

type Secrets = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What a webhook answered.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Reply {
    /// The status, whatever it is.
    pub status: StatusCode,
    /// The body's first 64 KiB.
    pub body: Bytes,
    /// How many requests that took.
    pub requests: u32,
}

/// Why a webhook could not be told.
///
/// It names the host, and neither path nor query, which may be secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// It cannot be sent: [`check_plan`](crate::notify::Notifier::check_plan) would have said so.
    #[error("{0}")]
    Invalid(String),
    /// No answer came in time, not to the last request either.
    #[error("{origin} did not answer within {within:?}{}", times(*requests))]
    Timeout {
        /// Scheme, host and port.
        origin: String,
        /// The time that each request had.
        within: Duration,
        /// How many there were.
        requests: u32,
    },
    /// It could not be reached, not by the last request either.
    #[error("{origin} could not be reached{}", times(*requests))]
    Unreachable {
        /// Scheme, host and port.
        origin: String,
        /// How many requests there were.
        requests: u32,
        /// Why the last one failed.
        source: BoxError,
    },
}

impl WebhookClient {
    /// A plan that wants more repetitions is refused.
    pub const MAX_RETRIES: u32 = 10;

    /// A plan whose secret is shorter is refused. Make one by `openssl rand -hex 32`.
    pub const MIN_SECRET_LEN: usize = 16;

    /// Sends by this transport. Secrets are the environment's.
    #[must_use]
    pub fn new(transport: impl Transport) -> Self {
        Self { transport: Some(Arc::new(transport)), ..Self::without_transport() }
    }

    /// Sends nothing: plans with webhooks are refused.
    #[must_use]
    pub fn without_transport() -> Self {
        let secrets = Arc::new(|name: &str| env::var(name).ok());
        Self { transport: None, secrets, backoff: Backoff::default() }
    }

    /// Sends over http and https, trusting whom the system trusts.
    ///
    /// # Errors
    ///
    /// If the system has no root certificates.
    #[cfg(feature = "webhook")]
    pub fn try_http() -> Result<Self, super::RootsError> {
        super::HttpTransport::try_new().map(Self::new)
    }

    /// Takes secrets from elsewhere than the environment. It is given the names that plans have, and
    /// asked anew for every request, so that secrets can be rotated; it must not block.
    #[must_use]
    pub fn secrets(
        mut self,
        secrets: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.secrets = Arc::new(secrets);
        self
    }

    /// Pauses otherwise between a request that failed and the next.
    #[must_use]
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Posts a JSON body, and again until there is an answer that is final.
    ///
    /// `delivery` becomes `x-canary-delivery`, by which receivers know repetitions: visible ASCII.
    /// Dropping the future stops the request under way and those to come.
    ///
    /// # Errors
    ///
    /// If there is no answer to the last request. An answer is none, whatever its status.
    pub async fn post(
        &self,
        webhook: &Webhook,
        delivery: &str,
        body: impl Into<Bytes>,
    ) -> Result<Reply, PostError> {
        let body = body.into();
        let uri = uri_of(&webhook.url).map_err(PostError::Invalid)?;
        let mut requests = 0;
        loop {
            let request = self.request(webhook, &uri, delivery, &body)?;
            let answer = self.answer(request, webhook.timeout, &RedactedUrl::of(&uri)).await;
            requests += 1;
            let is_final =
                matches!(&answer, RequestOutcome::Response(response) if !says_later(response));
            if is_final || requests > webhook.retries.min(Self::MAX_RETRIES) {
                return answer.into_reply(requests, webhook.timeout, &RedactedUrl::of(&uri));
            }
            let asked = match &answer {
                RequestOutcome::Response(response) => {
                    asked_pause(response.headers(), SystemTime::now())
                }
                RequestOutcome::TimedOut | RequestOutcome::Failed(_) => None,
            };
            sleep(self.backoff.pause(requests, asked, rand::random())).await;
        }
    }

    /// What the process lacks to post to the webhook in this field of a plan.
    pub(crate) fn needs(&self, field: &str, webhook: &Webhook) -> Vec<Need> {
        let mut needs = Vec::new();
        if self.transport.is_none() {
            let remedy = "the feature `webhook` of canary-controller brings one";
            needs.push(Need::new(field, format!("there is no transport for webhooks: {remedy}")));
        }
        if let Err(message) = uri_of(&webhook.url) {
            needs.push(Need::new(format!("{field}.url"), message));
        }
        if webhook.retries > Self::MAX_RETRIES {
            let (retries, most) = (webhook.retries, Self::MAX_RETRIES);
            let message = format!("{retries} retries: expected up to {most}");
            needs.push(Need::new(format!("{field}.retries"), message));
        }
        if let Err(message) = self.secret(webhook) {
            needs.push(Need::new(format!("{field}.secret_env"), message));
        }
        needs
    }

    fn secret(&self, webhook: &Webhook) -> Result<Option<String>, String> {
        let Some(name) = &webhook.secret_env else { return Ok(None) };
        let shortest = Self::MIN_SECRET_LEN;
        match (self.secrets)(name) {
            None => Err(format!("the environment variable {name} is not set")),
            Some(secret) if secret.len() < shortest => Err(format!(
                "the secret in {name} has {} bytes: expected {shortest} at least",
                secret.len(),
            )),
            Some(secret) => Ok(Some(secret)),
        }
    }

    fn request(
        &self,
        webhook: &Webhook,
        uri: &Uri,
        delivery: &str,
        body: &Bytes,
    ) -> Result<Request<Bytes>, PostError> {
        // Signed for each request anew: the window in which receivers take it is short.
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, USER_AGENT)
            .header("x-canary-delivery", delivery)
            .header("x-canary-timestamp", since_1970);
        if let Some(secret) = self.secret(webhook).map_err(PostError::Invalid)? {
            let signature = sign(secret.as_bytes(), since_1970, body);
            request = request.header("x-canary-signature", signature);
        }
        request.body(body.clone()).map_err(|error| PostError::Invalid(error.to_string()))
    }

    async fn answer(
        &self,
        request: Request<Bytes>,
        within: Duration,
        origin: &RedactedUrl,
    ) -> RequestOutcome {
        let Some(transport) = &self.transport else {
            return RequestOutcome::Failed("there is no transport for webhooks".into());
        };
        // A transport is somebody else's code, and its panic not the rollout's.
        let sent = AssertUnwindSafe(async { transport.send(request, MAX_BODY_BYTES).await });
        let answer = match timeout(within, sent.catch_unwind()).await {
            Ok(Ok(Ok(response))) => RequestOutcome::Response(response),
            Ok(Ok(Err(error))) => RequestOutcome::Failed(error),
            Ok(Err(payload)) => {
                RequestOutcome::Failed(format!("panicked: {}", panic_text(payload)).into())
            }
            Err(_) => RequestOutcome::TimedOut,
        };
        tracing::debug!(target: "canary::webhook", %origin, %answer, "posted");
        answer
    }
}

impl Reply {
    /// What the answer says: the `reason` of a JSON object, or a short text; else nothing.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Reasoned {
            reason: Option<String>,
        }
        let reason = match serde_json::from_slice::<Reasoned>(&self.body) {
            Ok(reasoned) => reasoned.reason?,
            Err(_) if self.body.starts_with(b"{") || self.body.starts_with(b"<") => return None,
            Err(_) => str::from_utf8(&self.body).ok()?.to_owned(),
        };
        Some(bounded(&reason, REASON_BYTES)).filter(|reason| !reason.is_empty())
    }
}

impl fmt::Debug for WebhookClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("WebhookClient");
        f.field("has_transport", &self.transport.is_some()).field("backoff", &self.backoff);
        f.finish_non_exhaustive()
    }
}

/// What came of one request.
enum RequestOutcome {
    Response(Response<Bytes>),
    TimedOut,
    Failed(BoxError),
}

impl RequestOutcome {
    fn into_reply(
        self,
        requests: u32,
        within: Duration,
        origin: &RedactedUrl,
    ) -> Result<Reply, PostError> {
        let origin = origin.to_string();
        match self {
            Self::Response(response) => {
                Ok(Reply { status: response.status(), body: response.into_body(), requests })
            }
            Self::TimedOut => Err(PostError::Timeout { origin, within, requests }),
            Self::Failed(source) => Err(PostError::Unreachable { origin, requests, source }),
        }
    }
}

impl fmt::Display for RequestOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response(response) => write!(f, "{}", response.status()),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Failed(error) => f.write_str(&error_chain::with_causes(&**error)),
        }
    }
}

fn says_later(response: &Response<Bytes>) -> bool {
    matches!(
        response.status(),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
    ) || response.status().is_server_error()
}

fn uri_of(url: &str) -> Result<Uri, String> {
    let uri = url.parse::<Uri>().map_err(|error| format!("no URL: {error}"))?;
    let has_user = uri.authority().is_some_and(|it| it.as_str().contains('@'));
    match uri.scheme_str() {
        Some("http" | "https") if has_user => {
            Err(format!("{}: expected a URL without user and password", RedactedUrl::of(&uri)))
        }
        Some("http" | "https") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(uri),
        _ => Err("expected a URL that begins with https:// or http://".to_owned()),
    }
}

fn times(requests: u32) -> String {
    if requests > 1 { format!(" ({requests} requests)") } else { String::new() }
}

const REASON_BYTES: usize = 256;
