use std::fmt;

use canary_core::{CanaryName, Channel};
use http::{HeaderMap, HeaderName, Method};

use crate::select::{Incoming, RequestHead, Select, Selection, path_pattern::PathPattern};

/// A predicate on requests.
///
/// Every option that applies to some requests takes a condition:
///
/// | option | requests that meet the condition |
/// |---|---|
/// | a [`Rule`], made with [`always`](Self::always), [`never`](Self::never) and others | are assigned by the rule |
/// | [`Forced::by_header_if`](crate::select::Forced::by_header_if) | may choose their channel |
/// | [`Propagated::from_callers`](crate::select::Propagated::from_callers) | are trusted to propagate a channel |
/// | [`Bypass::or`](crate::Bypass::or) | go to stable, outside the canary |
/// | [`Fallback::only`](crate::Fallback::only) | may be repeated by stable |
/// | [`RouteClasses::class`](crate::RouteClasses::class) | are also counted separately |
/// | `MirrorOptions::only` of `tower-canary-mirror` | are eligible for mirroring |
///
/// ```
/// use http::{HeaderName, Method};
/// use tower_canary::{
///     CanaryOptions,
///     select::{Condition, Select, Sticky},
/// };
///
/// let employees = Condition::header(HeaderName::from_static("x-employee"), "true").always();
/// let checkout = Condition::path_prefix("/checkout")
///     .and(Condition::method(Method::POST))
///     .then(Sticky::by_cookie("session"));
/// let rest = Condition::any().never();
/// let options = CanaryOptions::new().select(employees.or(checkout).or(rest));
/// # let _ = options;
/// ```
///
/// A condition must not panic. Paths are those that the client requested: under axum's `nest`, they
/// include the prefix. A condition on a path also matches other spellings of it, with
/// percent-encoded characters, repeated slashes, dot segments or parameters (`/%70ay`, `//pay`,
/// `/x/../pay`, `/pay;v=1`), which a catch-all handler may treat as the same path. The case of
/// letters matters, and encoded characters are decoded once. [`Bypass`](crate::Bypass) compares paths
/// as they are.
///
/// Clients can send any header. A condition on a header is no proof of identity unless a proxy in
/// front sets or removes that header. Use [`Forced`](crate::select::Forced) for testers.
#[must_use]
pub struct Condition(pub(crate) Predicate);

pub(crate) enum Predicate {
    Path(PathPattern),
    AnyOf(Vec<Condition>),
    Custom(Box<dyn Fn(&RequestHead<'_>) -> bool + Send + Sync>),
}

impl Condition {
    /// Every request.
    pub fn any() -> Self {
        Self::when(|_| true)
    }

    /// Requests for which `predicate` returns true.
    pub fn when(predicate: impl Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self(Predicate::Custom(Box::new(predicate)))
    }

    /// Requests with this method.
    pub fn method(method: Method) -> Self {
        Self::when(move |request| *request.method() == method)
    }

    /// Requests with a method that changes nothing: GET, HEAD and OPTIONS.
    ///
    /// TRACE is safe too, but is left out: it echoes the request to the client.
    pub fn safe_methods() -> Self {
        Self::when(|request| {
            matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
        })
    }

    /// Requests with a method whose effect is the same if it is repeated: GET, HEAD, OPTIONS,
    /// TRACE, PUT and DELETE.
    pub fn idempotent_methods() -> Self {
        Self::when(|request| request.method().is_idempotent())
    }

    /// Requests for exactly this path.
    pub fn path(path: impl Into<String>) -> Self {
        Self(Predicate::Path(PathPattern::exact(path.into())))
    }

    /// Requests for this path and the paths below it.
    ///
    /// `/shop` matches `/shop` and `/shop/1`, but not `/shopping`. For gRPC, `/package.Service`
    /// matches all methods of a service.
    pub fn path_prefix(prefix: impl Into<String>) -> Self {
        Self(Predicate::Path(PathPattern::below(prefix.into())))
    }

    /// Calls to the gRPC services of this package and of the packages below it.
    ///
    /// `grpc.health` matches the path `/grpc.health.v1.Health/Check`.
    pub fn grpc_package(package: &str) -> Self {
        Self(Predicate::Path(PathPattern::grpc_package(package)))
    }

    /// Requests that have this header, with any value.
    pub fn has_header(name: HeaderName) -> Self {
        Self::when(move |request| request.headers().contains_key(&name))
    }

    /// Requests in which one of the values of this header equals `value`. Case is significant.
    pub fn header(name: HeaderName, value: impl Into<Vec<u8>>) -> Self {
        let value = value.into();
        Self::when(move |request| {
            request.headers().get_all(&name).iter().any(|sent| *sent == value[..])
        })
    }

    /// Requests that meet both conditions.
    pub fn and(self, other: Self) -> Self {
        Self::when(move |request| self.matches(request) && other.matches(request))
    }

    /// Requests that meet at least one of the conditions.
    pub fn or(self, other: Self) -> Self {
        let mut conditions = self.into_alternatives();
        conditions.extend(other.into_alternatives());
        Self(Predicate::AnyOf(conditions))
    }

    /// Requests that do not meet this condition.
    #[expect(
        clippy::should_implement_trait,
        reason = "a method chains with `and`, `or` and `then`"
    )]
    pub fn not(self) -> Self {
        Self::when(move |request| !self.matches(request))
    }

    /// Sends these requests to the canary while its weight is above zero.
    pub fn always(self) -> Rule {
        self.then(Fixed(|| Selection::always(Channel::Canary)))
    }

    /// Sends these requests to stable at any weight.
    pub fn never(self) -> Rule {
        self.then(Fixed(|| Selection::always(Channel::Stable)))
    }

    /// Assigns these requests at random by the weight. Later policies do not run.
    pub fn at_weight(self) -> Rule {
        self.then(Fixed(Selection::at_weight))
    }

    /// Applies `policy` to these requests only.
    pub fn then(self, policy: impl Select) -> Rule {
        Rule { condition: self, policy: Box::new(policy) }
    }

    /// Returns whether a request meets the condition.
    #[must_use]
    pub fn matches(&self, request: &RequestHead<'_>) -> bool {
        match &self.0 {
            Predicate::Path(pattern) => pattern.matches_spelling(request.path()),
            Predicate::AnyOf(conditions) => {
                conditions.iter().any(|condition| condition.matches(request))
            }
            Predicate::Custom(predicate) => predicate(request),
        }
    }

    /// Returns the conditions that were joined with [`or`](Self::or).
    pub(crate) fn into_alternatives(self) -> Vec<Self> {
        match self.0 {
            Predicate::AnyOf(conditions) => conditions,
            predicate => vec![Self(predicate)],
        }
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Predicate::Path(pattern) => f.debug_tuple("Path").field(pattern).finish(),
            Predicate::AnyOf(conditions) => f.debug_tuple("AnyOf").field(conditions).finish(),
            Predicate::Custom(_) => f.write_str("Custom"),
        }
    }
}

/// A policy for the requests that meet a [`Condition`].
#[must_use]
pub struct Rule {
    condition: Condition,
    policy: Box<dyn Select>,
}

impl Select for Rule {
    fn select(&self, request: &Incoming<'_>) -> Option<Selection> {
        self.condition.matches(request).then(|| self.policy.select(request)).flatten()
    }

    fn may_be_sticky(&self) -> bool {
        self.policy.may_be_sticky()
    }

    fn strip(&self, headers: &mut HeaderMap, canary: &CanaryName) {
        self.policy.strip(headers, canary);
    }

    fn trusts_baggage(&self, request: &RequestHead<'_>) -> bool {
        self.condition.matches(request) && self.policy.trusts_baggage(request)
    }
}

/// A policy without keys that assigns every call in the same way.
struct Fixed(fn() -> Selection);

impl Select for Fixed {
    fn select(&self, _: &Incoming<'_>) -> Option<Selection> {
        Some(self.0())
    }

    fn may_be_sticky(&self) -> bool {
        false
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("condition", &self.condition).finish_non_exhaustive()
    }
}
