use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use http::HeaderValue;

use super::{base_url::BaseUrl, error::ClientError, tls, transport::Transport};

/// A client of the API of one server. Clones share their connections.
///
/// See the [module docs](super) for an example.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) transport: Transport,
}

impl Client {
    /// Creates a client without a token, for the API below this URL.
    ///
    /// # Errors
    ///
    /// Returns an error if the URL is invalid, or if it is an `https` URL and the system has no root
    /// certificates.
    pub fn new(url: &str) -> Result<Self, ClientError> {
        Self::builder(url).build()
    }

    /// Returns a builder of a client for the API below this URL.
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            url: url.into(),
            token: None,
            allow_exposed_token: false,
            ca_file: None,
            timeout: Duration::from_secs(15),
            silence_limit: Duration::from_secs(20),
        }
    }

    /// Returns the URL of the API, with a `/` at its end.
    #[must_use]
    pub fn url(&self) -> &str {
        self.transport.base.as_str()
    }
}

/// Builds a [`Client`].
#[derive(Clone)]
#[must_use = "a builder does nothing before `build`"]
pub struct ClientBuilder {
    url: String,
    token: Option<String>,
    allow_exposed_token: bool,
    ca_file: Option<PathBuf>,
    timeout: Duration,
    silence_limit: Duration,
}

impl ClientBuilder {
    /// Sets the token of the caller. One line break at its end, as files have it, is not a part of it.
    pub fn token(self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self }
    }

    /// Allows the token to be sent over plain HTTP beyond this machine, where others can read it.
    pub fn allow_exposed_token(self) -> Self {
        Self { allow_exposed_token: true, ..self }
    }

    /// Trusts only the certificates in this file, in PEM format, instead of those of the system.
    pub fn ca_file(self, file: impl Into<PathBuf>) -> Self {
        Self { ca_file: Some(file.into()), ..self }
    }

    /// Sets the time limit of a request, from the connection to the end of the response. The default
    /// is 15 seconds. Streams have no time limit.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sets how long a stream may be silent until it connects again. The default is 20 seconds. A
    /// server sends something every second, and every 15 seconds if the rollout cannot be seen.
    pub fn silence_limit(self, silence_limit: Duration) -> Self {
        Self { silence_limit, ..self }
    }

    /// Builds the client. Nothing is sent.
    ///
    /// # Errors
    ///
    /// Returns an error if the URL, the token or the file of certificates is invalid, if the token
    /// would be exposed, or if an `https` URL needs root certificates and the system has none.
    pub fn build(self) -> Result<Client, ClientError> {
        let base = BaseUrl::parse(&self.url).map_err(ClientError::Url)?;
        self.try_build(base).map_err(ClientError::Settings)
    }

    fn try_build(self, base: BaseUrl) -> Result<Client, String> {
        if self.token.is_some() && base.is_exposed() && !self.allow_exposed_token {
            return Err(format!(
                "a token for {} could be read by others on its way: expected an https URL",
                base.as_str()
            ));
        }
        let authorization = self.token.as_deref().map(bearer).transpose()?;
        let tls = if base.is_https() {
            tls::trusting(self.ca_file.as_deref())?
        } else {
            self.ca_file
                .as_deref()
                .map_or_else(tls::unused, |file: &Path| tls::trusting(Some(file)))?
        };
        let transport = Transport::new(base, authorization, tls, self.timeout, self.silence_limit);
        Ok(Client { transport })
    }
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url, token, allow_exposed_token, ca_file, timeout, silence_limit } = self;
        f.debug_struct("ClientBuilder")
            .field("url", url)
            .field("token", &token.as_ref().map(|_| "[redacted]"))
            .field("allow_exposed_token", allow_exposed_token)
            .field("ca_file", ca_file)
            .field("timeout", timeout)
            .field("silence_limit", silence_limit)
            .finish()
    }
}

fn bearer(token: &str) -> Result<HeaderValue, String> {
    let token = token.strip_suffix('\n').map_or(token, |it| it.strip_suffix('\r').unwrap_or(it));
    let is_valid = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let header = HeaderValue::try_from(format!("Bearer {token}")).ok().filter(|_| is_valid);
    let mut header = header.ok_or("token: expected visible ASCII characters without spaces")?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_neither_exposed_nor_shown() {
        let builder = Client::builder("http://shop.example/canary").token("s3cret");
        assert!(!format!("{builder:?}").contains("s3cret"));
        let error = builder.clone().build().unwrap_err().to_string();
        assert!(error.contains("expected an https URL"), "{error}");
        let client = builder.allow_exposed_token().build().unwrap();
        assert!(!format!("{client:?}").contains("s3cret"));
        let client = Client::builder("http://127.0.0.1:3000/canary").token("s3cret\n").build();
        assert_eq!(client.unwrap().url(), "http://127.0.0.1:3000/canary/");
    }

    #[test]
    fn a_wrong_token_is_refused_without_being_shown() {
        for token in ["", "\n", "two words", "lines\n\n", "line\r", "s3cr\u{e9}t"] {
            let error = Client::builder("http://localhost").token(token).build().unwrap_err();
            assert_eq!(
                error.to_string(),
                "token: expected visible ASCII characters without spaces"
            );
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let error = Client::builder("http://localhost").ca_file("Cargo.toml").build().unwrap_err();
        assert_eq!(
            error.to_string(),
            "certificates Cargo.toml: expected certificates in PEM format"
        );
        let error = Client::builder("https://localhost").ca_file("none.pem").build().unwrap_err();
        assert!(error.to_string().starts_with("certificates none.pem: "), "{error}");
    }
}
