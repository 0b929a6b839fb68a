use axum::Router;
use http::Request;
use tower_layer::Layer;
use tower_service::Service;

use crate::service::layer::CanaryLayer;

/// Adds a canary beside a whole router.
pub trait RouterExt: Sized {
    /// Assigns each call to this router or to the canary of `layer`, before routes are matched.
    ///
    /// In contrast, `self.layer(layer)` wraps each route of this router after it matched. With
    /// `canary`, methods and paths that only the canary has are served by the canary, and canary
    /// calls are cheaper. On the other hand stable calls cost more, layers added outside see no
    /// `MatchedPath`, and the result cannot be merged with another router that has a fallback. The
    /// [module documentation](crate::axum) compares the mounts.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use tower_canary::{CanaryLayer, axum::RouterExt};
    ///
    /// let v1 = Router::new().route("/", get(|| async { "v1" }));
    /// let v2 = Router::new().route("/", get(|| async { "v2" }));
    /// let app: Router = v1.canary(CanaryLayer::new("checkout", v2));
    /// # let _ = app;
    /// ```
    fn canary<C>(self, layer: CanaryLayer<C>) -> Router
    where
        C: Service<
                Request<axum::body::Body>,
                Response = axum::response::Response,
                Error = std::convert::Infallible,
                Future: Send,
            > + Clone
            + Send
            + Sync
            + 'static;
}

impl RouterExt for Router {
    fn canary<C>(self, layer: CanaryLayer<C>) -> Router
    where
        C: Service<
                Request<axum::body::Body>,
                Response = axum::response::Response,
                Error = std::convert::Infallible,
                Future: Send,
            > + Clone
            + Send
            + Sync
            + 'static,
    {
        Self::new().fallback_service(layer.around_router().layer(self.with_state(())))
    }
}
