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

/// The canary, to be probed: the service itself, and not the layer that sends it a share of calls.
#[derive(Clone)]
pub struct ProbeTarget {
    call: Arc<dyn Fn(Request<ProbeBody>) -> ProbeFuture + Send + Sync>,
    pub(super) url: Option<Uri>,
}

/// A call of the canary under way.
pub(super) type ProbeFuture =
    Pin<Box<dyn Future<Output = Result<Response<ProbeBody>, BoxError>> + Send>>;

impl ProbeTarget {
    /// A service that is called in the process, and how it takes a body.
    ///
    /// A clone of it is called each time, once it is ready. Requests have a path, and no host but in
    /// the header.
    ///
    /// ```
    /// use axum::{Router, body::Body, routing::get};
    /// use canary_controller::probe::ProbeTarget;
    ///
    /// let v2 = Router::new().route("/health", get(async || "fine"));
    /// let target = ProbeTarget::service(v2, Body::new); // What `ProbeTarget::router(v2)` does.
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
        // A lock, because few services are `Sync` by promise; it is held for a clone alone.
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

    /// An axum router that is called in the process.
    #[cfg(feature = "axum")]
    #[must_use]
    pub fn router(router: axum::Router) -> Self {
        Self::service(router, axum::body::Body::new)
    }

    /// gRPC services that are called in the process.
    #[cfg(feature = "tonic")]
    #[must_use]
    pub fn routes(routes: tonic::service::Routes) -> Self {
        Self::service(routes.prepare(), tonic::body::Body::new)
    }

    /// A canary in another process, by the URL before the paths of probes: "http://10.0.0.7:8080".
    ///
    /// The transport sends HTTP probes: `HttpTransport`, or one of your own. Those of gRPC's health
    /// protocol, with the feature `tonic`, have a connection of their own, by HTTP/2; over https they
    /// need the feature `webhook`, too.
    ///
    /// # Errors
    ///
    /// If the URL is not absolute, neither http nor https, or has a query.
    pub fn url(url: &str, transport: impl Transport) -> Result<Self, InvalidTarget> {
        let invalid = |why: &str| InvalidTarget { url: url.to_owned(), why: why.to_owned() };
        let base: Uri = url.parse().map_err(|_| invalid("no URL"))?;
        if !matches!(base.scheme_str(), Some("http" | "https")) || base.host().is_none() {
            return Err(invalid("expected one such as \"http://10.0.0.7:8080\""));
        }
        if base.query().is_some() {
            return Err(invalid("expected one without a query"));
        }
        let transport = Arc::new(transport);
        let (target, own_base) = (base.clone(), base);
        let call = move |request: Request<ProbeBody>| -> ProbeFuture {
            let (transport, base) = (Arc::clone(&transport), own_base.clone());
            Box::pin(async move {
                let (mut head, _empty) = request.into_parts();
                head.uri = below(&base, &head.uri)?;
                head.headers.remove(http::header::HOST);
                let request = Request::from_parts(head, Bytes::new());
                let response = transport.send(request, MAX_BODY_BYTES).await?;
                Ok(response.map(|bytes| ProbeBody::new(http_body_util::Full::new(bytes))))
            })
        };
        Ok(Self { call: Arc::new(call), url: Some(target) })
    }

    pub(super) fn call(&self, request: Request<ProbeBody>) -> ProbeFuture {
        (self.call)(request)
    }
}

impl fmt::Debug for ProbeTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.url.as_ref().map(|url| RedactedUrl::of(url).to_string());
        f.debug_struct("ProbeTarget").field("url", &place).finish_non_exhaustive()
    }
}

/// The URL of a path of a canary whose paths begin at `base`.
fn below(base: &Uri, path: &Uri) -> Result<Uri, http::Error> {
    let prefix = base.path().trim_end_matches('/');
    let path = path.path_and_query().map_or("/", PathAndQuery::as_str);
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(format!("{prefix}{path}").parse()?);
    Ok(Uri::from_parts(parts)?)
}

/// A URL that is no [`ProbeTarget`]. The message names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InvalidTarget {
    url: String,
    why: String,
}

impl fmt::Display for InvalidTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "URL {:?} to probe: {}", self.url, self.why)
    }
}

impl error::Error for InvalidTarget {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_asked_for_below_the_url() {
        let below = |base: &str, path: &str| {
            below(&base.parse().unwrap(), &path.parse().unwrap()).unwrap().to_string()
        };
        assert_eq!(below("http://a:81", "/health?deep=1"), "http://a:81/health?deep=1");
        assert_eq!(below("https://a/v2/", "/health"), "https://a/v2/health");
    }
}
