use std::{
    fmt,
    num::{NonZeroU32, NonZeroUsize},
};

use arc_swap::ArcSwapOption;
use canary_core::{CanaryName, PerChannel, ReleaseId};
use serde::de::DeserializeOwned;

use crate::{
    config::{
        bypass::Bypass,
        canary_config::CanaryConfig,
        classify::{Classifier, Classify, ServerErrors},
        concurrency_limit::{ConcurrencyLimit, KeyConcurrencyLimit},
        tags::Tags,
        valid::valid,
    },
    counting::{key_shares::KeyCap, route_classes::RouteClasses},
    feedback::{FeedbackOptions, store::RatingStore},
    select::{Select, StickyHash, sticky::KeyFunction},
    service::{fallback::Fallback, protocol::Protocol, served_methods::ServedMethods},
    variables::{
        Variables,
        sets::VariableSets,
        typed::{ParseVariables, parse_as},
    },
};

mod keys;

/// The options of a [`CanaryLayer`](crate::CanaryLayer).
///
/// | option | default |
/// |---|---|
/// | [`stable_release`](Self::stable_release), [`canary_release`](Self::canary_release) | none |
/// | [`tags`](Self::tags) | the response header `x-canary-channel`, and the [`Assignment`](crate::Assignment) in the request |
/// | [`cacheable_canary`](Self::cacheable_canary) | off: shared caches do not store responses of the canary below a weight of 100 % |
/// | [`classify`](Self::classify) | [`ServerErrors`]: HTTP statuses from 500 up, and gRPC codes of server errors |
/// | [`protocol`](Self::protocol) | each call shows whether it is gRPC |
/// | [`bypass`](Self::bypass) | [health checks, gRPC reflection and metrics](Bypass) |
/// | [`select`](Self::select) | every call at random, by the weight |
/// | [`sticky_hash`](Self::sticky_hash) | a secret from the controller |
/// | [`caller_key`](Self::caller_key) | only sticky calls have a key |
/// | [`evidence_per_key`](Self::evidence_per_key) | 0.05 |
/// | [`route_classes`](Self::route_classes) | none |
/// | [`variables`](Self::variables) | none, for both channels |
/// | [`typed_variables`](Self::typed_variables) | variables are not deserialized |
/// | [`feedback`](Self::feedback) | [`FeedbackOptions::new`] |
/// | `time_limit` (feature `tokio`) | none, for both channels |
/// | [`concurrency_limit`](Self::concurrency_limit), [`concurrency_limit_per_key`](Self::concurrency_limit_per_key) | none |
/// | [`fallback`](Self::fallback) | none: callers get the failures of the canary |
/// | `canary_is_router` (feature `axum`) | on if the canary is a `Router`, else off |
///
/// ```
/// use tower_canary::{Bypass, CanaryLayer, CanaryOptions, Tags, select::Condition};
///
/// # let v2 = tower::service_fn(|_: http::Request<()>| async {
/// #     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
/// # });
/// let options = CanaryOptions::new()
///     .stable_release("v1.9.2")
///     .canary_release("v2.0.0")
///     .tags(Tags::default().release_header())
///     .bypass(Bypass::default().or(Condition::path("/ping")));
/// let layer = CanaryLayer::with_options("checkout", v2, options);
/// # let _ = layer;
/// ```
#[must_use]
pub struct CanaryOptions {
    releases: PerChannel<Option<ReleaseId>>,
    tags: Tags,
    cacheable_canary: bool,
    classify: Classifier,
    protocol: Option<Protocol>,
    bypass: Bypass,
    select: Option<Box<dyn Select>>,
    sticky_hash: StickyHash,
    caller_key: Option<Box<KeyFunction>>,
    key_cap: KeyCap,
    route_classes: RouteClasses,
    variables: VariableSets,
    parse_variables: Option<ParseVariables>,
    feedback: FeedbackOptions,
    #[cfg(feature = "tokio")]
    time_limits: PerChannel<Option<std::time::Duration>>,
    concurrency_limit: Option<NonZeroUsize>,
    concurrency_limit_per_key: Option<NonZeroU32>,
    fallback: Option<Fallback>,
    #[cfg(feature = "axum")]
    rematch: Option<crate::axum::Rematch>,
}

impl CanaryOptions {
    /// Returns the default options.
    pub fn new() -> Self {
        Self {
            releases: PerChannel::default(),
            tags: Tags::default(),
            cacheable_canary: false,
            classify: Classifier::new(ServerErrors::default()),
            protocol: None,
            bypass: Bypass::default(),
            select: None,
            sticky_hash: StickyHash::from_controller(),
            caller_key: None,
            key_cap: KeyCap::DEFAULT,
            route_classes: RouteClasses::new(),
            variables: VariableSets::default(),
            parse_variables: None,
            feedback: FeedbackOptions::new(),
            #[cfg(feature = "tokio")]
            time_limits: PerChannel::default(),
            concurrency_limit: None,
            concurrency_limit_per_key: None,
            fallback: None,
            #[cfg(feature = "axum")]
            rematch: None,
        }
    }

    /// Sets the release that the stable channel runs.
    ///
    /// # Panics
    ///
    /// Panics if `release` is a string that is not a valid [`ReleaseId`]. Parse strings from
    /// outside the program first.
    pub fn stable_release(mut self, release: impl TryInto<ReleaseId, Error: fmt::Display>) -> Self {
        self.releases.stable = Some(valid(release));
        self
    }

    /// Sets the release that the canary channel runs.
    ///
    /// # Panics
    ///
    /// Panics if `release` is a string that is not a valid [`ReleaseId`]. Parse strings from
    /// outside the program first.
    pub fn canary_release(mut self, release: impl TryInto<ReleaseId, Error: fmt::Display>) -> Self {
        self.releases.canary = Some(valid(release));
        self
    }

    /// Sets the marks that show which channel served a call.
    pub fn tags(mut self, tags: Tags) -> Self {
        self.tags = tags;
        self
    }

    /// Lets shared caches store responses of the canary.
    ///
    /// By default, HTTP responses of the canary get `cache-control: private` while its weight is
    /// below 100 %, and lose all headers that permit a shared cache to store them. Otherwise, a
    /// cache in front of the service could serve one response of the canary to all callers,
    /// whatever the weight is. Responses of stable do not change, unless the tags are
    /// [hidden](Tags::show_to) from the caller.
    ///
    /// A response that sets an [`IssuedCookie`](crate::select::IssuedCookie) stays private in any
    /// case.
    pub const fn cacheable_canary(mut self) -> Self {
        self.cacheable_canary = true;
        self
    }

    /// Sets which responses count as failures.
    pub fn classify(mut self, classify: impl Classify) -> Self {
        self.classify = Classifier::new(classify);
        self
    }

    /// Sets the protocol of all calls.
    ///
    /// By default, a call is gRPC if its request and its response are, see [`Protocol`]. Set it for
    /// a service with one protocol:
    ///
    /// - `Protocol::Grpc` makes a response that is not gRPC a failure, such as a page of HTML with
    ///   status 200.
    /// - `Protocol::Http` is for a service that sends a content type of the caller's choice, as a
    ///   file store does.
    ///
    /// ```
    /// use tower_canary::{CanaryOptions, classify::Protocol};
    ///
    /// let options = CanaryOptions::new().protocol(Protocol::Grpc);
    /// # let _ = options;
    /// ```
    pub const fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// Sets the calls that bypass the canary.
    ///
    /// A [`Condition`](crate::select::Condition) replaces the default. To add to the default, use
    /// `Bypass::default().or(condition)`.
    pub fn bypass(mut self, bypass: impl Into<Bypass>) -> Self {
        self.bypass = bypass.into();
        self
    }

    /// Sets the policy that assigns calls to a channel; see [`select`](crate::select).
    pub fn select(mut self, policy: impl Select) -> Self {
        self.select = Some(Box::new(policy));
        self
    }

    /// Sets the classes of routes that are also counted separately.
    ///
    /// The monitors of a rollout's plan can refer to them.
    pub fn route_classes(mut self, classes: RouteClasses) -> Self {
        self.route_classes = classes;
        self
    }

    /// Sets the variables of the stage, and those that the canary overrides; see [`Variables`].
    pub fn variables(mut self, stage: Variables, overrides: Variables) -> Self {
        self.variables = VariableSets { stage, overrides };
        self
    }

    /// Deserializes the variables of both channels into a `T`, when the layer is built and after
    /// every change. Handlers read it with [`TypedVariables`](crate::TypedVariables).
    ///
    /// A change whose variables do not deserialize into a `T` is rejected.
    ///
    /// # Panics
    ///
    /// [`CanaryLayer::with_options`](crate::CanaryLayer::with_options) panics if the initial
    /// variables of a channel do not deserialize into a `T`.
    pub fn typed_variables<T>(mut self) -> Self
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        self.parse_variables = Some(parse_as::<T>);
        self
    }

    /// Sets the events to count and the options of receipts; see [`feedback`](crate::feedback).
    pub fn feedback(mut self, feedback: FeedbackOptions) -> Self {
        self.feedback = feedback;
        self
    }

    /// Sets how long a call of `channel` may take until the head of its response.
    ///
    /// The time starts when the channel gets the call, and includes waiting until the channel is
    /// ready. A call that spills or falls back then gets the full time limit of stable. Response
    /// bodies are not limited.
    ///
    /// The time stands still while the service waits for the caller to send the next part of the
    /// request body, if the body is that of axum or tonic. Callers that never send it are not
    /// limited: set a timeout for request bodies outside of the layer.
    ///
    /// After the time limit, the future of the call is dropped. The call counts as a failure and as
    /// [timed out](crate::counts::ChannelCounts::timed_out). It [falls back](Self::fallback), or
    /// the caller gets 504, in gRPC `DEADLINE_EXCEEDED`.
    ///
    /// Set the time limit of the canary below all timeouts outside the layer. Otherwise, calls of a
    /// hanging canary are cancelled and do not count as failures.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_canary::{CanaryOptions, Channel};
    ///
    /// let options = CanaryOptions::new().time_limit(Channel::Canary, Duration::from_secs(2));
    /// # let _ = options;
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `limit` is zero. A [`CanaryService`](crate::CanaryService) with a time limit
    /// panics if it is called outside of a tokio runtime, or in a runtime without a time driver.
    #[cfg(feature = "tokio")]
    pub fn time_limit(mut self, channel: canary_core::Channel, limit: std::time::Duration) -> Self {
        assert!(!limit.is_zero(), "time limit of {channel} is zero: expected a positive duration");
        self.time_limits[channel] = Some(limit);
        self
    }

    /// Sets how many calls the canary may have in flight, in all threads and services of the layer.
    ///
    /// A call is in flight until the end of its response body. Calls beyond the limit are *shed*:
    /// they go to stable, and count as [spilled](crate::counts::ChannelCounts::spilled) and as
    /// [shed](crate::counts::ChannelCounts::shed). This includes calls that a rule or a tester sent
    /// to the canary. At full weight no call is shed, because stable may have been shut down.
    ///
    /// Shed calls do not count against the canary, because a few callers with slow requests can
    /// fill any limit. A [limit per key](Self::concurrency_limit_per_key) leaves room for the
    /// others.
    ///
    /// The limit bounds the connections and the memory that a slow or overloaded canary can hold.
    /// Each call of the canary then writes a counter that all threads share.
    ///
    /// ```
    /// use tower_canary::CanaryOptions;
    ///
    /// let options = CanaryOptions::new().concurrency_limit(50);
    /// # let _ = options;
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `calls` is zero.
    pub const fn concurrency_limit(mut self, calls: usize) -> Self {
        self.concurrency_limit = NonZeroUsize::new(calls);
        assert!(
            self.concurrency_limit.is_some(),
            "concurrency limit is zero: expected at least one call",
        );
        self
    }

    /// Sets how many calls of one sticky key the canary may have in flight.
    ///
    /// Calls beyond the limit are shed, as with [`concurrency_limit`](Self::concurrency_limit).
    /// Calls without a key have no such limit.
    ///
    /// The calls are counted in 4096 slots, to which keys are assigned by a random hash: about one
    /// key in 4096 shares the limit of another one. The counters take 16 KiB, and each call of the
    /// canary with a key writes one of them.
    ///
    /// ```
    /// use http::HeaderName;
    /// use tower_canary::{CanaryOptions, select::Sticky};
    ///
    /// let options = CanaryOptions::new()
    ///     .select(Sticky::by_header(HeaderName::from_static("x-user-id")))
    ///     .concurrency_limit(50)
    ///     .concurrency_limit_per_key(4);
    /// # let _ = options;
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `calls` is zero.
    pub const fn concurrency_limit_per_key(mut self, calls: u32) -> Self {
        self.concurrency_limit_per_key = NonZeroU32::new(calls);
        assert!(
            self.concurrency_limit_per_key.is_some(),
            "concurrency limit per key is zero: expected at least one call",
        );
        self
    }

    /// Lets stable repeat failed calls of the canary.
    ///
    /// ```
    /// # #[cfg(feature = "axum")] {
    /// use tower_canary::{CanaryOptions, Fallback};
    ///
    /// let options = CanaryOptions::new().fallback(Fallback::axum().max_body(16 * 1024));
    /// # let _ = options;
    /// # }
    /// ```
    pub fn fallback(mut self, fallback: Fallback) -> Self {
        self.fallback = Some(fallback);
        self
    }

    /// Declares that the canary is an axum `Router` inside middleware, such as `Timeout<Router>`.
    ///
    /// The layer detects a canary that is a `Router` itself. A wrapped one needs this option if the
    /// layer is applied with `Router::layer`: the layer then removes the route that stable's router
    /// matched, before the canary's router matches its own. Do not use it for a canary that does
    /// not match routes, such as a `MethodRouter` or a handler.
    #[cfg(feature = "axum")]
    pub fn canary_is_router(mut self) -> Self {
        self.rematch = Some(Default::default());
        self
    }

    pub(crate) fn into_config(self, name: CanaryName) -> CanaryConfig {
        if let Some(fallback) = &self.fallback {
            fallback.check_condition(&name, self.protocol);
        }
        let mut tags = self.tags;
        tags.set_releases(&self.releases);
        CanaryConfig {
            feedback: RatingStore::new(name.clone(), self.feedback),
            name,
            releases: self.releases,
            tags,
            cacheable_canary: self.cacheable_canary,
            classify: self.classify,
            protocol: self.protocol,
            served_methods: ServedMethods::new(),
            bypass: self.bypass,
            select: self.select,
            sticky_hash: self.sticky_hash,
            caller_key: self.caller_key,
            key_cap: self.key_cap,
            route_classes: self.route_classes,
            variables: self.variables,
            parse_variables: self.parse_variables,
            #[cfg(feature = "tokio")]
            time_limits: self.time_limits,
            concurrency_limit: self.concurrency_limit.map(ConcurrencyLimit::new),
            concurrency_limit_per_key: self.concurrency_limit_per_key.map(KeyConcurrencyLimit::new),
            fallback: self.fallback,
            failure_hook: ArcSwapOption::empty(),
            #[cfg(feature = "axum")]
            rematch: self.rematch,
        }
    }
}

impl Default for CanaryOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CanaryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CanaryOptions")
            .field("releases", &self.releases)
            .field("tags", &self.tags)
            .field("bypass", &self.bypass)
            .field("variables", &self.variables)
            .finish_non_exhaustive()
    }
}
