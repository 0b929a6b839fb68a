use http::{HeaderMap, Uri, header, request::Parts};

use super::peer::peer;
use crate::problem::{ApiError, Kind};

/// Returns the host name of the request, without the port: of the URI in HTTP/2, or else of the header.
pub(super) fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    if let Some(host) = uri.host() {
        return Some(host);
    }
    let host = headers.get(header::HOST)?.to_str().ok()?;
    // The colons of an IPv6 address are in brackets.
    let port = host.rfind(':').filter(|colon| !host[*colon..].contains(']'));
    Some(port.map_or(host, |colon| &host[..colon]))
}

/// Returns whether the host names this machine.
pub(super) fn is_local(host: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|local| local.eq_ignore_ascii_case(host))
}

/// Refuses requests of other machines, directly or by way of a proxy on this one.
pub(super) fn check_caller(parts: &Parts) -> Result<(), ApiError> {
    let Some(peer) = peer(parts) else {
        return Err(ApiError::new(
            Kind::ForeignCaller,
            "the address of the caller is unknown: serve the application with \
             `into_make_service_with_connect_info::<SocketAddr>()`, or use tokens",
        ));
    };
    if !peer.ip().to_canonical().is_loopback() {
        return Err(ApiError::new(
            Kind::ForeignCaller,
            "without tokens, only callers on the machine of the server have access",
        ));
    }
    let forwarded = FORWARDED.iter().find(|name| parts.headers.contains_key(**name));
    match forwarded {
        None => Ok(()),
        Some(name) => Err(ApiError::new(
            Kind::ForeignCaller,
            format!("a proxy has forwarded the request, as `{name}` says: that needs tokens"),
        )),
    }
}

/// The headers by which proxies tell that a request is not their own.
const FORWARDED: [&str; 5] =
    ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_no_port() {
        for (header, expected) in [
            ("localhost", "localhost"),
            ("localhost:3000", "localhost"),
            ("[::1]", "[::1]"),
            ("[::1]:3000", "[::1]"),
            ("", ""),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, header.parse().unwrap());
            assert_eq!(host(&Uri::from_static("/"), &headers), Some(expected));
        }
    }

    #[test]
    fn only_names_of_this_machine_are_local() {
        assert!(["localhost", "LocalHost", "127.0.0.1", "[::1]"].into_iter().all(is_local));
        for host in ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example"] {
            assert!(!is_local(host), "{host}");
        }
    }
}
