//! Canaries in tonic.

use bytes::Bytes;
use http::Response;
use tonic::{body::Body, server::NamedService};

use crate::service::{
    box_error::BoxError,
    boxed::BoxedCanaryService,
    canary_service::CanaryService,
    map_body::{BodyMapping, MapBody},
};

/// Has the name of stable, as `Server::builder().add_service(layer.layer(greeter))` requires.
impl<S: NamedService, C> NamedService for CanaryService<S, C> {
    const NAME: &'static str = S::NAME;
}

/// Has the name of stable.
impl<S: NamedService, C, B> NamedService for BoxedCanaryService<S, C, B> {
    const NAME: &'static str = S::NAME;
}

/// Has the name of the inner service.
impl<S: NamedService, M> NamedService for MapBody<S, M> {
    const NAME: &'static str = S::NAME;
}

/// Converts the response bodies of a service to tonic's body type.
///
/// Both channels of a canary must have the same body type. Wrap a canary whose middleware changes
/// the body type, such as [`OnRuntime`](crate::runtime::OnRuntime):
///
/// ```ignore
/// let v2 = Routes::new(ShopServer::new(ShopV2)).prepare();
/// let v2 = TonicBody::new(OnRuntime::new(runtime.handle().clone(), v2));
/// let layer = CanaryLayer::new("shop", v2);
/// ```
pub type TonicBody<S> = MapBody<S, ToTonicBody>;

/// The [`BodyMapping`] of [`TonicBody`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ToTonicBody;

impl<B> BodyMapping<Response<B>> for ToTonicBody
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;

    fn map(response: Response<B>) -> Response<Body> {
        response.map(Body::new)
    }
}
