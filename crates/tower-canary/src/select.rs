//! Policies that assign calls to a channel.
//!
//! Without a policy, each call is assigned at random by the weight. A [policy](Select) examines the
//! request and returns a [`Selection`], or `None` to leave the call to the next policy. Policies
//! are combined with [`or`](Select::or), and the first match wins. A call that no policy matches is
//! assigned at random.
//!
//! ```
//! use http::HeaderName;
//! use tower_canary::{
//!     CanaryOptions,
//!     select::{Condition, Forced, Secret, Select, Sticky},
//! };
//!
//! // Testers choose a channel, even at weight zero.
//! let testers = Forced::by_header(
//!     HeaderName::from_static("x-canary-force"),
//!     Secret::try_new("0b2f7c65a41d4f1e9c3d")?,
//! );
//! // Writes stay on stable at any weight.
//! let reads_only = Condition::safe_methods().not().never();
//! // Other callers keep their channel, by user id or else by session.
//! let users = Sticky::by_header(HeaderName::from_static("x-user-id")).or_cookie("session");
//!
//! let options = CanaryOptions::new().select(testers.or(reads_only).or(users));
//! # let _ = options;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A closure is a policy too. Its argument needs a type annotation:
//!
//! ```
//! use tower_canary::{Channel, CanaryOptions, select::{Incoming, Selection}};
//!
//! struct Tenant {
//!     is_pilot: bool,
//! }
//!
//! let options = CanaryOptions::new().select(|request: &Incoming<'_>| {
//!     // An outer layer sets this extension.
//!     let tenant = request.extensions().get::<Tenant>()?;
//!     tenant.is_pilot.then(|| Selection::always(Channel::Canary))
//! });
//! # let _ = options;
//! ```
//!
//! A closure may be sticky, as far as a controller knows. Implement [`Select`] for a type of your
//! own to say that it [never is](Select::may_be_sticky).
//!
//! # Choosing a policy
//!
//! | calls that get the canary | policy |
//! |---|---|
//! | those of the team, before anyone else | [`Forced`], with a secret |
//! | all calls of a user, or none | [`Sticky`], by the user id or by one of your cookies |
//! | the same for unknown visitors | [`Sticky`] with a cookie that the layer issues, an `IssuedCookie` (feature `cookie`) |
//! | those of one office, tenant or kind of client | [`Condition`]`..always()` |
//! | everything except payments | [`Condition`]`..never()` |
//! | whole call chains through several services | [`Propagated`] in the called services, and a [`PropagateLayer`](crate::PropagateLayer) around the clients in this one |
//! | any others | a closure |
//!
//! The example `who-gets-it` shows most of these policies, with curl commands to try them.
//!
//! # Effects of the weight, a rollback and a halt
//!
//! | selection | weight 0, rolled back | weight in between | weight 100 %, promoted | halted |
//! |---|---|---|---|---|
//! | none, or [at the weight](Selection::at_weight) | stable | at random | canary | stable |
//! | [sticky](Selection::sticky) | stable | by the hash of the key | canary | stable |
//! | [always the canary](Selection::always) | stable | canary | canary | stable |
//! | [always stable](Selection::always) | stable | stable | stable | stable |
//! | [forced to the canary](Selection::forced) | canary | canary | canary | stable |
//! | [forced to stable](Selection::forced) | stable | stable | stable | stable |
//! | [propagated](Selection::propagated) | stable | the propagated channel | the propagated channel | stable |
//!
//! After a rollback, only testers reach the canary. After a halt, no call does. Both ask all open
//! streams of the canary to end, those of testers included.
//!
//! The [`AssignmentReason`](crate::AssignmentReason) of a call is in the
//! [`Assignment`](crate::Assignment) that handlers receive, in the span of the call, and in the
//! counts. Only calls that were assigned at random or by a key are evidence for comparing the
//! channels.
//!
//! # Sticky assignment
//!
//! The bucket of a key is `(hash(salt ++ 0x00 ++ key) * 1_000_000) >> 64`, calculated with 128 bits.
//! The call goes to the canary if the bucket is below the weight in parts per million. The
//! [`StickyHash`] is SipHash-2-4 with a secret, or the published xxh64.
//!
//! No key is stored: every replica calculates the same bucket. Raising the weight only adds keys,
//! and lowering it only removes keys. The default
//! [salt](crate::control::ControlExt::set_salt) contains the name and the release of the canary, so
//! that each release is tried on other keys first.
#![doc = include_str!("../docs/sticky-in-other-languages.md")]

mod baggage;
pub(crate) mod condition;
mod cookies;
mod forced;
mod incoming;
#[cfg(feature = "cookie")]
mod issue;
pub(crate) mod path_pattern;
pub(crate) mod propagate;
pub(crate) mod request_head;
pub(crate) mod rng;
pub(crate) mod salt;
mod selection;
pub(crate) mod sticky;
mod sticky_hash;
mod sticky_key;

use canary_core::CanaryName;
pub use canary_core::{InvalidSecret, InvalidStickySecret, Secret, StickySecret};
use http::HeaderMap;

#[cfg(feature = "cookie")]
pub use self::issue::IssuedCookie;
pub use self::{
    baggage::Propagated,
    condition::{Condition, Rule},
    forced::Forced,
    incoming::Incoming,
    request_head::RequestHead,
    selection::Selection,
    sticky::Sticky,
    sticky_hash::StickyHash,
    sticky_key::StickyKey,
};
pub(crate) use self::{
    baggage::{BAGGAGE, add as add_to_baggage, strip as strip_baggage},
    selection::AssignmentRule,
};

/// A policy that assigns calls to a channel; see the [module documentation](self).
///
/// It runs for each call and should be fast. It must not panic: like the panic of any layer, it
/// would unwind into the connection.
pub trait Select: Send + Sync + 'static {
    /// Returns how to assign the request, or `None` to leave it to the next policy.
    fn select(&self, request: &Incoming<'_>) -> Option<Selection>;

    /// Returns whether [`select`](Self::select) may return a [sticky](Selection::sticky) selection.
    ///
    /// If it may, a controller judges the canary by keys instead of calls: the calls of a sticky
    /// caller are not assigned independently. The default is `true`, which is always safe. Return
    /// `false` from a policy that never returns a sticky selection.
    fn may_be_sticky(&self) -> bool {
        true
    }

    /// Removes headers that only this policy may see, such as the secret of a tester.
    ///
    /// It is called for every request, before a handler sees it, whichever policy assigned the
    /// call. The default removes nothing.
    fn strip(&self, headers: &mut HeaderMap, canary: &CanaryName) {
        let _ = (headers, canary);
    }

    /// Returns whether the caller may propagate the channels of other canaries in its baggage, as
    /// [`Propagated`] decides. The default is `false`.
    fn trusts_baggage(&self, request: &RequestHead<'_>) -> bool {
        let _ = request;
        false
    }

    /// Uses `next` for requests for which this policy returns `None`.
    fn or<P: Select>(self, next: P) -> Or<Self, P>
    where
        Self: Sized,
    {
        Or { first: self, next }
    }
}

impl<F> Select for F
where
    F: Fn(&Incoming<'_>) -> Option<Selection> + Send + Sync + 'static,
{
    fn select(&self, request: &Incoming<'_>) -> Option<Selection> {
        self(request)
    }
}

/// Allows policies that are assembled at run time.
///
/// ```
/// use http::HeaderName;
/// use tower_canary::select::{Forced, Secret, Select, Sticky};
///
/// # let configured_secret: Option<&str> = None;
/// let mut policy: Box<dyn Select> = Box::new(Sticky::by_cookie("session"));
/// if let Some(secret) = configured_secret {
///     let name = HeaderName::from_static("x-canary-force");
///     policy = Box::new(Forced::by_header(name, Secret::try_new(secret)?).or(policy));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Select for Box<dyn Select> {
    fn select(&self, request: &Incoming<'_>) -> Option<Selection> {
        (**self).select(request)
    }

    fn may_be_sticky(&self) -> bool {
        (**self).may_be_sticky()
    }

    fn strip(&self, headers: &mut HeaderMap, canary: &CanaryName) {
        (**self).strip(headers, canary);
    }

    fn trusts_baggage(&self, request: &RequestHead<'_>) -> bool {
        (**self).trusts_baggage(request)
    }
}

/// A policy that tries one policy and then another, made with [`Select::or`].
#[derive(Clone, Debug)]
pub struct Or<A, B> {
    first: A,
    next: B,
}

impl<A: Select, B: Select> Select for Or<A, B> {
    fn select(&self, request: &Incoming<'_>) -> Option<Selection> {
        self.first.select(request).or_else(|| self.next.select(request))
    }

    fn may_be_sticky(&self) -> bool {
        self.first.may_be_sticky() || self.next.may_be_sticky()
    }

    fn strip(&self, headers: &mut HeaderMap, canary: &CanaryName) {
        self.first.strip(headers, canary);
        self.next.strip(headers, canary);
    }

    fn trusts_baggage(&self, request: &RequestHead<'_>) -> bool {
        self.first.trusts_baggage(request) || self.next.trusts_baggage(request)
    }
}
