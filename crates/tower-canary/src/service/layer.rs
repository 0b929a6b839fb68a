use std::{fmt, sync::Arc};

use canary_core::CanaryName;
use tower_layer::Layer;

use crate::{
    config::{options::CanaryOptions, valid::valid},
    control::{epoch::default_shards, handle::CanaryHandle, state::ControlState},
    service::canary_service::CanaryService,
};

/// Puts a canary beside the service it is applied to.
///
/// See the [crate's documentation](crate) for examples. The layer begins at weight zero; its
/// [`handle`](Self::handle) changes it. However many services it is applied to, in whichever router,
/// they share one weight and one set of counts.
#[derive(Clone)]
pub struct CanaryLayer<C> {
    canary: C,
    control: Arc<ControlState>,
    position: Position,
}

/// Where a service of the layer stands among axum's routers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Position {
    /// Anywhere: stable's router may have matched a route already.
    Anywhere,
    /// Around a whole router: stable's router and the canary's have the same before them.
    #[cfg(feature = "axum")]
    AroundRouter,
}

impl<C: 'static> CanaryLayer<C> {
    /// A canary of this name, which `canary` serves.
    ///
    /// # Panics
    ///
    /// If `name` is a text that is no [`CanaryName`]. Parse one that is not a literal beforehand.
    pub fn new(name: impl TryInto<CanaryName, Error: fmt::Display>, canary: C) -> Self {
        Self::with_options(name, canary, CanaryOptions::new())
    }

    /// As [`new`](Self::new), with options.
    ///
    /// # Panics
    ///
    /// If `name` is a text that is no [`CanaryName`]: parse one that is not a literal beforehand. If the
    /// variables are not of the [type](CanaryOptions::typed_variables) that the options name.
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
        let layer = Self { canary, control, position: Position::Anywhere };
        layer.handle().announce();
        layer
    }

    /// The handle by which the canary is controlled and observed.
    #[must_use]
    pub fn handle(&self) -> CanaryHandle {
        CanaryHandle::new(Arc::clone(&self.control))
    }
}

#[cfg(feature = "axum")]
impl<C> CanaryLayer<C> {
    pub(crate) fn around_router(self) -> Self {
        Self { position: Position::AroundRouter, ..self }
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
