/// The position of a service among axum's routers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum MountPosition {
    /// Stable's router may have matched a route already.
    Anywhere,
    /// Around the router of stable, which has not matched a route yet.
    #[cfg(feature = "axum")]
    AroundRouter,
}
