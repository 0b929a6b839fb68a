use canary_core::{Channel, PerChannel, ReleaseId};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{self, Entry},
};

/// The marks that show which channel served a call.
///
/// | tag | default | cost per call |
/// |---|---|---|
/// | response header `x-canary-channel: stable` or `canary` (in gRPC: metadata) | on | no allocation, except if the header map has to grow |
/// | response header `x-canary-release`, if the [release](crate::CanaryOptions::canary_release) is set | off | the same |
/// | [`Assignment`](crate::Assignment) in the extensions of the request, for handlers | on | one allocation, or three if the extensions were empty |
/// | [`Assignment`](crate::Assignment) in the extensions of the response, for outer layers | off | the same |
/// | `cache-control: private` on responses of the canary | off | a few allocations per canary call |
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
            private_canary: false,
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

    /// Keeps responses of the canary out of shared caches, which would serve them to other callers.
    ///
    /// These responses get `cache-control: private`. Directives and headers that permit shared
    /// caching (`public`, `s-maxage`, `cdn-cache-control`, `surrogate-control`) are removed; other
    /// directives stay. Responses of stable do not change.
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
            // Constants, because `from_static` checks each byte when it runs.
            let value = match channel {
                Channel::Stable => const { HeaderValue::from_static(Channel::Stable.as_str()) },
                Channel::Canary => const { HeaderValue::from_static(Channel::Canary.as_str()) },
            };
            headers.insert(name, value);
        }
        if self.release_header.is_some() || self.private_canary || cookie.is_some() {
            self.apply_rare(channel, cookie, headers);
        }
    }

    fn apply_rare(&self, channel: Channel, cookie: Option<&HeaderValue>, headers: &mut HeaderMap) {
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

/// Forbids shared caches to store the response.
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
        // A value that is not ASCII is dropped.
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

    fn cache_control_of(values: &[&'static str]) -> String {
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
    fn responses_of_a_private_canary_permit_no_shared_cache() {
        assert_eq!(cache_control_of(&[]), "private");
        assert_eq!(cache_control_of(&["public, max-age=60, s-maxage=600"]), "private, max-age=60");
        assert_eq!(cache_control_of(&["Public", "no-store"]), "private, no-store");
        assert_eq!(
            cache_control_of(&[r#"private="x-a, x-b", S-MaxAge =1, max-age=5"#]),
            "private, max-age=5"
        );
    }

    #[test]
    fn responses_of_stable_stay_cacheable() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        Tags::default().private_canary().apply(Channel::Stable, None, &mut headers);
        assert_eq!(headers[header::CACHE_CONTROL], "public");
    }
}
