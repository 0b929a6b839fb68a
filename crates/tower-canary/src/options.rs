use std::fmt;

use arc_swap::ArcSwapOption;
use canary_core::{CanaryName, PerChannel, ReleaseId};
use serde::de::DeserializeOwned;

use crate::{
    Bypass, Classify, ServerErrors, Tags, Variables,
    config::Config,
    select::Select,
    variables::{ParseVariables, VariableSets, parse_as},
};

/// What a [`CanaryLayer`](crate::CanaryLayer) can be told beyond its name and its canary.
///
/// ```
/// use tower_canary::{Bypass, CanaryLayer, CanaryOptions, Tags};
///
/// # let v2 = tower::service_fn(|_: http::Request<()>| async {
/// #     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
/// # });
/// let options = CanaryOptions::new()
///     .stable_release("v1.9.2")
///     .canary_release("v2.0.0")
///     .tags(Tags::default().release_header())
///     .bypass(Bypass::default().path("/ping"));
/// let layer = CanaryLayer::with_options("checkout", v2, options);
/// # let _ = layer;
/// ```
#[must_use]
pub struct CanaryOptions {
    releases: PerChannel<Option<ReleaseId>>,
    tags: Tags,
    classify: Box<dyn Classify>,
    bypass: Bypass,
    select: Option<Box<dyn Select>>,
    variables: VariableSets,
    parse_variables: Option<ParseVariables>,
    #[cfg(feature = "axum")]
    rematch: Option<crate::axum::Rematch>,
}

impl CanaryOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            releases: PerChannel::default(),
            tags: Tags::default(),
            classify: Box::new(ServerErrors::default()),
            bypass: Bypass::default(),
            select: None,
            variables: VariableSets::default(),
            parse_variables: None,
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
        self.classify = Box::new(classify);
        self
    }

    /// The paths that always go to stable.
    pub fn bypass(mut self, bypass: Bypass) -> Self {
        self.bypass = bypass;
        self
    }

    /// How calls are assigned to a channel; see [`select`](crate::select). Without a policy each is drawn
    /// at the weight.
    pub fn select(mut self, policy: impl Select) -> Self {
        self.select = Some(Box::new(policy));
        self
    }

    /// The variables of the stage, and those that the canary overrides; see [`Variables`].
    pub fn variables(mut self, stage: Variables, overrides: Variables) -> Self {
        self.variables = VariableSets { stage, overrides };
        self
    }

    /// Holds the variables of both channels to be a `T`, now and with every change, and gives them to
    /// handlers as such ([`TypedVariables`](crate::TypedVariables)), without reading them anew.
    ///
    /// A layer whose variables are none panics when it is made.
    pub fn typed_variables<T>(mut self) -> Self
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        self.parse_variables = Some(parse_as::<T>);
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

    pub(crate) fn into_config(self, name: CanaryName) -> Config {
        let mut tags = self.tags;
        tags.set_releases(&self.releases);
        Config {
            name,
            releases: self.releases,
            tags,
            classify: self.classify,
            bypass: self.bypass,
            select: self.select,
            variables: self.variables,
            parse_variables: self.parse_variables,
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

/// Takes a value or a valid text for one.
///
/// # Panics
///
/// With the message of the error, if the text is not valid.
pub(crate) fn valid<T>(value: impl TryInto<T, Error: fmt::Display>) -> T {
    value.try_into().unwrap_or_else(|error| panic!("{error}"))
}
