use std::{fmt, sync::Arc};

use canary_core::CanaryName;
use tower_layer::Layer;

use crate::{
    config::{options::CanaryOptions, valid::valid},
    control::{epoch::default_shards, handle::CanaryHandle, state::ControlState},
    service::{canary_service::CanaryService, mount_position::MountPosition},
};

/// Adds a canary to the service it is applied to.
///
/// The layer starts at weight zero; use its [`handle`](Self::handle) to change the weight. All
/// services that the layer is applied to share one weight and one set of counts. The
/// [crate documentation](crate) has examples.
///
/// The response bodies have a type of their own, [`ResponseBody`](crate::body::ResponseBody). Where
/// the type must not change, use [`boxed`](Self::boxed).
#[derive(Clone)]
pub struct CanaryLayer<C> {
    canary: C,
    control: Arc<ControlState>,
    position: MountPosition,
}

impl<C: 'static> CanaryLayer<C> {
    /// Creates a layer for a canary with the [default options](CanaryOptions).
    ///
    /// # Panics
    ///
    /// Panics if `name` is a string that is not a valid [`CanaryName`]. Parse strings from outside
    /// the program first.
    pub fn new(name: impl TryInto<CanaryName, Error: fmt::Display>, canary: C) -> Self {
        Self::with_options(name, canary, CanaryOptions::new())
    }

    /// Creates a layer for a canary.
    ///
    /// # Panics
    ///
    /// Panics if `name` is a string that is not a valid [`CanaryName`], if the variables do not
    /// deserialize into the [type](CanaryOptions::typed_variables) in the options, or if all calls are
    /// gRPC and the [fallback](crate::Fallback) has no condition.
    pub fn with_options(
        name: impl TryInto<CanaryName, Error: fmt::Display>,
        canary: C,
        options: CanaryOptions,
    ) -> Self {
        #[cfg(feature = "axum")]
        let (canary, options) = match crate::axum::prepare(canary) {
            (router, true) => (router, options.canary_is_router()),
            (other, false) => (other, options),
        };
        let config = Arc::new(options.into_config(valid(name)));
        let control = Arc::new(ControlState::new(config, default_shards()));
        let layer = Self { canary, control, position: MountPosition::Anywhere };
        layer.handle().announce();
        layer
    }

    /// Returns a handle that controls and observes the canary.
    #[must_use]
    pub fn handle(&self) -> CanaryHandle {
        CanaryHandle::new(Arc::clone(&self.control))
    }
}

#[cfg(feature = "axum")]
impl<C> CanaryLayer<C> {
    pub(crate) fn around_router(self) -> Self {
        Self { position: MountPosition::AroundRouter, ..self }
    }
}

impl<S, C: Clone> Layer<S> for CanaryLayer<C> {
    type Service = CanaryService<S, C>;

    fn layer(&self, stable: S) -> Self::Service {
        CanaryService::new(stable, self.canary.clone(), Arc::clone(&self.control), self.position)
    }
}

impl<C> fmt::Debug for CanaryLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CanaryLayer")
            .field("name", &self.control.config().name)
            .field("weight", &self.control.weight())
            .finish_non_exhaustive()
    }
}
