use std::sync::Arc;

use canary_core::{Channel, PerChannel, ReleaseId};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::select::{Condition, RequestHead};

/// The marks that show which channel served a call.
///
/// | tag | default | cost per call |
/// |---|---|---|
/// | response header `x-canary-channel: stable` or `canary` (in gRPC: metadata) | on | no allocation, except if the header map has to grow |
/// | response header `x-canary-release`, if the [release](crate::CanaryOptions::canary_release) is set | off | the same |
/// | [`Assignment`](crate::Assignment) in the extensions of the request, for handlers | on | one allocation, or three if the extensions were empty |
/// | [`Assignment`](crate::Assignment) in the extensions of the response, for outer layers | off | the same |
///
/// A caller who sees the headers knows its channel before the response ends. See
/// [`show_to`](Self::show_to) for what it can do with that.
///
/// Without the request extension, handlers cannot learn of a rollback, and the call of an upgraded
/// connection ends with its response head.
///
/// ```
/// use http::HeaderName;
/// use tower_canary::Tags;
///
/// let tags = Tags::default()
///     .channel_header(HeaderName::from_static("x-served-by"))
///     .release_header();
/// # let _ = tags;
/// ```
#[derive(Clone, Debug)]
pub struct Tags {
    channel_header: Option<HeaderName>,
    release_header: Option<HeaderName>,
    /// `None` if the headers are shown to all callers.
    shown_to: Option<Arc<Condition>>,
    pub(crate) request_extension: bool,
    pub(crate) response_extension: bool,
    release_values: PerChannel<Option<HeaderValue>>,
}

impl Tags {
    /// The default name of the channel header.
    pub const CHANNEL_HEADER: HeaderName = HeaderName::from_static("x-canary-channel");
    /// The name of the release header.
    pub const RELEASE_HEADER: HeaderName = HeaderName::from_static("x-canary-release");

    /// Disables all tags.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            channel_header: None,
            release_header: None,
            shown_to: None,
            request_extension: false,
            response_extension: false,
            release_values: PerChannel { stable: None, canary: None },
        }
    }

    /// Enables only the channel header, which does not allocate.
    #[must_use]
    pub fn header_only() -> Self {
        Self::none().channel_header(Self::CHANNEL_HEADER)
    }

    /// Enables the channel header, with this name.
    #[must_use]
    pub fn channel_header(mut self, name: HeaderName) -> Self {
        self.channel_header = Some(name);
        self
    }

    /// Enables the release header.
    #[must_use]
    pub fn release_header(mut self) -> Self {
        self.release_header = Some(Self::RELEASE_HEADER);
        self
    }

    /// Shows the headers only to callers whose requests meet the condition.
    ///
    /// A caller who knows its channel can behave differently on the canary, for example leave it, and
    /// so influence the verdict. To limit this, calls that are cancelled after the headers were shown
    /// are not compared between the channels. Callers who do not see the headers are compared, which
    /// finds more faults of the canary. At the edge, show the headers to your own staff only.
    ///
    /// Callers who do not see the headers get `cache-control: private` from both channels while the
    /// weight is between 0 and 100 %, because a difference would tell the channel; see
    /// [`cacheable_canary`](crate::CanaryOptions::cacheable_canary). They can still tell the versions
    /// apart if the responses differ otherwise, for example in their text or speed.
    ///
    /// ```
    /// use http::HeaderName;
    /// use tower_canary::{Tags, select::Condition};
    ///
    /// // A proxy sets this header for employees, and removes it from other requests.
    /// let staff = Condition::has_header(HeaderName::from_static("x-employee"));
    /// let tags = Tags::default().show_to(staff);
    /// # let _ = tags;
    /// ```
    #[must_use]
    pub fn show_to(mut self, condition: Condition) -> Self {
        self.shown_to = Some(Arc::new(condition));
        self
    }

    /// Enables the [`Assignment`](crate::Assignment) in the extensions of the request.
    #[must_use]
    pub const fn request_extension(mut self) -> Self {
        self.request_extension = true;
        self
    }

    /// Enables the [`Assignment`](crate::Assignment) in the extensions of the response.
    #[must_use]
    pub const fn response_extension(mut self) -> Self {
        self.response_extension = true;
        self
    }

    pub(crate) fn set_releases(&mut self, releases: &PerChannel<Option<ReleaseId>>) {
        self.release_values = PerChannel::from_fn(|channel| {
            let release = releases[channel].as_ref()?;
            HeaderValue::from_str(release.as_str()).ok()
        });
    }

    /// Returns whether the headers are shown to the caller of this request.
    #[inline]
    pub(crate) fn are_shown_to(&self, request: &RequestHead<'_>) -> bool {
        self.shown_to.as_ref().is_none_or(|condition| condition.matches(request))
    }

    /// Sets the headers of a response. Returns whether they tell the caller its channel.
    #[inline]
    pub(crate) fn apply(&self, channel: Channel, headers: &mut HeaderMap) -> bool {
        if let Some(name) = &self.channel_header {
            // Constants, because `from_static` checks each byte when it runs.
            let value = match channel {
                Channel::Stable => const { HeaderValue::from_static(Channel::Stable.as_str()) },
                Channel::Canary => const { HeaderValue::from_static(Channel::Canary.as_str()) },
            };
            headers.insert(name, value);
        }
        if let (Some(name), Some(value)) = (&self.release_header, &self.release_values[channel]) {
            headers.insert(name.clone(), value.clone());
        }
        self.channel_header.is_some() || self.release_header.is_some()
    }
}

impl Default for Tags {
    fn default() -> Self {
        Self::header_only().request_extension()
    }
}
