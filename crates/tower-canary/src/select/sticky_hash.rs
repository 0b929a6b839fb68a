use canary_core::StickySecret;

/// The hash that assigns sticky keys to channels; see
/// [`CanaryOptions::sticky_hash`](crate::CanaryOptions::sticky_hash).
///
/// Every replica calculates the channel of a key from the key, the salt and the weight. A caller
/// who can do the same can choose keys for a channel, unless the service accepts only keys that it
/// has issued. Such a caller can send good calls to a broken canary until it is promoted, or bad
/// calls to a good one until it is rolled back.
///
/// | hash | who can compute the channel of a key | replicas agree |
/// |---|---|---|
/// | [from the controller](Self::from_controller), the default | only the service, under a controller | through the store |
/// | [with a secret](Self::with_secret) | all who know the secret | through the configuration |
/// | [published](Self::published) | everyone | always |
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct StickyHash(pub(crate) Choice);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Choice {
    #[default]
    FromController,
    Secret(StickySecret),
    Published,
}

impl StickyHash {
    /// Uses the secret that the controller draws for each rollout and stores with it.
    ///
    /// Without a controller, or until it has loaded its rollout, it is the
    /// [published](Self::published) hash: no verdict depends on the calls then.
    pub const fn from_controller() -> Self {
        Self(Choice::FromController)
    }

    /// Uses SipHash-2-4 with this secret from your configuration, with and without a controller.
    ///
    /// All replicas need the same secret. Other services and languages can compute the channel of a
    /// key if they know it.
    pub const fn with_secret(secret: StickySecret) -> Self {
        Self(Choice::Secret(secret))
    }

    /// Uses the published xxh64, also under a controller. Other services and languages can compute
    /// the channel of a key from the salt, and so can callers who choose their keys.
    ///
    /// Use it only if callers cannot choose their keys: if an outer layer sets them from an
    /// authenticated identity, or if the layer issues signed cookies.
    pub const fn published() -> Self {
        Self(Choice::Published)
    }

    /// Returns the secret of the configuration.
    pub(crate) const fn secret(self) -> Option<StickySecret> {
        match self.0 {
            Choice::Secret(secret) => Some(secret),
            Choice::FromController | Choice::Published => None,
        }
    }

    /// Returns whether a controller sets the secret.
    pub(crate) const fn is_from_controller(self) -> bool {
        matches!(self.0, Choice::FromController)
    }
}
