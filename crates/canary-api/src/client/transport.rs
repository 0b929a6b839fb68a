use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;
use serde::de::DeserializeOwned;

use super::{
    base_url::{BaseUrl, Path},
    error::ClientError,
};
use crate::problem::Problem;

/// Sends requests, and reads responses.
#[derive(Clone, Debug)]
pub(super) struct Transport {
    pub(super) base: BaseUrl,
    pub(super) silence_limit: Duration,
    authorization: Option<HeaderValue>,
    timeout: Duration,
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Transport {
    pub(super) fn new(
        base: BaseUrl,
        authorization: Option<HeaderValue>,
        tls: ClientConfig,
        timeout: Duration,
        silence_limit: Duration,
    ) -> Self {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let http = HttpClient::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .build(connector);
        Self { base, silence_limit, authorization, timeout, http }
    }

    /// Sends a request, and returns the JSON body of its response.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        request: RequestParts,
    ) -> Result<T, ClientError> {
        let url = self.base.resource(&request.path);
        let exchange = async {
            let response = self.exchange(&url, request, "application/json").await?;
            let status = response.status();
            let body = read(&url, response).await?;
            serde_json::from_slice(&body).map_err(|error| {
                ClientError::protocol(&url, status, format!("expected other JSON: {error}"))
            })
        };
        self.limited(&url, exchange).await
    }

    /// Sends a request, and returns its response as soon as the head is there.
    pub(super) async fn open_stream(
        &self,
        request: RequestParts,
    ) -> Result<Response<Incoming>, ClientError> {
        let url = self.base.resource(&request.path);
        self.limited(&url, self.exchange(&url, request, "text/event-stream")).await
    }

    async fn limited<T>(
        &self,
        url: &str,
        exchange: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(|_| {
            Err(ClientError::Timeout { url: url.to_owned(), after: self.timeout })
        })
    }

    /// Returns a successful response of the media type.
    async fn exchange(
        &self,
        url: &str,
        parts: RequestParts,
        media_type: &'static str,
    ) -> Result<Response<Incoming>, ClientError> {
        let request = self.request(url, parts, media_type)?;
        let response = self.http.request(request).await.map_err(|error| {
            if error.is_connect() {
                ClientError::connect(self.base.as_str(), &error)
            } else {
                ClientError::lost(url, &error)
            }
        })?;
        if !response.status().is_success() {
            return Err(problem(url, response).await);
        }
        if !has_media_type(response.headers(), media_type) {
            return Err(not_this_api(url, &response, media_type));
        }
        Ok(response)
    }

    fn request(
        &self,
        url: &str,
        parts: RequestParts,
        media_type: &'static str,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let RequestParts { method, path: _, mut headers, body } = parts;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() =
            url.parse().map_err(|error| ClientError::Url(format!("url {url:?}: {error}")))?;
        headers.insert(header::ACCEPT, HeaderValue::from_static(media_type));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.extend(self.authorization.clone().map(|value| (header::AUTHORIZATION, value)));
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// A request to a resource.
#[derive(Debug)]
pub(super) struct RequestParts {
    pub(super) method: Method,
    pub(super) path: Path,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

async fn read(url: &str, response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            ClientError::protocol(url, status, format!("expected at most {MAX_BODY} bytes"))
        } else {
            ClientError::lost(url, &*error)
        }
    })
}

/// Returns the error of a response without success.
async fn problem(url: &str, response: Response<Incoming>) -> ClientError {
    if !has_media_type(response.headers(), "application/problem+json") {
        return not_this_api(url, &response, "application/problem+json");
    }
    let status = response.status();
    match read(url, response).await {
        Ok(body) => match serde_json::from_slice::<Problem>(&body) {
            // Programs decide by the status, also if a proxy changed it.
            Ok(problem) => {
                ClientError::Problem(Box::new(Problem { status: status.as_u16(), ..problem }))
            }
            Err(error) => ClientError::protocol(url, status, format!("status {status}: {error}")),
        },
        Err(error) => error,
    }
}

fn not_this_api(url: &str, response: &Response<Incoming>, expected: &str) -> ClientError {
    let status = response.status();
    let text =
        |name| response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let reason = match text(header::LOCATION) {
        Some(location) if status.is_redirection() => {
            format!("it redirects to {location:?}; use that URL if you trust it")
        }
        _ if status == StatusCode::UNAUTHORIZED || is_gateway_failure(status) => {
            format!("status {status}")
        }
        _ => format!(
            "expected {expected}, found {} with status {status}; is this the URL of a canary API?",
            text(header::CONTENT_TYPE).unwrap_or("no content".into()),
        ),
    };
    ClientError::protocol(url, status, reason)
}

fn is_gateway_failure(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

fn has_media_type(headers: &HeaderMap, expected: &str) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = value.and_then(|value| value.split(';').next());
    media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(expected))
}

/// The list of 64 canaries with eight monitors each takes about 1 MB.
const MAX_BODY: usize = 16 * 1024 * 1024;

const USER_AGENT: &str = concat!("canary-api/", env!("CARGO_PKG_VERSION"));

/// Shorter than the ten seconds after which the server closes an idle connection, so that no command is
/// sent on a connection that is about to be closed.
const IDLE_LIMIT: Duration = Duration::from_secs(5);
