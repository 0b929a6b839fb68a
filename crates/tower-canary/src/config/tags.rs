use canary_core::{Channel, PerChannel, ReleaseId};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The marks that show which channel served a call.
///
/// | tag | default | cost per call |
/// |---|---|---|
/// | response header `x-canary-channel: stable` or `canary` (in gRPC: metadata) | on | no allocation, except if the header map has to grow |
/// | response header `x-canary-release`, if the [release](crate::CanaryOptions::canary_release) is set | off | the same |
/// | [`Assignment`](crate::Assignment) in the extensions of the request, for handlers | on | one allocation, or three if the extensions were empty |
/// | [`Assignment`](crate::Assignment) in the extensions of the response, for outer layers | off | the same |
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

    /// Sets the headers of a response. Returns whether they tell the caller its channel.
    #[inline]
    pub(crate) fn apply(
        &self,
        channel: Channel,
        cookie: Option<&HeaderValue>,
        headers: &mut HeaderMap,
    ) -> bool {
        if let Some(name) = &self.channel_header {
            // Constants, because `from_static` checks each byte when it runs.
            let value = match channel {
                Channel::Stable => const { HeaderValue::from_static(Channel::Stable.as_str()) },
                Channel::Canary => const { HeaderValue::from_static(Channel::Canary.as_str()) },
            };
            headers.insert(name, value);
        }
        if self.release_header.is_some() || cookie.is_some() {
            self.apply_rare(channel, cookie, headers);
        }
        self.channel_header.is_some() || self.release_header.is_some()
    }

    fn apply_rare(&self, channel: Channel, cookie: Option<&HeaderValue>, headers: &mut HeaderMap) {
        if let (Some(name), Some(value)) = (&self.release_header, &self.release_values[channel]) {
            headers.insert(name.clone(), value.clone());
        }
        if let Some(cookie) = cookie {
            headers.append(header::SET_COOKIE, cookie.clone());
        }
    }
}

impl Default for Tags {
    fn default() -> Self {
        Self::header_only().request_extension()
    }
}
