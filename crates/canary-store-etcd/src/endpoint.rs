use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::Uri;
use tonic::transport::{self, Channel};

use crate::tls::Tls;

/// An endpoint of etcd, with at most one connection at a time.
pub(crate) struct Endpoint {
    settings: transport::Endpoint,
    connection: Mutex<Connection>,
}

#[derive(Default)]
struct Connection {
    number: u64,
    channel: Option<Channel>,
}

impl Endpoint {
    /// Parses a URL. The error states the expectation.
    pub(crate) fn try_new(
        text: &str,
        tls: Option<&Tls>,
        connect_timeout: Duration,
    ) -> Result<Self, String> {
        let uri = parse(text)?;
        if tls.is_some() && uri.scheme_str() != Some("https") {
            return Err(format!(
                "endpoint {uri}: expected https://, because there are TLS options"
            ));
        }
        let settings = match (uri.scheme_str(), tls) {
            (Some("https"), tls) => {
                let tls = tls.cloned().unwrap_or_default().config(connect_timeout);
                let settings = transport::Endpoint::from(uri.clone()).tls_config(tls);
                settings.map_err(|error| format!("endpoint {uri}: {}", with_causes(&error)))?
            }
            _ => transport::Endpoint::from(uri),
        };
        let settings = settings
            .connect_timeout(connect_timeout)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .tcp_nodelay(true);
        Ok(Self { settings, connection: Mutex::default() })
    }

    pub(crate) fn uri(&self) -> &Uri {
        self.settings.uri()
    }

    /// Returns the connection and its number. The first call connects, and must be made within a
    /// Tokio runtime.
    pub(crate) fn connection(&self) -> (u64, Channel) {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let number = connection.number;
        let channel = connection.channel.get_or_insert_with(|| self.settings.connect_lazy());
        (number, channel.clone())
    }

    /// Makes the next call use a new connection, if this one is still in use.
    ///
    /// A connection whose packets get lost returns no error before its keep-alive fails, and waits
    /// longer and longer until it sends again.
    pub(crate) fn discard(&self, number: u64) {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if connection.number == number {
            *connection = Connection { number: number + 1, channel: None };
        }
    }

    /// Returns whether others can read a password on its way to this endpoint.
    pub(crate) fn is_exposed(&self) -> bool {
        let host = self.uri().host().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse();
        let is_local = host == "localhost"
            || address.is_ok_and(|address: std::net::IpAddr| address.is_loopback());
        self.uri().scheme_str() != Some("https") && !is_local
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uri = self.uri();
        let authority = uri.authority().map_or("", |it| it.as_str());
        write!(f, "{}://{authority}", uri.scheme_str().unwrap_or_default())
    }
}

fn parse(text: &str) -> Result<Uri, String> {
    // Before anything repeats the text: it may contain a password.
    if text.contains('@') {
        return Err(
            "an endpoint contains a user: expected the user beside the endpoints".to_owned()
        );
    }
    let wrong = || {
        format!(
            "endpoint {text:?}: expected http:// or https://, a host and a port, such as {EXAMPLE}"
        )
    };
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let scheme = uri.scheme_str().filter(|it| matches!(*it, "http" | "https")).ok_or_else(wrong)?;
    let authority = uri.authority().filter(|it| !it.host().is_empty()).ok_or_else(wrong)?;
    if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
        return Err(wrong());
    }
    let authority = match authority.port_u16() {
        Some(_) => authority.to_string(),
        None if authority.port().is_none() && !authority.as_str().ends_with(':') => {
            format!("{authority}:{DEFAULT_PORT}")
        }
        None => return Err(wrong()),
    };
    Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query("/")
        .build()
        .map_err(|_| wrong())
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

const EXAMPLE: &str = "http://127.0.0.1:2379";

/// The port that etcd has for its clients.
const DEFAULT_PORT: u16 = 2379;

/// etcd closes connections that ask more often than every 5 s (`--grpc-keepalive-min-time`).
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Result<Endpoint, String> {
        Endpoint::try_new(text, None, Duration::from_secs(1))
    }

    #[test]
    fn an_endpoint_is_a_url_of_a_host() {
        for (text, expected) in [
            ("http://127.0.0.1:4001", "http://127.0.0.1:4001"),
            ("http://etcd-0", "http://etcd-0:2379"),
            ("https://[::1]/", "https://[::1]:2379"),
        ] {
            assert_eq!(endpoint(text).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn other_texts_are_rejected_with_the_expectation() {
        for text in [
            "",
            "etcd-0",
            "etcd-0:2379",
            "etcd://etcd-0:2379",
            "http://",
            "http://etcd:",
            "http://etcd:port",
            "http://etcd:70000",
            "http://etcd:2379/v3",
            "http://etcd:2379?a=b",
            "unix:///run/etcd",
        ] {
            let error = endpoint(text).err().unwrap();
            assert!(error.starts_with(&format!("endpoint {text:?}: expected http://")), "{error}");
        }
    }

    #[test]
    fn a_url_with_a_password_is_rejected_without_repeating_it() {
        let error = endpoint("http://shop:s3cret@etcd:2379").err().unwrap();
        assert_eq!(error, "an endpoint contains a user: expected the user beside the endpoints");
    }

    #[test]
    fn a_password_is_exposed_on_plain_connections_to_other_machines() {
        for (text, expected) in [
            ("http://127.0.0.1", false),
            ("http://[::1]", false),
            ("http://localhost", false),
            ("http://localhost.example", true),
            ("http://10.0.0.1", true),
        ] {
            assert_eq!(endpoint(text).unwrap().is_exposed(), expected, "{text}");
        }
    }
}
