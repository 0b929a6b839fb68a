use std::{fmt, time::Duration};

use canary_core::Weight;
use tokio::runtime::Handle;
use tower_canary::{Bypass, select::Condition};

use crate::{
    compare::{by_field::ByField, comparison::Compare},
    findings::difference::Difference,
};

/// Options of a [`MirrorLayer`](crate::MirrorLayer).
///
/// | option | default |
/// |---|---|
/// | [`share`](Self::share), [`noise_share`](Self::noise_share) | zero |
/// | [`only`](Self::only) | [`Condition::safe_methods`] |
/// | [`bypass`](Self::bypass) | [`Bypass::default`]: health checks, reflection and metrics |
/// | [`compare`](Self::compare) | [`ByField::new`] |
/// | [`request_limit`](Self::request_limit), [`response_limit`](Self::response_limit) | 64 KiB, 256 KiB |
/// | [`memory_limit`](Self::memory_limit) | 32 MiB |
/// | [`concurrency_limit`](Self::concurrency_limit), [`queue_limit`](Self::queue_limit) | 8, 128 |
/// | [`time_limit`](Self::time_limit) | 10 s |
/// | [`runtime`](Self::runtime) | the runtime that serves the call |
///
/// ```
/// use std::time::Duration;
/// use tower_canary::Weight;
/// use tower_canary_mirror::{ByField, MirrorOptions};
///
/// let options = MirrorOptions::new()
///     .share(Weight::from_percent(1))
///     .noise_share(Weight::from_percent(10))
///     .concurrency_limit(4)
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
    pub(crate) share: Weight,
    pub(crate) noise_share: Weight,
    pub(crate) request_limit: usize,
    pub(crate) response_limit: usize,
    pub(crate) memory_limit: usize,
    pub(crate) queue_limit: usize,
    pub(crate) concurrency_limit: usize,
    pub(crate) time_limit: Duration,
    pub(crate) bypass: Bypass,
    pub(crate) only: Condition,
    pub(crate) compare: Box<dyn Compare>,
    pub(crate) redact: Box<Redact>,
    pub(crate) runtime: Option<Handle>,
    #[cfg(feature = "axum")]
    pub(crate) canary_is_router: bool,
}

type Redact = dyn Fn(&mut Difference) + Send + Sync;

impl MirrorOptions {
    /// Returns the default options.
    pub fn new() -> Self {
        Self {
            share: Weight::ZERO,
            noise_share: Weight::ZERO,
            request_limit: 64 << 10,
            response_limit: 256 << 10,
            memory_limit: 32 << 20,
            queue_limit: 128,
            concurrency_limit: 8,
            time_limit: Duration::from_secs(10),
            bypass: Bypass::default(),
            only: Condition::safe_methods(),
            compare: Box::new(ByField::new()),
            redact: Box::new(|_| {}),
            runtime: None,
            #[cfg(feature = "axum")]
            canary_is_router: false,
        }
    }

    /// Sets the initial share of the eligible requests that are mirrored. The default is zero.
    ///
    /// [`MirrorHandle::set_share`](crate::MirrorHandle::set_share) changes it later.
    pub fn share(mut self, share: Weight) -> Self {
        self.share = share;
        self
    }

    /// Sets the initial share of the mirrored requests that are also sent to stable again, to
    /// measure [noise](crate#noise).
    ///
    /// The default is zero because it uses stable's capacity. With any other share, the first
    /// twenty mirrored requests are all sent again, so that the mirror soon knows the fields that
    /// always differ. [`MirrorHandle::set_noise_share`](crate::MirrorHandle::set_noise_share)
    /// changes the share later.
    pub fn noise_share(mut self, share: Weight) -> Self {
        self.noise_share = share;
        self
    }

    /// Sets the requests that are eligible for mirroring.
    ///
    /// If the canary handles a mirrored request that changes data, the data changes twice. The
    /// default is therefore [`Condition::safe_methods`]. All gRPC requests are POST: name the
    /// methods that only read.
    ///
    /// The following requests are never mirrored: upgrades, CONNECT, requests with the header
    /// [`Mirrored::HEADER`](crate::Mirrored::HEADER), and requests that [bypass](Self::bypass) the
    /// mirror. If the condition panics, the request is not mirrored.
    ///
    /// ```
    /// use tower_canary::select::Condition;
    /// use tower_canary_mirror::MirrorOptions;
    ///
    /// let reads = Condition::path("/shop.Catalog/Get").or(Condition::path("/shop.Catalog/List"));
    /// let options = MirrorOptions::new().only(reads);
    /// # let _ = options;
    /// ```
    pub fn only(mut self, condition: Condition) -> Self {
        self.only = condition;
        self
    }

    /// Sets the requests that are never mirrored.
    ///
    /// A [`Condition`] replaces the default. To add to the default, use
    /// `Bypass::default().or(condition)`.
    pub fn bypass(mut self, bypass: impl Into<Bypass>) -> Self {
        self.bypass = bypass.into();
        self
    }

    /// Sets how responses are compared.
    pub fn compare(mut self, compare: impl Compare) -> Self {
        self.compare = Box::new(compare);
        self
    }

    /// Sets a function that changes each difference before the mirror keeps it.
    ///
    /// If the function panics, the mirror does not keep the difference. It still counts.
    pub fn redact(mut self, redact: impl Fn(&mut Difference) + Send + Sync + 'static) -> Self {
        self.redact = Box::new(redact);
        self
    }

    /// Sets the maximum length of a request body in bytes; the default is 64 KiB. Requests with
    /// longer bodies are dropped.
    pub fn request_limit(mut self, bytes: usize) -> Self {
        self.request_limit = bytes;
        self
    }

    /// Sets the maximum length of a response body in bytes; the default is 256 KiB. Longer bodies
    /// are not compared.
    pub fn response_limit(mut self, bytes: usize) -> Self {
        self.response_limit = bytes;
        self
    }

    /// Sets the maximum memory in bytes of all requests and responses that the mirror holds; the
    /// default is 32 MiB. Beyond it, requests are dropped and responses are not compared.
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Sets how many mirrored requests may be in progress, at the canary or at stable again; the
    /// default is 8.
    ///
    /// # Panics
    ///
    /// Panics if `requests` is zero. To mirror nothing, set the share to zero.
    pub fn concurrency_limit(mut self, requests: usize) -> Self {
        assert!(requests > 0, "concurrency limit of a mirror is 0: expected at least 1");
        self.concurrency_limit = requests;
        self
    }

    /// Sets how many mirrored requests may wait while the concurrency limit is reached; the default
    /// is 128. Requests beyond it are dropped.
    pub fn queue_limit(mut self, requests: usize) -> Self {
        self.queue_limit = requests;
        self
    }

    /// Sets the time limit for a mirrored request; the default is ten seconds. It includes waiting
    /// until the service is ready, and the response body.
    pub fn time_limit(mut self, time: Duration) -> Self {
        self.time_limit = time;
        self
    }

    /// Sends mirrored requests on this tokio runtime, which must have its timers enabled.
    ///
    /// A canary that blocks threads then blocks none of stable's. By default, each mirrored request
    /// runs on the runtime that serves the original call.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Declares that the canary contains an axum `Router` inside other middleware.
    ///
    /// See [`CanaryOptions::canary_is_router`](tower_canary::CanaryOptions::canary_is_router).
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
            .field("queue_limit", &self.queue_limit)
            .field("concurrency_limit", &self.concurrency_limit)
            .field("time_limit", &self.time_limit)
            .field("bypass", &self.bypass)
            .finish_non_exhaustive()
    }
}
