use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use canary_core::CanaryName;
use http::Request;
use tower_layer::Layer;

use crate::valid::valid;
use crate::{
    handle::MirrorHandle, options::MirrorOptions, runtime::Runtime, service::MirrorService,
    state::Mirror,
};

/// Copies a share of the calls of the service it is applied to, to a canary whose answers it compares and
/// throws away.
///
/// See the [crate's documentation](crate). However many services it is applied to, they share one
/// mirror.
pub struct MirrorLayer<C> {
    mirror: Arc<Mirror>,
    target: Arc<Target<C>>,
}

impl<C: 'static> MirrorLayer<C> {
    /// A mirror of this name to `canary`, on the tokio runtime of each call. It begins with a share of zero.
    ///
    /// # Panics
    ///
    /// If `name` is a text that is no [`CanaryName`]. Parse one that is not a literal beforehand.
    pub fn new(name: impl TryInto<CanaryName, Error: fmt::Display>, canary: C) -> Self {
        Self::with_options(name, canary, MirrorOptions::new())
    }

    /// As [`new`](Self::new), with options.
    ///
    /// # Panics
    ///
    /// If `name` is a text that is no [`CanaryName`]. Parse one that is not a literal beforehand.
    pub fn with_options(
        name: impl TryInto<CanaryName, Error: fmt::Display>,
        canary: C,
        options: MirrorOptions,
    ) -> Self {
        Self::with_runtime(name, canary, options, crate::Tokio::default())
    }

    /// A mirror on a runtime of any kind.
    ///
    /// # Panics
    ///
    /// If `name` is a text that is no [`CanaryName`]. Parse one that is not a literal beforehand.
    pub fn with_runtime(
        name: impl TryInto<CanaryName, Error: fmt::Display>,
        canary: C,
        options: MirrorOptions,
        runtime: impl Runtime,
    ) -> Self {
        let target = Arc::new(Target::new(canary, &options));
        let mirror = Arc::new(Mirror::new(valid(name), options, Box::new(runtime)));
        #[cfg(feature = "metrics")]
        crate::metrics::register(&mirror);
        Self { mirror, target }
    }
}

impl<C> MirrorLayer<C> {
    /// The handle by which the mirror is controlled and observed.
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

/// The canary, to be cloned by the tasks that call it.
pub(crate) struct Target<C> {
    /// In a lock for services that are not `Sync`. Only tasks take it.
    canary: Mutex<C>,
    #[cfg(feature = "axum")]
    rematch: Option<tower_canary::internal::Rematch>,
}

impl<C: 'static> Target<C> {
    #[cfg(feature = "axum")]
    fn new(canary: C, options: &MirrorOptions) -> Self {
        let (canary, is_router) = tower_canary::internal::prepare(canary);
        let rematch = (is_router || options.canary_is_router).then(Default::default);
        Self { canary: Mutex::new(canary), rematch }
    }

    #[cfg(not(feature = "axum"))]
    fn new(canary: C, _: &MirrorOptions) -> Self {
        Self { canary: Mutex::new(canary) }
    }
}

impl<C: Clone> Target<C> {
    /// A canary to be called once, which is not ready yet.
    pub(crate) fn canary(&self) -> C {
        self.canary.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<C> Target<C> {
    /// Makes a request that stable's router has matched look to the canary's as if none had.
    #[cfg_attr(not(feature = "axum"), expect(clippy::unused_self, reason = "as with the feature"))]
    pub(crate) fn prepare<B>(&self, request: &mut Request<B>) {
        #[cfg(feature = "axum")]
        if let Some(rematch) = &self.rematch {
            rematch.prepare(request);
        }
        #[cfg(not(feature = "axum"))]
        let _ = request;
    }
}
