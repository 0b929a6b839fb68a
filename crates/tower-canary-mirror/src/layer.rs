use std::{fmt, sync::Arc};

use canary_core::CanaryName;
use tower_layer::Layer;

use crate::{
    handle::MirrorHandle, mirror::Mirror, options::MirrorOptions, service::MirrorService,
    target::Target, valid::valid,
};

/// Mirrors a share of the requests of a service to a canary.
///
/// All services that the layer wraps belong to the same mirror. See the [crate
/// documentation](crate).
pub struct MirrorLayer<C> {
    mirror: Arc<Mirror>,
    target: Arc<Target<C>>,
}

impl<C: 'static> MirrorLayer<C> {
    /// Creates a mirror with this name that sends requests to `canary`, with the default options.
    ///
    /// # Panics
    ///
    /// Panics if `name` is not a valid [`CanaryName`].
    pub fn new(name: impl TryInto<CanaryName, Error: fmt::Display>, canary: C) -> Self {
        Self::with_options(name, canary, MirrorOptions::new())
    }

    /// Creates a mirror with this name that sends requests to `canary`.
    ///
    /// # Panics
    ///
    /// Panics if `name` is not a valid [`CanaryName`].
    pub fn with_options(
        name: impl TryInto<CanaryName, Error: fmt::Display>,
        canary: C,
        options: MirrorOptions,
    ) -> Self {
        let target = Arc::new(Target::new(canary, &options));
        let mirror = Arc::new(Mirror::new(valid(name), options));
        #[cfg(feature = "metrics")]
        crate::metrics::register(&mirror);
        Self { mirror, target }
    }
}

impl<C> MirrorLayer<C> {
    /// Returns a handle that controls and observes the mirror.
    #[must_use]
    pub fn handle(&self) -> MirrorHandle {
        MirrorHandle::new(Arc::clone(&self.mirror))
    }
}

impl<S, C> Layer<S> for MirrorLayer<C> {
    type Service = MirrorService<S, C>;

    fn layer(&self, stable: S) -> Self::Service {
        MirrorService::new(stable, Arc::clone(&self.mirror), Arc::clone(&self.target))
    }
}

impl<C> Clone for MirrorLayer<C> {
    fn clone(&self) -> Self {
        Self { mirror: Arc::clone(&self.mirror), target: Arc::clone(&self.target) }
    }
}

impl<C> fmt::Debug for MirrorLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MirrorLayer")
            .field("name", &self.mirror.name)
            .field("share", &self.mirror.share.get())
            .finish_non_exhaustive()
    }
}
