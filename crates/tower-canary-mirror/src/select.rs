use http::{Method, request::Parts};

/// Decides which calls may be copied to the canary.
///
/// A copy of a call that changes something changes it twice, so [`SafeMethods`] is the default. All of
/// gRPC is POST, and what a method does is known only to those who wrote it: name those that read.
///
/// ```
/// use tower_canary_mirror::MirrorOptions;
///
/// let reads = ["/shop.Catalog/Get", "/shop.Catalog/List"];
/// let options = MirrorOptions::new()
///     .select(move |head: &http::request::Parts| reads.contains(&head.uri.path()));
/// # let _ = options;
/// ```
///
/// Upgrades, CONNECT, calls that are copies themselves, and those that
/// [bypass](crate::MirrorOptions::bypass) the mirror are never copied; it is not asked about them.
/// If it panics, the call is not copied.
pub trait Select: Send + Sync + 'static {
    /// Whether the call with this head may be copied.
    fn is_mirrored(&self, head: &Parts) -> bool;
}

impl<F> Select for F
where
    F: Fn(&Parts) -> bool + Send + Sync + 'static,
{
    fn is_mirrored(&self, head: &Parts) -> bool {
        self(head)
    }
}

/// GET, HEAD and OPTIONS: methods that ask for nothing to be changed.
///
/// PUT and DELETE, which are idempotent, are not among them. To do twice what they do is harmless only if
/// nothing came between: a late copy of a PUT takes back a newer one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct SafeMethods;

impl Select for SafeMethods {
    fn is_mirrored(&self, head: &Parts) -> bool {
        matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS)
    }
}
