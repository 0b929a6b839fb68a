use std::{fmt, time::Duration};

use canary_core::Weight;

use crate::{
    compare::{ByField, Compare},
    fields::Difference,
    select::{SafeMethods, Select},
};
use tower_canary::Bypass;

/// What a [`MirrorLayer`](crate::MirrorLayer) can be told beyond its name and its canary.
///
/// ```
/// use std::time::Duration;
/// use tower_canary::Weight;
/// use tower_canary_mirror::{ByField, MirrorOptions};
///
/// let options = MirrorOptions::new()
///     .share(Weight::from_percent(1))
///     .noise_share(Weight::from_percent(10))
///     .concurrency(4)
///     .time_limit(Duration::from_secs(2))
///     .compare(ByField::new().ignore("/generated_at"))
///     .redact(|difference| {
///         if difference.field.ends_with("/email") {
///             difference.stable = "(redacted)".to_owned();
///             difference.canary = "(redacted)".to_owned();
///         }
///     });
/// # let _ = options;
/// ```
#[must_use]
pub struct MirrorOptions {
    pub(super) share: Weight,
    pub(super) noise_share: Weight,
    pub(super) request_limit: usize,
    pub(super) response_limit: usize,
    pub(super) memory_limit: usize,
    pub(super) queue: usize,
    pub(super) concurrency: usize,
    pub(super) time_limit: Duration,
    pub(super) bypass: Bypass,
    pub(super) select: Box<dyn Select>,
    pub(super) compare: Box<dyn Compare>,
    pub(super) redact: Box<dyn Redact>,
    #[cfg(feature = "axum")]
    pub(super) canary_is_router: bool,
}

impl MirrorOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            share: Weight::ZERO,
            noise_share: Weight::ZERO,
            request_limit: 64 << 10,
            response_limit: 256 << 10,
            memory_limit: 32 << 20,
            queue: 128,
            concurrency: 8,
            time_limit: Duration::from_secs(10),
            bypass: Bypass::default(),
            select: Box::new(SafeMethods),
            compare: Box::new(ByField::new()),
            redact: Box::new(|_: &mut Difference| {}),
            #[cfg(feature = "axum")]
            canary_is_router: false,
        }
    }

    /// The share of the calls that are copied, of those that may be. The default is zero. It can be
    /// [changed](crate::MirrorHandle::set_share) later.
    pub fn share(mut self, share: Weight) -> Self {
        self.share = share;
        self
    }

    /// The share of the copied calls of which stable is sent a second copy, to learn what differs from
    /// answer to answer. The default is zero: it costs stable's capacity. With any other, the first twenty
    /// copies are sent twice, so that what is random is known early. It can be
    /// [changed](crate::MirrorHandle::set_noise_share) later.
    pub fn noise_share(mut self, share: Weight) -> Self {
        self.noise_share = share;
        self
    }

    /// The bytes of a request's body that are copied at most. The default is 64 KiB.
    pub fn request_limit(mut self, bytes: usize) -> Self {
        self.request_limit = bytes;
        self
    }

    /// The bytes of a response's body that are compared at most. The default is 256 KiB.
    pub fn response_limit(mut self, bytes: usize) -> Self {
        self.response_limit = bytes;
        self
    }

    /// The bytes that all copies together hold at most, requests and answers of both channels. The default
    /// is 32 MiB.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// How many copies wait for their turn at most. The default is 128.
    pub fn queue(mut self, copies: usize) -> Self {
        self.queue = copies;
        self
    }

    /// How many copies are under way at most, each at the canary or, later, at stable. The default is 8.
    ///
    /// # Panics
    ///
    /// If it is zero: no copy would ever be sent. To send none set the share to zero.
    pub fn concurrency(mut self, copies: usize) -> Self {
        assert!(copies > 0, "the concurrency of a mirror is 0: expected at least 1");
        self.concurrency = copies;
        self
    }

    /// How long the canary's answer may take, to its end. The default is 10 seconds.
    pub fn time_limit(mut self, time: Duration) -> Self {
        self.time_limit = time;
        self
    }

    /// The paths whose calls are never copied. The default are health checks and the like.
    pub fn bypass(mut self, bypass: Bypass) -> Self {
        self.bypass = bypass;
        self
    }

    /// Which calls may be copied. The default are [`SafeMethods`].
    pub fn select(mut self, select: impl Select) -> Self {
        self.select = Box::new(select);
        self
    }

    /// How answers are compared. The default is [`ByField`].
    pub fn compare(mut self, compare: impl Compare) -> Self {
        self.compare = Box::new(compare);
        self
    }

    /// Changes each difference before it is kept to be looked at. One at which it panics is not kept.
    pub fn redact(mut self, redact: impl Fn(&mut Difference) + Send + Sync + 'static) -> Self {
        self.redact = Box::new(redact);
        self
    }

    /// Says that the canary contains an axum `Router`, behind middleware of its own; see
    /// [`CanaryOptions::canary_is_router`](tower_canary::CanaryOptions::canary_is_router).
    #[cfg(feature = "axum")]
    pub fn canary_is_router(mut self) -> Self {
        self.canary_is_router = true;
        self
    }
}

impl Default for MirrorOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MirrorOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MirrorOptions")
            .field("share", &self.share)
            .field("noise_share", &self.noise_share)
            .field("request_limit", &self.request_limit)
            .field("response_limit", &self.response_limit)
            .field("memory_limit", &self.memory_limit)
            .field("queue", &self.queue)
            .field("concurrency", &self.concurrency)
            .field("time_limit", &self.time_limit)
            .field("bypass", &self.bypass)
            .finish_non_exhaustive()
    }
}

/// Changes a difference before it is kept.
pub(super) trait Redact: Fn(&mut Difference) + Send + Sync + 'static {}

impl<F: Fn(&mut Difference) + Send + Sync + 'static> Redact for F {}
