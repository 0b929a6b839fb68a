use std::{
    env, fmt,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use canary_core::Secret;
use canary_rollout::plan::Webhook;
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use tokio::time::{sleep, timeout};

use super::{
    backoff::{Backoff, retry_after},
    redacted_url::RedactedUrl,
    signature::{is_delivery, sign},
    transport::Transport,
};
use crate::{
    BoxError, USER_AGENT, body::MAX_BODY_BYTES, bounded_text::bounded, error_chain,
    isolated::panic_message, requirements::Requirement,
};

/// Posts JSON to the webhooks of plans.
///
/// A request without a response, or with the status 408, 425, 429 or 5xx, is retried as often as
/// the plan allows, with exponential backoff. All attempts have the same body and the same
/// `x-canary-delivery`. `Retry-After` extends a pause, up to the maximum of the [`Backoff`].
/// Redirects are not followed.
///
/// Clones are cheap and share the configuration.
#[derive(Clone)]
pub struct WebhookClient {
    transport: Option<Arc<dyn Transport>>,
    /// `None` stands for the environment.
    secrets: Option<SecretSource>,
    backoff: Backoff,
}

type SecretSource = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The final response of a webhook.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The first 64 KiB of the body.
    pub body: Bytes,
    /// The number of requests sent.
    pub requests: u32,
}

/// The error of [`WebhookClient::post`].
///
/// Messages contain the origin of the URL only: its path and query may be secret.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// The webhook is misconfigured. [`check_plan`](crate::notify::Notifier::check_plan) detects
    /// it.
    #[error("{0}")]
    Invalid(String),
    /// The last request had no response in time.
    #[error("{origin} did not answer within {timeout:?}{}", times(*requests))]
    Timeout {
        /// The scheme, host and port of the URL.
        origin: String,
        /// The time limit of each request.
        timeout: Duration,
        /// The number of requests sent.
        requests: u32,
    },
    /// The last request failed.
    #[error("{origin} could not be reached{}", times(*requests))]
    Unreachable {
        /// The scheme, host and port of the URL.
        origin: String,
        /// The number of requests sent.
        requests: u32,
        /// The error of the last request.
        source: BoxError,
    },
}

canary_core::debug_as_display!(PostError);

impl WebhookClient {
    /// The maximum number of retries. Plans with more are rejected.
    pub const MAX_RETRIES: u32 = 10;

    /// The minimum length of a [`Secret`] in bytes. Plans with a secret that is invalid, such as a
    /// shorter one, are rejected.
    pub const MIN_SECRET_LEN: usize = Secret::MIN_LENGTH;

    /// The beginning of the names of environment variables that hold secrets. A plan that names another
    /// variable is rejected, unless [`secrets`](Self::secrets) is set.
    pub const SECRET_PREFIX: &str = "CANARY_";

    /// Creates a client that sends with this transport and takes secrets from the environment.
    #[must_use]
    pub fn new(transport: impl Transport) -> Self {
        Self { transport: Some(Arc::new(transport)), ..Self::without_transport() }
    }

    /// Creates a client that cannot send. Plans with webhooks are rejected.
    #[must_use]
    pub fn without_transport() -> Self {
        Self { transport: None, secrets: None, backoff: Backoff::default() }
    }

    /// Creates a client that sends with an [`HttpTransport`](super::HttpTransport).
    ///
    /// # Errors
    ///
    /// Returns an error if the system has no root certificates.
    #[cfg(feature = "webhook")]
    pub fn try_http() -> Result<Self, super::RootsError> {
        super::HttpTransport::try_new().map(Self::new)
    }

    /// Sets the source of secrets. The default is the environment, limited to variables whose names
    /// begin with [`SECRET_PREFIX`](Self::SECRET_PREFIX). The function decides which names it allows:
    /// anyone who can write plans gets requests with each of these secrets.
    ///
    /// The function maps a plan's `secret_env` to the text of a [`Secret`], and each name in `headers_env` to the
    /// value of a header. It is called for every request, so that secrets can be rotated. It must not block.
    #[must_use]
    pub fn secrets(
        mut self,
        secrets: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.secrets = Some(Arc::new(secrets));
        self
    }

    /// Sets the pauses between attempts. The default is [`Backoff::default`].
    #[must_use]
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Posts a JSON body, and retries as configured.
    ///
    /// `delivery` is the value of `x-canary-delivery`, which identifies retries to receivers. It must
    /// be visible ASCII without a dot. Dropping the future cancels the current request and all retries.
    ///
    /// # Errors
    ///
    /// Returns an error if the last request had no response, or if the webhook is misconfigured. A
    /// response is never an error, whatever its status.
    pub async fn post(
        &self,
        webhook: &Webhook,
        delivery: &str,
        body: impl Into<Bytes>,
    ) -> Result<Reply, PostError> {
        let body = body.into();
        let uri = self.target(webhook).map_err(PostError::Invalid)?;
        if !is_delivery(delivery) {
            let message = format!("delivery {delivery:?}: expected visible ASCII without a dot");
            return Err(PostError::Invalid(message));
        }
        let mut requests = 0;
        loop {
            let request = self.request(webhook, &uri, delivery, &body)?;
            let outcome = self.send(request, webhook.timeout, &RedactedUrl::of(&uri)).await;
            requests += 1;
            let is_final =
                matches!(&outcome, RequestOutcome::Response(response) if !asks_for_retry(response));
            if is_final || requests > webhook.retries.min(Self::MAX_RETRIES) {
                return outcome.into_reply(requests, webhook.timeout, &RedactedUrl::of(&uri));
            }
            let delay = match &outcome {
                RequestOutcome::Response(response) => {
                    retry_after(response.headers(), SystemTime::now())
                }
                RequestOutcome::TimedOut | RequestOutcome::Failed(_) => None,
            };
            sleep(self.backoff.pause(requests, delay, rand::random())).await;
        }
    }

    /// Returns what is missing to post to the webhook in this field of a plan.
    pub(crate) fn unmet_requirements(&self, field: &str, webhook: &Webhook) -> Vec<Requirement> {
        let mut requirements = Vec::new();
        if self.transport.is_none() {
            requirements.push(Requirement::new(field, NO_TRANSPORT));
        }
        if let Err(message) = self.target(webhook) {
            requirements.push(Requirement::new(format!("{field}.url"), message));
        }
        if webhook.retries > Self::MAX_RETRIES {
            let (retries, max) = (webhook.retries, Self::MAX_RETRIES);
            let message = format!("{retries} retries, expected at most {max}");
            requirements.push(Requirement::new(format!("{field}.retries"), message));
        }
        if let Err(message) = self.secret(webhook) {
            requirements.push(Requirement::new(format!("{field}.secret_env"), message));
        }
        for (header, variable) in &webhook.headers_env {
            if let Err(message) = self.header(header, variable) {
                let field = format!("{field}.headers_env.{header}");
                requirements.push(Requirement::new(field, message));
            }
        }
        requirements
    }

    fn target(&self, webhook: &Webhook) -> Result<Uri, String> {
        let uri = uri_of(&webhook.url)?;
        self.transport.as_ref().map_or(Ok(()), |transport| transport.check_target(&uri))?;
        Ok(uri)
    }

    fn secret(&self, webhook: &Webhook) -> Result<Option<Secret>, String> {
        let Some(name) = &webhook.secret_env else { return Ok(None) };
        let secret = Secret::try_for_signing(self.variable(name)?);
        secret.map(Some).map_err(|error| format!("the environment variable {name}: {error}"))
    }

    /// Returns a header whose value is not shown in logs.
    fn header(&self, name: &str, variable: &str) -> Result<(HeaderName, HeaderValue), String> {
        let text = self.variable(variable)?;
        // Files usually end with a line break, and variables filled from them do, too.
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let is_text = !line.is_empty() && line.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let value = HeaderValue::from_str(line).ok().filter(|_| is_text);
        let expected = "expected visible ASCII and spaces as the value of a header";
        let mut value =
            value.ok_or_else(|| format!("the environment variable {variable}: {expected}"))?;
        value.set_sensitive(true);
        // The plan has checked the name.
        let name = name.parse::<HeaderName>().map_err(|error| error.to_string())?;
        Ok((name, value))
    }

    /// Returns the text of an environment variable that a plan names.
    fn variable(&self, name: &str) -> Result<String, String> {
        let prefix = Self::SECRET_PREFIX;
        let text = match &self.secrets {
            Some(secrets) => secrets(name),
            None if name.starts_with(prefix) => {
                env::var_os(name).map(|it| it.to_string_lossy().into_owned())
            }
            None => {
                return Err(format!(
                    "the environment variable {name}: expected a name that begins with {prefix}"
                ));
            }
        };
        text.ok_or_else(|| format!("the environment variable {name} is not set"))
    }

    fn request(
        &self,
        webhook: &Webhook,
        uri: &Uri,
        delivery: &str,
        body: &Bytes,
    ) -> Result<Request<Bytes>, PostError> {
        // Each attempt gets a new timestamp and signature, because receivers reject old ones.
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, USER_AGENT)
            .header("x-canary-delivery", delivery)
            .header("x-canary-timestamp", since_1970);
        if let Some(secret) = self.secret(webhook).map_err(PostError::Invalid)? {
            let signature = sign(secret.as_bytes(), since_1970, delivery, body);
            request = request.header("x-canary-signature", signature);
        }
        for (name, variable) in &webhook.headers_env {
            let (name, value) = self.header(name, variable).map_err(PostError::Invalid)?;
            request = request.header(name, value);
        }
        request.body(body.clone()).map_err(|error| PostError::Invalid(error.to_string()))
    }

    async fn send(
        &self,
        request: Request<Bytes>,
        limit: Duration,
        origin: &RedactedUrl,
    ) -> RequestOutcome {
        let Some(transport) = &self.transport else {
            return RequestOutcome::Failed(NO_TRANSPORT.into());
        };
        // The transport may be user code, and its panic must not end the rollout.
        let sending = AssertUnwindSafe(async { transport.send(request, MAX_BODY_BYTES).await });
        let outcome = match timeout(limit, sending.catch_unwind()).await {
            Ok(Ok(Ok(response))) => RequestOutcome::Response(response),
            Ok(Ok(Err(error))) => RequestOutcome::Failed(error),
            Ok(Err(payload)) => {
                RequestOutcome::Failed(format!("panicked: {}", panic_message(payload)).into())
            }
            Err(_) => RequestOutcome::TimedOut,
        };
        tracing::debug!(target: "canary::webhook", %origin, %outcome, "sent a webhook");
        outcome
    }
}

impl Reply {
    /// Returns the reason in the body: the field `reason` of a JSON object, or a text that is
    /// neither JSON nor HTML. It is cut to 256 bytes.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct ReplyBody {
            reason: Option<String>,
        }
        // Some services write a byte order mark, which serde_json refuses.
        let body = self.body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&self.body);
        let reason = match serde_json::from_slice::<ReplyBody>(body) {
            Ok(body) => body.reason?,
            Err(_) if body.starts_with(b"{") || body.starts_with(b"<") => return None,
            Err(_) => str::from_utf8(body).ok()?.to_owned(),
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

/// The outcome of one request.
enum RequestOutcome {
    Response(Response<Bytes>),
    TimedOut,
    Failed(BoxError),
}

impl RequestOutcome {
    fn into_reply(
        self,
        requests: u32,
        timeout: Duration,
        origin: &RedactedUrl,
    ) -> Result<Reply, PostError> {
        let origin = origin.to_string();
        match self {
            Self::Response(response) => {
                Ok(Reply { status: response.status(), body: response.into_body(), requests })
            }
            Self::TimedOut => Err(PostError::Timeout { origin, timeout, requests }),
            Self::Failed(source) => Err(PostError::Unreachable { origin, requests, source }),
        }
    }
}

impl fmt::Display for RequestOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response(response) => write!(f, "{}", response.status()),
            Self::TimedOut => f.write_str("no response in time"),
            Self::Failed(error) => f.write_str(&error_chain::with_causes(&**error)),
        }
    }
}

fn asks_for_retry(response: &Response<Bytes>) -> bool {
    matches!(
        response.status(),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
    ) || response.status().is_server_error()
}

fn uri_of(url: &str) -> Result<Uri, String> {
    let uri = url.parse::<Uri>().map_err(|error| format!("invalid URL: {error}"))?;
    let has_user = uri.authority().is_some_and(|it| it.as_str().contains('@'));
    // Without this, the request would go to the default port of the scheme.
    let after_host = uri.authority().map(|it| it.as_str().rsplit([']', '@']).next().unwrap_or(""));
    let has_invalid_port = after_host.is_some_and(|it| it.contains(':'))
        && uri.port_u16().is_none_or(|port| port == 0);
    match uri.scheme_str() {
        Some("http" | "https") if has_user => {
            Err(format!("{}: expected a URL without user and password", RedactedUrl::of(&uri)))
        }
        Some("http" | "https") if has_invalid_port => {
            Err(format!("{}: expected a port of 1 to 65535", RedactedUrl::of(&uri)))
        }
        Some("http" | "https") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(uri),
        _ => Err("expected a URL that begins with https:// or http://".to_owned()),
    }
}

fn times(requests: u32) -> String {
    if requests > 1 { format!(" ({requests} requests)") } else { String::new() }
}

const REASON_BYTES: usize = 256;

const NO_TRANSPORT: &str = "there is no transport for webhooks: use `WebhookClient::try_http` \
     (feature `webhook`), or pass one to `WebhookClient::new`";
