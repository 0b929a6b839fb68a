use std::{
    any::{Any, type_name},
    fmt,
};

use canary_core::CanaryName;
use http::{Request, request::Parts};
use http_body::Body;

use crate::{
    select::{Condition, RequestHead},
    service::{
        replay::{Keeper, ReplayBody},
        response_body::BoxError,
    },
};

/// Lets stable repeat calls that the canary failed, so that their callers do not notice.
///
/// A call falls back if the canary panicked, returned an error or ran into its
/// time limit (`CanaryOptions::time_limit`) before it answered, or if the head of its answer alone
/// says that it failed: a status from 500 up, a gRPC status without a body, or what the
/// [classifier](crate::Classify) says. Once the head of an answer is on its way, nothing is repeated.
///
/// The call counts as a failure of the canary, and as [fallen back](crate::ChannelCounts::fell_back). It
/// counts a second time as a call of stable's, aside of the comparison
/// ([`AssignmentReason::FellBack`](crate::AssignmentReason::FellBack)).
///
/// # Which calls
///
/// Those whose method is idempotent (GET, HEAD, OPTIONS, TRACE, PUT and DELETE), or those that a
/// [condition](Self::only) names: it is needed for gRPC, where every call is a POST. The canary may
/// have done half of its work, or all of it, when it fails: a call that must not be done twice must not
/// be repeated.
///
/// Upgrades and CONNECT are never repeated, nor is anything at full weight, where stable may be gone.
///
/// # The request's body
///
/// What the canary reads of it is copied, up to a [bound](Self::max_body). A body that is longer goes on
/// to the canary as it is, uncopied from there on, and the call does not fall back any more. The head of
/// the request, its extensions included, is cloned.
///
/// The type of the request's body is known to the server, not to this option, which therefore is made
/// for one type:
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
/// use tower_canary::{CanaryOptions, Fallback, select::Condition};
///
/// type BoxError = Box<dyn std::error::Error + Send + Sync>;
///
/// // A body that can be boxed. For axum and tonic: `Fallback::axum()`, `Fallback::tonic()`.
/// let fallback = Fallback::new::<UnsyncBoxBody<Bytes, BoxError>>(|body| body.boxed_unsync());
/// // A body that can be cloned.
/// let fallback = Fallback::of_clones::<Full<Bytes>>();
///
/// let reads = Condition::path("/shop.Catalog/Get").or(Condition::path("/shop.Catalog/List"));
/// let options = CanaryOptions::new().fallback(fallback.only(reads));
/// # let _ = options;
/// ```
///
/// # Panics
///
/// A [`CanaryService`](crate::CanaryService) that is called with another type of body panics at its first
/// call, whichever channel it is for, and says which types they are.
#[must_use]
pub struct Fallback {
    /// A `Keep<B>`.
    keep: Box<dyn Any + Send + Sync>,
    body: &'static str,
    max_body: usize,
    /// If absent, methods that are idempotent are repeated.
    only: Option<Condition>,
}

impl Fallback {
    /// For requests with a body of type `B`, which `wrap` makes of the body that can be read twice.
    ///
    /// That is for bodies that can hold any other, as boxed ones do.
    pub fn new<B>(wrap: fn(ReplayBody<B>) -> B) -> Self
    where
        B: Body<Error: Into<BoxError>> + 'static,
    {
        Self::of(Keep::<B>::Copy { wrap, copy })
    }

    /// For requests with a body that can be cloned, which then is, whatever its size.
    pub fn of_clones<B: Clone + 'static>() -> Self {
        Self::of(Keep::<B>::Clone(B::clone))
    }

    /// For axum.
    #[cfg(feature = "axum")]
    pub fn axum() -> Self {
        Self::new(axum::body::Body::new)
    }

    /// For tonic.
    #[cfg(feature = "tonic")]
    pub fn tonic() -> Self {
        Self::new(tonic::body::Body::new)
    }

    fn of<B: 'static>(keep: Keep<B>) -> Self {
        Self {
            keep: Box::new(keep),
            body: type_name::<B>(),
            max_body: DEFAULT_MAX_BODY,
            only: None,
        }
    }

    /// The most bytes of a request's body that are kept for a repetition, trailers included; 64 KiB
    /// unless told. This is the memory that a call of the canary may take beyond its own.
    pub const fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Repeats only calls that meet `condition`; the default is [`Condition::idempotent_methods`].
    pub fn only(mut self, condition: Condition) -> Self {
        self.only = Some(condition);
        self
    }

    pub(crate) fn may_repeat(&self, request: &RequestHead<'_>) -> bool {
        match &self.only {
            Some(condition) => condition.matches(request),
            None => request.method().is_idempotent(),
        }
    }

    /// Panics if this is not for requests with a body of type `B`.
    pub(crate) fn check<B: 'static>(&self, canary: &CanaryName) {
        assert!(
            self.keep.is::<Keep<B>>(),
            "the fallback of canary {canary} is for request bodies of type {}, and the request has \
             a {}",
            self.body,
            type_name::<B>(),
        );
    }

    /// Splits a request for the canary from what is kept of it.
    pub(crate) fn keep<S, B: 'static>(
        &self,
        stable: &S,
        request: Request<B>,
    ) -> (Request<B>, Option<Box<FallbackCall<S, B>>>)
    where
        S: Clone,
    {
        let keep = self.keep.downcast_ref::<Keep<B>>().expect("checked when the call came");
        let (head, body) = request.into_parts();
        let (body, kept) = keep.keep(body, self.max_body);
        let repeat = kept.map(|body| {
            Box::new(FallbackCall { stable: stable.clone(), head: head.clone(), body })
        });
        (Request::from_parts(head, body), repeat)
    }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("body", &self.body)
            .field("max_body", &self.max_body)
            .finish_non_exhaustive()
    }
}

/// What it takes to repeat a call: stable, unready, and the request.
pub(crate) struct FallbackCall<S, B> {
    stable: S,
    head: Parts,
    body: Kept<B>,
}

impl<S, B> FallbackCall<S, B> {
    /// The request, to be called anew, if all of it is still there.
    pub(crate) fn take(self) -> Option<(S, Request<B>)> {
        let body = match self.body {
            Kept::Whole(body) => body,
            Kept::Empty(wrap) => wrap(ReplayBody::empty()),
            Kept::Copied(keeper, wrap) => wrap(keeper.take()?),
        };
        Some((self.stable, Request::from_parts(self.head, body)))
    }
}

enum Kept<B> {
    Whole(B),
    Empty(Wrap<B>),
    Copied(Keeper<B>, Wrap<B>),
}

/// How bodies of type `B` are kept.
enum Keep<B> {
    Clone(fn(&B) -> B),
    Copy {
        wrap: Wrap<B>,
        // `copy::<B>`: its bounds are not known where it is called.
        copy: fn(B, Wrap<B>, usize) -> Split<B>,
    },
}

type Wrap<B> = fn(ReplayBody<B>) -> B;

/// What the canary reads, and what is kept of it, if anything.
type Split<B> = (B, Option<Kept<B>>);

impl<B> Keep<B> {
    fn keep(&self, body: B, max: usize) -> Split<B> {
        match *self {
            Self::Clone(clone) => (clone(&body), Some(Kept::Whole(body))),
            Self::Copy { wrap, copy } => copy(body, wrap, max),
        }
    }
}

fn copy<B: Body>(body: B, wrap: Wrap<B>, max: usize) -> Split<B> {
    if body.is_end_stream() {
        return (body, Some(Kept::Empty(wrap)));
    }
    if usize::try_from(body.size_hint().lower()).map_or(true, |length| length > max) {
        return (body, None);
    }
    let (body, keeper) = ReplayBody::new(body, max);
    (wrap(body), Some(Kept::Copied(keeper, wrap)))
}

const DEFAULT_MAX_BODY: usize = 64 * 1024;
