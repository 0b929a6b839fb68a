use axum::response::{IntoResponse, Response};

use crate::service::map_body::{BodyMapping, MapBody};

/// Converts the responses of a service to axum's response type.
///
/// `axum::serve` requires this type. It is needed to serve a
/// [`CanaryService`](crate::CanaryService) around whole routers, which is the cheapest mount:
///
/// ```
/// use axum::{Router, ServiceExt, extract::Request, routing::get};
/// use tower::Layer;
/// use tower_canary::{CanaryLayer, axum::AxumBody};
///
/// let v1 = Router::new().route("/", get(|| async { "v1" })).with_state(());
/// let v2 = Router::new().route("/", get(|| async { "v2" }));
/// let app = AxumBody::new(CanaryLayer::new("checkout", v2).layer(v1));
/// let make_service = ServiceExt::<Request>::into_make_service(app);
/// // axum::serve(listener, make_service).await?;
/// # let _ = make_service;
/// ```
pub type AxumBody<S> = MapBody<S, ToAxumBody>;

/// The [`BodyMapping`] of [`AxumBody`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ToAxumBody;

impl<R: IntoResponse> BodyMapping<R> for ToAxumBody {
    type Response = Response;

    fn map(response: R) -> Response {
        response.into_response()
    }
}
