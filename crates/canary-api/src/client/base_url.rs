use std::{fmt, net::IpAddr};

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The URL below which the API is served. Its path ends in `/`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct BaseUrl {
    text: String,
    is_https: bool,
    is_loopback: bool,
}

impl BaseUrl {
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let wrong = |expected: &str| Err(format!("url {url:?}: expected {expected}"));
        let Some((scheme, _)) = url.split_once("://") else {
            return wrong("http:// or https:// at its start");
        };
        let is_https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return wrong("the scheme http or https"),
        };
        let uri: Uri = match url.parse() {
            Ok(uri) => uri,
            Err(error) => return Err(format!("url {url:?}: {error}")),
        };
        let Some(host) = uri.host().filter(|host| !host.is_empty()) else {
            return wrong("a host");
        };
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            // The value may hold a password.
            return Err("url: expected no user and no password before the host".to_owned());
        }
        if url.contains(['?', '#']) {
            return wrong("no query and no fragment");
        }
        let slash = if url.ends_with('/') { "" } else { "/" };
        Ok(Self { text: format!("{url}{slash}"), is_https, is_loopback: is_loopback(host) })
    }

    /// Returns whether a request to this URL can be read by others on its way.
    pub(super) const fn is_exposed(&self) -> bool {
        !self.is_https && !self.is_loopback
    }

    pub(super) const fn is_https(&self) -> bool {
        self.is_https
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the URL of a resource.
    pub(super) fn resource(&self, path: &Path) -> String {
        format!("{}{path}", self.text)
    }
}

fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
    address.map_or_else(
        |_| name == "localhost" || name.ends_with(".localhost"),
        |address| address.is_loopback(),
    )
}

/// The path of a resource below the base URL, with its query.
#[derive(Clone, Debug)]
pub(super) struct Path(String);

impl Path {
    pub(super) fn new(path: &str) -> Self {
        Self(path.to_owned())
    }

    /// Returns the path of a canary's resource, such as `events`.
    pub(super) fn of_canary(canary: &str, resource: &str) -> Self {
        let canary = utf8_percent_encode(canary, NOT_UNRESERVED);
        let slash = if resource.is_empty() { "" } else { "/" };
        Self(format!("canaries/{canary}{slash}{resource}"))
    }

    /// Adds a parameter to the query, if it has a value.
    #[must_use]
    pub(super) fn query(mut self, name: &str, value: Option<impl fmt::Display>) -> Self {
        if let Some(value) = value {
            let value = value.to_string();
            let separator = if self.0.contains('?') { '&' } else { '?' };
            self.0.push(separator);
            self.0.push_str(name);
            self.0.push('=');
            self.0.extend(utf8_percent_encode(&value, NOT_UNRESERVED));
        }
        self
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All characters except the unreserved ones of RFC 3986.
const NOT_UNRESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_below_the_base_url() {
        for url in ["http://127.0.0.1:3000/canary", "http://127.0.0.1:3000/canary/"] {
            let base = BaseUrl::parse(url).unwrap();
            let path = Path::of_canary("shop", "events").query("after", Some("1-2"));
            let path = path.query("most", Some(5)).query("none", None::<u32>);
            assert_eq!(
                base.resource(&path),
                "http://127.0.0.1:3000/canary/canaries/shop/events?after=1-2&most=5",
            );
        }
        let odd = Path::of_canary("a/../b c", "").query("after", Some("&x=1"));
        assert_eq!(odd.to_string(), "canaries/a%2F..%2Fb%20c?after=%26x%3D1");
    }

    #[test]
    fn a_wrong_url_is_refused_with_the_expectation() {
        for (url, expected) in [
            ("127.0.0.1:3000", "expected http:// or https:// at its start"),
            ("ftp://shop", "expected the scheme http or https"),
            ("http:///canary", "url \"http:///canary\": "),
            ("http://shop/canary?x=1", "expected no query and no fragment"),
            ("http://shop/canary#top", "expected no query and no fragment"),
            ("http://ada:secret@shop/", "expected no user and no password"),
            ("http://shop/a b", "url \"http://shop/a b\": "),
        ] {
            let error = BaseUrl::parse(url).unwrap_err();
            assert!(error.contains(expected), "{url}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn only_plain_http_beyond_loopback_is_exposed() {
        for (url, exposed) in [
            ("http://127.0.0.1/", false),
            ("http://127.8.0.1:80/", false),
            ("http://[::1]:3000/", false),
            ("http://LocalHost:3000/", false),
            ("http://shop.localhost/", false),
            ("https://shop.example/", false),
            ("HTTPS://shop.example/", false),
            ("http://shop.example/", true),
            ("http://localhost.example/", true),
            ("http://10.0.0.1/", true),
        ] {
            assert_eq!(BaseUrl::parse(url).unwrap().is_exposed(), exposed, "{url}");
        }
    }
}
