use canary_core::{Channel, PerChannel, ReleaseId};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{self, Entry},
};

/// How the layer marks which channel served a call.
///
/// | tag | default | what it costs per call |
/// |---|---|---|
/// | response header `x-canary-channel: stable` or `canary` (in gRPC: metadata) | on | no allocation, beyond the growth of the header map |
/// | response header `x-canary-release`, where a [release](crate::CanaryOptions::canary_release) is known | off | the same |
/// | [`Assignment`](crate::Assignment) in the request's extensions, for handlers | on | one allocation; an empty map takes two more |
/// | [`Assignment`](crate::Assignment) in the response's extensions, for outer layers | off | the same |
/// | `cache-control: private` on canary responses | off | a few allocations per canary call |
///
/// Without the request's extension handlers cannot know of a rollback, and an upgraded connection counts as
/// ended with its head.
///
/// ```
/// use http::HeaderName;
/// use tower_canary::Tags;
///
/// let tags = Tags::default()
///     .channel_header(HeaderName::from_static("x-served-by"))
///     .release_header()
///     .private_canary();
/// # let _ = tags;
/// ```
#[derive(Clone, Debug)]
pub struct Tags {
    channel_header: Option<HeaderName>,
    release_header: Option<HeaderName>,
    pub(crate) request_extension: bool,
    pub(crate) response_extension: bool,
    private_canary: bool,
    release_values: PerChannel<Option<HeaderValue>>,
}

impl Tags {
    /// The name of the header that carries the channel, unless another is chosen.
    pub const CHANNEL_HEADER: HeaderName = HeaderName::from_static("x-canary-channel");
    /// The name of the header that carries the release id.
    pub const RELEASE_HEADER: HeaderName = HeaderName::from_static("x-canary-release");

    /// No tag at all.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            channel_header: None,
            release_header: None,
            request_extension: false,
            response_extension: false,
            private_canary: false,
            release_values: PerChannel { stable: None, canary: None },
        }
    }

    /// Only the channel's response header: the choice that allocates nothing.
    #[must_use]
    pub fn header_only() -> Self {
        Self::none().channel_header(Self::CHANNEL_HEADER)
    }

    /// Puts the channel into this response header.
    #[must_use]
    pub fn channel_header(mut self, name: HeaderName) -> Self {
        self.channel_header = Some(name);
        self
    }

    /// Puts the release id into the response header `x-canary-release`.
    #[must_use]
    pub fn release_header(mut self) -> Self {
        self.release_header = Some(Self::RELEASE_HEADER);
        self
    }

    /// Puts the [`Assignment`](crate::Assignment) into the extensions of the request.
    #[must_use]
    pub const fn request_extension(mut self) -> Self {
        self.request_extension = true;
        self
    }

    /// Puts the [`Assignment`](crate::Assignment) into the extensions of the response.
    #[must_use]
    pub const fn response_extension(mut self) -> Self {
        self.response_extension = true;
        self
    }

    /// Keeps the canary's responses out of shared caches, so that a cache in front does not serve to
    /// everybody what the canary said to one.
    ///
    /// Canary responses get `cache-control: private`; what permits shared caching (`public`, `s-maxage`,
    /// `cdn-cache-control`, `surrogate-control`) is removed, and other directives stay. Stable's
    /// responses stay as they are: they are what a shared cache is for.
    #[must_use]
    pub const fn private_canary(mut self) -> Self {
        self.private_canary = true;
        self
    }

    pub(crate) fn set_releases(&mut self, releases: &PerChannel<Option<ReleaseId>>) {
        self.release_values = PerChannel::from_fn(|channel| {
            let release = releases[channel].as_ref()?;
            HeaderValue::from_str(release.as_str()).ok()
        });
    }

    #[inline]
    pub(crate) fn apply(
        &self,
        channel: Channel,
        cookie: Option<&HeaderValue>,
        headers: &mut HeaderMap,
    ) {
        if let Some(name) = &self.channel_header {
            // Constants: a value that is made in the course of a call is checked byte by byte.
            let value = match channel {
                Channel::Stable => const { HeaderValue::from_static(Channel::Stable.as_str()) },
                Channel::Canary => const { HeaderValue::from_static(Channel::Canary.as_str()) },
            };
            headers.insert(name, value);
        }
        if self.release_header.is_some() || self.private_canary || cookie.is_some() {
            self.apply_others(channel, cookie, headers);
        }
    }

    fn apply_others(
        &self,
        channel: Channel,
        cookie: Option<&HeaderValue>,
        headers: &mut HeaderMap,
    ) {
        if let (Some(name), Some(value)) = (&self.release_header, &self.release_values[channel]) {
            headers.insert(name.clone(), value.clone());
        }
        if let Some(cookie) = cookie {
            headers.append(header::SET_COOKIE, cookie.clone());
        }
        if cookie.is_some() || (self.private_canary && channel == Channel::Canary) {
            make_private(headers);
        }
    }
}

impl Default for Tags {
    fn default() -> Self {
        Self::header_only().request_extension()
    }
}

/// Forbids shared caches to keep the response, whatever it permitted before.
fn make_private(headers: &mut HeaderMap) {
    for targeted in ["cdn-cache-control", "surrogate-control"] {
        headers.remove(targeted);
    }
    let values = match headers.entry(header::CACHE_CONTROL) {
        Entry::Vacant(vacant) => {
            vacant.insert(HeaderValue::from_static("private"));
            return;
        }
        Entry::Occupied(occupied) => occupied.remove_entry_mult().1,
    };
    let values: Vec<HeaderValue> = values.collect();
    let mut directives = vec!["private"];
    for value in &values {
        // A value that is no text permits nothing.
        let mut is_quoted = false;
        let ends_directive = |char| {
            is_quoted ^= char == '"';
            char == ',' && !is_quoted
        };
        let directives_of = value.to_str().unwrap_or("").split(ends_directive);
        let kept = directives_of.map(str::trim).filter(|directive| {
            let name = directive.split('=').next().unwrap_or("").trim_end().to_ascii_lowercase();
            !matches!(&*name, "" | "public" | "private" | "s-maxage" | "proxy-revalidate")
        });
        directives.extend(kept);
    }
    let joined = HeaderValue::from_str(&directives.join(", "));
    headers.insert(
        header::CACHE_CONTROL,
        joined.unwrap_or_else(|_| HeaderValue::from_static("private")),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn privately(values: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CACHE_CONTROL, HeaderValue::from_static(value));
        }
        headers.insert("cdn-cache-control", HeaderValue::from_static("max-age=60"));
        Tags::none().private_canary().apply(Channel::Canary, None, &mut headers);
        assert!(!headers.contains_key("cdn-cache-control"));
        assert_eq!(headers.get_all(header::CACHE_CONTROL).iter().count(), 1);
        headers[header::CACHE_CONTROL].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_private_canary_permits_no_shared_cache() {
        assert_eq!(privately(&[]), "private");
        assert_eq!(privately(&["public, max-age=60, s-maxage=600"]), "private, max-age=60");
        assert_eq!(privately(&["Public", "no-store"]), "private, no-store");
        assert_eq!(
            privately(&[r#"private="x-a, x-b", S-MaxAge =1, max-age=5"#]),
            "private, max-age=5"
        );
    }

    #[test]
    fn stable_responses_stay_cacheable() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        Tags::default().private_canary().apply(Channel::Stable, None, &mut headers);
        assert_eq!(headers[header::CACHE_CONTROL], "public");
    }
}
