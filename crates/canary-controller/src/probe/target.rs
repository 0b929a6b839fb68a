use std::{
    error, fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Request, Response, Uri, uri::PathAndQuery};
use http_body::Body;
use tower_service::Service;

use super::body::ProbeBody;
use crate::{
    BoxError,
    body::MAX_BODY_BYTES,
    webhook::{RedactedUrl, Transport},
};

/// The canary service to probe. Probes bypass the layer that splits the traffic.
#[derive(Clone)]
pub struct ProbeTarget {
    call: Arc<dyn Fn(Request<ProbeBody>) -> ProbeFuture + Send + Sync>,
    pub(super) url: Option<Uri>,
}

/// The future of a call to the canary.
pub(super) type ProbeFuture =
    Pin<Box<dyn Future<Output = Result<Response<ProbeBody>, BoxError>> + Send>>;

impl ProbeTarget {
    /// Creates a target that calls a service in this process. `wrap` converts a [`ProbeBody`] to
    /// the body type of the service.
    ///
    /// Each probe clones the service, waits until the clone is ready, and calls it. The URI of a
    /// request consists of a path and a query; the host is in the header `host` only.
    ///
    /// ```
    /// use axum::{Router, body::Body, routing::get};
    /// use canary_controller::probe::ProbeTarget;
    ///
    /// let v2 = Router::new().route("/health", get(async || "fine"));
    /// let target = ProbeTarget::service(v2, Body::new); // The same as `ProbeTarget::router(v2)`.
    /// # let _ = target;
    /// ```
    pub fn service<S, B, R>(
        service: S,
        wrap: impl Fn(ProbeBody) -> B + Send + Sync + 'static,
    ) -> Self
    where
        S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Send + 'static,
        R: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        // A mutex, because services need not be `Sync`. It is locked only for the clone.
        let service = Mutex::new(service);
        let call = move |request: Request<ProbeBody>| -> ProbeFuture {
            let mut service = service.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let request = request.map(&wrap);
            Box::pin(async move {
                poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
                let response = service.call(request).await.map_err(Into::into)?;
                Ok(response.map(ProbeBody::new))
            })
        };
        Self { call: Arc::new(call), url: None }
    }

    /// Creates a target that calls an axum router in this process.
    #[cfg(feature = "axum")]
    #[must_use]
    pub fn router(router: axum::Router) -> Self {
        Self::service(router, axum::body::Body::new)
    }

    /// Creates a target that calls gRPC services in this process.
    #[cfg(feature = "tonic")]
    #[must_use]
    pub fn routes(routes: tonic::service::Routes) -> Self {
        Self::service(routes.prepare(), tonic::body::Body::new)
    }

    /// Creates a target that calls a canary in another process. Paths of probes are appended to the
    /// URL, such as "http://10.0.0.7:8080".
    ///
    /// HTTP probes are sent with the transport. gRPC health probes (feature `tonic`) use a separate
    /// HTTP/2 connection; with https they also need the feature `webhook`.
    ///
    /// # Errors
    ///
    /// Returns an error if the URL is not an absolute http or https URL, or has a query.
    pub fn url(url: &str, transport: impl Transport) -> Result<Self, InvalidTarget> {
        let invalid = |why: &str| InvalidTarget { url: url.to_owned(), why: why.to_owned() };
        let base: Uri = url.parse().map_err(|_| invalid("invalid URL"))?;
        if !matches!(base.scheme_str(), Some("http" | "https")) || base.host().is_none() {
            return Err(invalid("expected a URL such as \"http://10.0.0.7:8080\""));
        }
        if base.query().is_some() {
            return Err(invalid("expected a URL without a query"));
        }
        let transport = Arc::new(transport);
        let target_url = base.clone();
        let call = move |request: Request<ProbeBody>| -> ProbeFuture {
            let (transport, base) = (Arc::clone(&transport), base.clone());
            Box::pin(async move {
                let (mut head, _empty) = request.into_parts();
                head.uri = join(&base, &head.uri)?;
                head.headers.remove(http::header::HOST);
                let request = Request::from_parts(head, Bytes::new());
                let response = transport.send(request, MAX_BODY_BYTES).await?;
                Ok(response.map(|bytes| ProbeBody::new(http_body_util::Full::new(bytes))))
            })
        };
        Ok(Self { call: Arc::new(call), url: Some(target_url) })
    }

    pub(super) fn call(&self, request: Request<ProbeBody>) -> ProbeFuture {
        (self.call)(request)
    }
}

impl fmt::Debug for ProbeTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.as_ref().map(|url| RedactedUrl::of(url).to_string());
        f.debug_struct("ProbeTarget").field("url", &url).finish_non_exhaustive()
    }
}

/// Appends a path to the base URL.
fn join(base: &Uri, path: &Uri) -> Result<Uri, http::Error> {
    let prefix = base.path().trim_end_matches('/');
    let path = path.path_and_query().map_or("/", PathAndQuery::as_str);
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(format!("{prefix}{path}").parse()?);
    Ok(Uri::from_parts(parts)?)
}

/// The error for an invalid URL of a [`ProbeTarget`]. The message contains the URL.
#[derive(Clone, Eq, PartialEq)]
pub struct InvalidTarget {
    url: String,
    why: String,
}

impl fmt::Display for InvalidTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "probe URL {:?}: {}", self.url, self.why)
    }
}

impl error::Error for InvalidTarget {}

canary_core::debug_as_display!(InvalidTarget);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_appended_to_the_base_url() {
        let join = |base: &str, path: &str| {
            join(&base.parse().unwrap(), &path.parse().unwrap()).unwrap().to_string()
        };
        assert_eq!(join("http://a:81", "/health?deep=1"), "http://a:81/health?deep=1");
        assert_eq!(join("https://a/v2/", "/health"), "https://a/v2/health");
    }
}
