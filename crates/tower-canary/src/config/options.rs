use std::{fmt, num::NonZeroUsize};

use arc_swap::ArcSwapOption;
use canary_core::{CanaryName, PerChannel, ReleaseId};
use serde::de::DeserializeOwned;

use crate::config::valid::valid;
use crate::{
    config::{
        bypass::Bypass,
        canary_config::CanaryConfig,
        classify::{Classifier, Classify, ServerErrors},
        concurrency_limit::ConcurrencyLimit,
        tags::Tags,
    },
    counting::route_classes::RouteClasses,
    feedback::{FeedbackOptions, store::RatingStore},
    select::Select,
    service::fallback::Fallback,
    variables::{
        Variables,
        sets::VariableSets,
        typed::{ParseVariables, parse_as},
    },
};

/// What a [`CanaryLayer`](crate::CanaryLayer) can be told beyond its name and its canary.
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
    classify: Classifier,
    bypass: Bypass,
    select: Option<Box<dyn Select>>,
    route_classes: RouteClasses,
    variables: VariableSets,
    parse_variables: Option<ParseVariables>,
    feedback: FeedbackOptions,
    #[cfg(feature = "tokio")]
    time_limits: PerChannel<Option<std::time::Duration>>,
    concurrency_limit: Option<NonZeroUsize>,
    fallback: Option<Fallback>,
    #[cfg(feature = "axum")]
    rematch: Option<crate::axum::Rematch>,
}

impl CanaryOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            releases: PerChannel::default(),
            tags: Tags::default(),
            classify: Classifier::new(ServerErrors::default()),
            bypass: Bypass::default(),
            select: None,
            route_classes: RouteClasses::new(),
            variables: VariableSets::default(),
            parse_variables: None,
            feedback: FeedbackOptions::new(),
            #[cfg(feature = "tokio")]
            time_limits: PerChannel::default(),
            concurrency_limit: None,
            fallback: None,
            #[cfg(feature = "axum")]
            rematch: None,
        }
    }

    /// The release that the stable channel runs.
    ///
    /// # Panics
    ///
    /// If it is a text that is no [`ReleaseId`]. Parse one that is not a literal beforehand.
    pub fn stable_release(mut self, release: impl TryInto<ReleaseId, Error: fmt::Display>) -> Self {
        self.releases.stable = Some(valid(release));
        self
    }

    /// The release that the canary channel runs.
    ///
    /// # Panics
    ///
    /// If it is a text that is no [`ReleaseId`]. Parse one that is not a literal beforehand.
    pub fn canary_release(mut self, release: impl TryInto<ReleaseId, Error: fmt::Display>) -> Self {
        self.releases.canary = Some(valid(release));
        self
    }

    /// How calls are marked with the channel that served them.
    pub fn tags(mut self, tags: Tags) -> Self {
        self.tags = tags;
        self
    }

    /// Which responses are failures. The default is [`ServerErrors`].
    pub fn classify(mut self, classify: impl Classify) -> Self {
        self.classify = Classifier::new(classify);
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

    /// How calls are assigned to a channel; see [`select`](crate::select). Without a policy each is drawn
    /// at the weight.
    pub fn select(mut self, policy: impl Select) -> Self {
        self.select = Some(Box::new(policy));
        self
    }

    /// Which classes of routes are counted by themselves as well; none without. A rollout's plan can bind
    /// monitors to them.
    pub fn route_classes(mut self, classes: RouteClasses) -> Self {
        self.route_classes = classes;
        self
    }

    /// The variables of the stage, and those that the canary overrides; see [`Variables`].
    pub fn variables(mut self, stage: Variables, overrides: Variables) -> Self {
        self.variables = VariableSets { stage, overrides };
        self
    }

    /// Deserializes the variables of both channels into a `T`, when the layer is built and after every
    /// change. Handlers read it with [`TypedVariables`](crate::TypedVariables).
    ///
    /// A change whose variables do not deserialize into a `T` is refused.
    ///
    /// # Panics
    ///
    /// [`CanaryLayer::with_options`](crate::CanaryLayer::with_options) panics if the initial variables of a
    /// channel do not deserialize into a `T`.
    pub fn typed_variables<T>(mut self) -> Self
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        self.parse_variables = Some(parse_as::<T>);
        self
    }

    /// Which ratings of users and of the application are counted; see [`feedback`](crate::feedback).
    pub fn feedback(mut self, feedback: FeedbackOptions) -> Self {
        self.feedback = feedback;
        self
    }

    /// How long a call of `channel` may take, from the moment it is given to the channel to the head of
    /// its response. Streams are not cut.
    ///
    /// A call whose time is over fails and counts as [timed out](crate::ChannelCounts::timed_out); its
    /// future is dropped, and it is answered 504, in gRPC `DEADLINE_EXCEEDED`, or
    /// [falls back](Self::fallback). Waiting for a channel that is not ready counts. A call that goes on
    /// to stable has stable's whole limit from there.
    ///
    /// A gRPC caller's own `grpc-timeout` that is shorter ends the call when the caller says so. Set the
    /// canary's limit below that of whatever is outside the layer, so that a canary that hangs is not
    /// taken for callers who leave.
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
    /// If `limit` is zero. A [`CanaryService`](crate::CanaryService) with a time limit panics if it is
    /// called outside of a tokio runtime, or in one that keeps no time.
    #[cfg(feature = "tokio")]
    pub fn time_limit(mut self, channel: canary_core::Channel, limit: std::time::Duration) -> Self {
        assert!(!limit.is_zero(), "time limit of {channel} is zero: expected a time to answer in");
        self.time_limits[channel] = Some(limit);
        self
    }

    /// How many calls the canary may have in flight: over all threads and services of the layer, each up
    /// to the end of its response's body.
    ///
    /// Calls beyond it are *shed*: they go to stable without asking the canary, and count as
    /// [spilled](crate::ChannelCounts::spilled) and as [shed](crate::ChannelCounts::shed). So do calls
    /// that a rule or a tester sent to the canary. At full weight, where stable may be gone, nothing is
    /// shed, though calls are counted against the limit, for when the weight is lowered again.
    ///
    /// It bounds what a canary that hangs or floods can hold: its callers' connections, its memory. All
    /// threads then write one counter with each call of the canary.
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
    /// If `calls` is zero.
    pub const fn concurrency_limit(mut self, calls: usize) -> Self {
        self.concurrency_limit = NonZeroUsize::new(calls);
        assert!(
            self.concurrency_limit.is_some(),
            "concurrency limit is zero: expected at least one call",
        );
        self
    }

    /// Lets stable repeat calls that the canary failed.
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

    /// Says that the canary contains an axum `Router`, behind middleware of its own.
    ///
    /// A canary that *is* a `Router` is known as one. A wrapped one, such as `Timeout<Router>`, has to be
    /// announced if the layer is applied with `Router::layer`: it then forgets the route that stable's
    /// router matched before the canary's looks for its own. For a canary that does not match routes
    /// (a `MethodRouter`, a handler) this would be wrong.
    #[cfg(feature = "axum")]
    pub fn canary_is_router(mut self) -> Self {
        self.rematch = Some(Default::default());
        self
    }

    pub(crate) fn into_config(self, name: CanaryName) -> CanaryConfig {
        let mut tags = self.tags;
        tags.set_releases(&self.releases);
        CanaryConfig {
            feedback: RatingStore::new(name.clone(), self.feedback),
            name,
            releases: self.releases,
            tags,
            classify: self.classify,
            bypass: self.bypass,
            select: self.select,
            route_classes: self.route_classes,
            variables: self.variables,
            parse_variables: self.parse_variables,
            #[cfg(feature = "tokio")]
            time_limits: self.time_limits,
            concurrency_limit: self.concurrency_limit.map(ConcurrencyLimit::new),
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
