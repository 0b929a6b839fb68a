//! Who gets the canary: the policies by which calls are assigned.
//!
//! Without a policy each call is drawn at random. A [policy](Select) looks at the request and says how
//! it is to be assigned, or has nothing to say and leaves it to the next one; after the last, the draw
//! decides. Policies are small and combine with [`or`](Select::or), the first match wins:
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
//! // Writes stay with stable for now, at whatever weight.
//! let reads_only = Condition::safe_methods().not().never();
//! // Everybody else stays on one channel, as long as their user id or their session lives.
//! let users = Sticky::by_header(HeaderName::from_static("x-user-id")).or_cookie("session");
//!
//! let options = CanaryOptions::new().select(testers.or(reads_only).or(users));
//! # let _ = options;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A closure is a policy too. The type of its argument has to be written out:
//!
//! ```
//! use tower_canary::{Channel, CanaryOptions, select::{Incoming, Selection}};
//!
//! struct Tenant {
//!     is_pilot: bool,
//! }
//!
//! let options = CanaryOptions::new().select(|request: &Incoming<'_>| {
//!     // What a layer further out found out and put into the request's extensions.
//!     let tenant = request.extensions().get::<Tenant>()?;
//!     tenant.is_pilot.then(|| Selection::always(Channel::Canary))
//! });
//! # let _ = options;
//! ```
//!
//! # Which to take
//!
//! | who should get it | policy |
//! |---|---|
//! | the team first, while nobody else does | [`Forced`], with a secret |
//! | each user all of the time, or not at all | [`Sticky`], by the user's id or a cookie of yours |
//! | so should visitors of whom nothing is known | [`Sticky`] with a cookie that the layer issues, an `IssuedCookie` (feature `cookie`) |
//! | one office, one tenant, one kind of client | [`Condition`]`..always()` |
//! | everything but payments | [`Condition`]`..never()` |
//! | whole call chains, through several services | [`Propagated`] there, and a [`PropagateLayer`](crate::PropagateLayer) around the clients here |
//! | whoever your code says | a closure |
//!
//! The example `who-gets-it` has most of them, to be tried with curl.
//!
//! # What the weight, a rollback and a halt mean for each
//!
//! | the policy says | weight 0, rolled back | weight in between | weight 100 %, promoted | halted |
//! |---|---|---|---|---|
//! | nothing, or [at the weight](Selection::at_weight) | stable | by a draw | canary | stable |
//! | [a key](Selection::sticky) | stable | by the key's hash | canary | stable |
//! | [always the canary](Selection::always) | stable | canary | canary | stable |
//! | [always stable](Selection::always) | stable | stable | stable | stable |
//! | [forced to the canary](Selection::forced) | canary | canary | canary | stable |
//! | [forced to stable](Selection::forced) | stable | stable | stable | stable |
//! | [propagated](Selection::propagated) | stable | as the caller decided | as the caller decided | stable |
//!
//! So a rollback takes the canary from everybody but testers, and a halt from them too; streams that are open
//! are asked to end by either, testers' as well. Why a call went
//! where it went is its [`AssignmentReason`](crate::AssignmentReason): handlers find it in the
//! [`Assignment`](crate::Assignment), logs in the span, and the counts keep calls apart by it. Only calls
//! that chance assigned are evidence by which the channels may be compared.
//!
//! # Sticky assignment
//!
//! A key's bucket is `(xxh64(salt ++ 0x00 ++ key, seed 0) * 1_000_000) >> 64`, of 128 bits; the call is
//! the canary's if the bucket is below the weight in parts per million. Nothing is stored: every replica,
//! and every other language with an xxh64, comes to the same answer. Raising the weight only adds keys,
//! lowering it only removes some, and who gets the next canary has nothing to do with who got this one,
//! because the [salt](crate::CanaryHandle::set_salt) begins with its name and contains its release.
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
mod sticky;
mod sticky_key;

use canary_core::CanaryName;
use http::HeaderMap;

#[cfg(feature = "cookie")]
pub use self::issue::IssuedCookie;
pub use self::{
    baggage::Propagated,
    condition::{Condition, Rule},
    forced::{Forced, InvalidSecret, Secret},
    incoming::Incoming,
    request_head::RequestHead,
    selection::Selection,
    sticky::Sticky,
    sticky_key::StickyKey,
};
pub(crate) use self::{baggage::add as add_to_baggage, selection::AssignmentRule};

/// A policy by which calls are assigned to a channel.
///
/// See the [module's documentation](self). It is asked for each call and should be quick. It must not
/// panic: a panic in it unwinds into the connection, as one in a layer does.
pub trait Select: Send + Sync + 'static {
    /// How this request is to be assigned; `None` leaves it to the next policy.
    fn select(&self, request: &Incoming<'_>) -> Option<Selection>;

    /// Removes from the headers what only this policy was meant to see, so that no handler does, such as
    /// a tester's secret. It is done for every request, whoever assigned it.
    fn strip(&self, headers: &mut HeaderMap, canary: &CanaryName) {
        let _ = (headers, canary);
    }

    /// Asks `next` about requests of which this policy has nothing to say.
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

/// For policies that are put together at run time.
///
/// ```
/// use http::HeaderName;
/// use tower_canary::select::{Forced, Secret, Select, Sticky};
///
/// # let secret_in_configuration: Option<&str> = None;
/// let mut policy: Box<dyn Select> = Box::new(Sticky::by_cookie("session"));
/// if let Some(secret) = secret_in_configuration {
///     let name = HeaderName::from_static("x-canary-force");
///     policy = Box::new(Forced::by_header(name, Secret::try_new(secret)?).or(policy));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Select for Box<dyn Select> {
    fn select(&self, request: &Incoming<'_>) -> Option<Selection> {
        (**self).select(request)
    }

    fn strip(&self, headers: &mut HeaderMap, canary: &CanaryName) {
        (**self).strip(headers, canary);
    }
}

/// Two policies of which the first match wins, made by [`Select::or`].
#[derive(Clone, Debug)]
pub struct Or<A, B> {
    first: A,
    next: B,
}

impl<A: Select, B: Select> Select for Or<A, B> {
    fn select(&self, request: &Incoming<'_>) -> Option<Selection> {
        self.first.select(request).or_else(|| self.next.select(request))
    }

    fn strip(&self, headers: &mut HeaderMap, canary: &CanaryName) {
        self.first.strip(headers, canary);
        self.next.strip(headers, canary);
    }
}
