use std::sync::{Mutex, PoisonError};

use http::Request;

use crate::options::MirrorOptions;

/// The canary service.
pub(crate) struct Target<C> {
    /// Locked because services need not be `Sync`. Calls of stable never take this lock.
    service: Mutex<C>,
    #[cfg(feature = "axum")]
    rematch: Option<tower_canary::internal::Rematch>,
}

impl<C: 'static> Target<C> {
    #[cfg(feature = "axum")]
    pub(crate) fn new(canary: C, options: &MirrorOptions) -> Self {
        let (canary, is_router) = tower_canary::internal::prepare(canary);
        let rematch = (is_router || options.canary_is_router).then(Default::default);
        Self { service: Mutex::new(canary), rematch }
    }

    #[cfg(not(feature = "axum"))]
    pub(crate) fn new(canary: C, _: &MirrorOptions) -> Self {
        Self { service: Mutex::new(canary) }
    }
}

impl<C: Clone> Target<C> {
    /// Returns a clone of the canary that is not ready yet, and prepares `request` for it.
    ///
    /// The canary's router must not see the matches of stable's router in `request`.
    pub(crate) fn service_for<B>(&self, request: &mut Request<B>) -> C {
        #[cfg(feature = "axum")]
        if let Some(rematch) = &self.rematch {
            rematch.prepare(request);
        }
        #[cfg(not(feature = "axum"))]
        let _ = request;
        self.service.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
