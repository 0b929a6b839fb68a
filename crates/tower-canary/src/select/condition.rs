use std::fmt;

use canary_core::{CanaryName, Channel};
use http::{HeaderMap, HeaderName, Method};

use crate::select::{Incoming, Select, Selection};

/// What is true of some requests, as the first half of a [`Rule`].
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
/// A header proves nothing of who sent it, unless a proxy in front sets it or takes it away. For
/// testers there is [`Forced`](crate::select::Forced).
#[must_use]
pub struct Condition(Box<Predicate>);

type Predicate = dyn Fn(&Incoming<'_>) -> bool + Send + Sync;

impl Condition {
    /// Every request.
    pub fn any() -> Self {
        Self::when(|_| true)
    }

    /// Requests of which the function says so.
    pub fn when(is_met: impl Fn(&Incoming<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self(Box::new(is_met))
    }

    /// Requests of this method.
    pub fn method(method: Method) -> Self {
        Self::when(move |request| *request.method() == method)
    }

    /// Requests for exactly this path, as the client asked for it.
    pub fn path(path: impl Into<String>) -> Self {
        let path = path.into();
        Self::when(move |request| request.path() == path)
    }

    /// Requests for this path and all below it: `/shop` is met by `/shop` and `/shop/1`, and not by
    /// `/shopping`. For gRPC, `/package.Service` stands for all methods of a service.
    pub fn path_prefix(prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        let prefix = prefix.strip_suffix('/').unwrap_or(&prefix).to_owned();
        Self::when(move |request| {
            let below = request.path().strip_prefix(&*prefix);
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// Requests that have this header, with whatever value.
    pub fn has_header(name: HeaderName) -> Self {
        Self::when(move |request| request.headers().contains_key(&name))
    }

    /// Requests in which one of the values of this header is `value`, to the letter.
    pub fn header(name: HeaderName, value: impl Into<Vec<u8>>) -> Self {
        let value = value.into();
        Self::when(move |request| {
            request.headers().get_all(&name).iter().any(|one| *one == value[..])
        })
    }

    /// Requests of which both are true.
    pub fn and(self, other: Self) -> Self {
        Self::when(move |request| self.is_met(request) && other.is_met(request))
    }

    /// Requests of which one or both are true.
    pub fn or(self, other: Self) -> Self {
        Self::when(move |request| self.is_met(request) || other.is_met(request))
    }

    /// Requests of which this is not true.
    #[expect(clippy::should_implement_trait, reason = "`!condition` would not read better")]
    pub fn not(self) -> Self {
        Self::when(move |request| !self.is_met(request))
    }

    /// The canary gets these requests, if its weight is above zero.
    pub fn always(self) -> Rule {
        self.then(|_: &Incoming<'_>| Some(Selection::always(Channel::Canary)))
    }

    /// Stable gets these requests, whatever the weight.
    pub fn never(self) -> Rule {
        self.then(|_: &Incoming<'_>| Some(Selection::always(Channel::Stable)))
    }

    /// These requests are drawn at the weight, whatever later policies would say of them.
    pub fn at_weight(self) -> Rule {
        self.then(|_: &Incoming<'_>| Some(Selection::at_weight()))
    }

    /// These requests, and only these, are put to a policy.
    pub fn then(self, policy: impl Select) -> Rule {
        Rule { condition: self, policy: Box::new(policy) }
    }

    pub(crate) fn is_met(&self, request: &Incoming<'_>) -> bool {
        (self.0)(request)
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition").finish_non_exhaustive()
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
        self.condition.is_met(request).then(|| self.policy.select(request)).flatten()
    }

    fn strip(&self, headers: &mut HeaderMap, canary: &CanaryName) {
        self.policy.strip(headers, canary);
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").finish_non_exhaustive()
    }
}
