#[cfg(feature = "tracing")]
use std::sync::Once;
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
        box_error::BoxError,
        protocol::Protocol,
        replay::{ReplayBody, ReplayHandle},
    },
};

/// Lets stable repeat failed calls of the canary, so that callers do not see the failure.
///
/// A call falls back if the canary panics, returns an error, or exceeds its `time_limit` before its
/// response, or if the head of its response alone [counts as a failure](crate::classify::Classify):
/// an HTTP status from 500 up, a gRPC status without a body, an empty body with a `content-length`,
/// and so on.
/// After the head was sent, nothing is repeated.
///
/// The call counts as a failure of the canary, and as
/// [fallen back](crate::counts::ChannelCounts::fell_back). It also counts as a call of stable,
/// which is excluded from the comparison
/// ([`AssignmentReason::FellBack`](crate::AssignmentReason::FellBack)).
///
/// # Repeatable calls
///
/// By default, calls with an [idempotent method](Condition::idempotent_methods) are repeated. Every
/// gRPC call is a POST, so gRPC needs a [condition](Self::only), and a layer is not created without
/// one. A failed canary may have done part
/// of its work, or all of it: do not repeat a call that must not be executed twice.
///
/// Upgrades and CONNECT are never repeated. At full weight nothing is repeated, because stable may
/// have been shut down.
///
/// # Request bodies
///
/// The layer copies the body while the canary reads it, up to a [limit](Self::max_body). A longer
/// body is passed on without a copy, and the call does not fall back any more. The head of the
/// request, including its extensions, is cloned.
///
/// A fallback is made for one type of request body, because the options do not know the type that
/// the server uses:
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
/// use tower_canary::{CanaryOptions, Fallback, select::Condition};
///
/// type BoxError = Box<dyn std::error::Error + Send + Sync>;
///
/// // A type that can box any body. For axum and tonic: `Fallback::axum()`, `Fallback::tonic()`.
/// let fallback = Fallback::new::<UnsyncBoxBody<Bytes, BoxError>>(|body| body.boxed_unsync());
/// // A type that implements `Clone`.
/// let fallback = Fallback::of_clones::<Full<Bytes>>();
///
/// let reads = Condition::path("/shop.Catalog/Get").or(Condition::path("/shop.Catalog/List"));
/// let options = CanaryOptions::new().fallback(fallback.only(reads));
/// # let _ = options;
/// ```
///
/// Requests with another type of body do not fall back. A layer outside can be the reason, such as
/// tower-http's `RequestBodyLimitLayer` in the same `ServiceBuilder`. [`CanaryLayer::boxed`] converts
/// the body back. With the feature `tracing`, the first such request is logged as a warning.
///
/// # Panics
///
/// [`CanaryLayer::with_options`] panics if all calls are gRPC, because of [`tonic`](Self::tonic) or of
/// [`CanaryOptions::protocol`], and there is no condition.
///
/// [`CanaryLayer::boxed`]: crate::CanaryLayer::boxed
/// [`CanaryLayer::with_options`]: crate::CanaryLayer::with_options
/// [`CanaryOptions::protocol`]: crate::CanaryOptions::protocol
#[must_use]
pub struct Fallback {
    /// A `Keep<B>`. The type of the body is erased, because `CanaryOptions` is not generic over it.
    keep: Box<dyn Any + Send + Sync>,
    body: &'static str,
    max_body: usize,
    /// `None` stands for idempotent methods.
    only: Option<Condition>,
    /// Whether all calls are gRPC, and so POST.
    is_grpc: bool,
    #[cfg(feature = "tracing")]
    warning: Once,
}

impl Fallback {
    /// Creates a fallback for request bodies of type `B`.
    ///
    /// `wrap` converts the body that can be read twice into a `B`, usually by boxing it.
    pub fn new<B>(wrap: fn(ReplayBody<B>) -> B) -> Self
    where
        B: Body<Error: Into<BoxError>> + 'static,
    {
        Self::of(Keep::<B>::Copy { wrap, copy })
    }

    /// Creates a fallback that clones request bodies, whatever their size.
    pub fn of_clones<B: Clone + 'static>() -> Self {
        Self::of(Keep::<B>::Clone(B::clone))
    }

    /// Creates a fallback for the request bodies of axum.
    #[cfg(feature = "axum")]
    pub fn axum() -> Self {
        Self::new(axum::body::Body::new)
    }

    /// Creates a fallback for the request bodies of tonic. It needs a [condition](Self::only).
    #[cfg(feature = "tonic")]
    pub fn tonic() -> Self {
        Self { is_grpc: true, ..Self::new(tonic::body::Body::new) }
    }

    fn of<B: 'static>(keep: Keep<B>) -> Self {
        Self {
            keep: Box::new(keep),
            body: type_name::<B>(),
            max_body: DEFAULT_MAX_BODY,
            only: None,
            is_grpc: false,
            #[cfg(feature = "tracing")]
            warning: Once::new(),
        }
    }

    /// Sets the maximum number of bytes that are copied of a request body, including its trailers;
    /// the default is 64 KiB.
    ///
    /// Each call of the canary can take this much additional memory. Bodies that are
    /// [cloned](Self::of_clones) have no limit.
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

    /// Panics if the fallback can repeat no call of the layer.
    pub(crate) fn check_condition(&self, canary: &CanaryName, protocol: Option<Protocol>) {
        let is_grpc = self.is_grpc || protocol == Some(Protocol::Grpc);
        assert!(
            self.only.is_some() || !is_grpc,
            "the fallback of canary {canary} repeats no call, because gRPC calls are POST: name the \
             methods to repeat with `Fallback::only`",
        );
    }

    /// Warns if the fallback is for another type of request body.
    pub(crate) fn check_body<B: 'static>(&self, canary: &CanaryName) {
        if !self.keep.is::<Keep<B>>() {
            self.warn(canary, type_name::<B>());
        }
    }

    #[cold]
    fn warn(&self, canary: &CanaryName, found: &'static str) {
        #[cfg(feature = "tracing")]
        self.warning.call_once(|| {
            let expected = self.body;
            tracing::warn!(
                target: "tower_canary::control",
                canary = canary.as_str(),
                "the fallback is for request bodies of type {expected}, and does not repeat a \
                 request with a {found}: create it for this type, or, if the canary takes \
                 {expected}, apply the layer with `CanaryLayer::boxed`",
            );
        });
        #[cfg(not(feature = "tracing"))]
        let _ = (self, canary, found);
    }

    /// Splits a request into the one for the canary and the call that stable can repeat, if any.
    pub(crate) fn keep<S, B: 'static>(
        &self,
        stable: &S,
        request: Request<B>,
    ) -> (Request<B>, Option<Box<FallbackCall<S, B>>>)
    where
        S: Clone,
    {
        let Some(keep) = self.keep.downcast_ref::<Keep<B>>() else { return (request, None) };
        let (head, body) = request.into_parts();
        let (body, kept) = keep.keep(body, self.max_body);
        let fallback_call = kept.map(|body| {
            Box::new(FallbackCall { stable: stable.clone(), head: head.clone(), body })
        });
        (Request::from_parts(head, body), fallback_call)
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

/// A call that stable can repeat.
pub(crate) struct FallbackCall<S, B> {
    /// A clone, which is not ready.
    stable: S,
    head: Parts,
    body: Kept<B>,
}

impl<S, B> FallbackCall<S, B> {
    /// Returns stable and the whole request, or `None` if a part of the body was not copied.
    pub(crate) fn take(self) -> Option<(S, Request<B>)> {
        let body = match self.body {
            Kept::Whole(body) => body,
            Kept::Empty(wrap) => wrap(ReplayBody::buffered(bytes::Bytes::new(), None)),
            Kept::Copied(handle, wrap) => wrap(handle.take()?),
        };
        Some((self.stable, Request::from_parts(self.head, body)))
    }
}

enum Kept<B> {
    Whole(B),
    Empty(Wrap<B>),
    Copied(ReplayHandle<B>, Wrap<B>),
}

/// The way to keep bodies of type `B`.
enum Keep<B> {
    Clone(fn(&B) -> B),
    Copy {
        wrap: Wrap<B>,
        // `copy::<B>`, as a pointer because the caller lacks the bounds on `B`.
        copy: fn(B, Wrap<B>, usize) -> SplitBody<B>,
    },
}

type Wrap<B> = fn(ReplayBody<B>) -> B;

/// The body for the canary, and the kept one, if any.
type SplitBody<B> = (B, Option<Kept<B>>);

impl<B> Keep<B> {
    fn keep(&self, body: B, max: usize) -> SplitBody<B> {
        match *self {
            Self::Clone(clone) => (clone(&body), Some(Kept::Whole(body))),
            Self::Copy { wrap, copy } => copy(body, wrap, max),
        }
    }
}

fn copy<B: Body>(body: B, wrap: Wrap<B>, max: usize) -> SplitBody<B> {
    if body.is_end_stream() {
        return (body, Some(Kept::Empty(wrap)));
    }
    if usize::try_from(body.size_hint().lower()).map_or(true, |length| length > max) {
        return (body, None);
    }
    let (body, handle) = ReplayBody::new(body, max);
    (wrap(body), Some(Kept::Copied(handle, wrap)))
}

const DEFAULT_MAX_BODY: usize = 64 * 1024;
