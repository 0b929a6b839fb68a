use std::fmt;

use http::Uri;

/// The scheme, host and port of a URL, for errors and logs. The user, path and query are omitted
/// because they may be secret: anyone with the path of a Slack webhook can post to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct RedactedUrl(String);

impl RedactedUrl {
    pub(crate) fn of(uri: &Uri) -> Self {
        let scheme = uri.scheme_str().unwrap_or("http");
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        Self(format!("{scheme}://{host}{port}"))
    }
}

impl fmt::Display for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
