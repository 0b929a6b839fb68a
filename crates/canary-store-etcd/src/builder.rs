use std::{fmt, sync::Arc, time::Duration};

use canary_controller::store::CALL_DEADLINE;

use crate::{cluster::Cluster, endpoint::Endpoint, store::EtcdStore, tls::Tls, tokens::Tokens};

/// Builds an [`EtcdStore`].
#[derive(Clone)]
#[must_use = "a builder does nothing before `build`"]
pub struct EtcdStoreBuilder {
    endpoints: Vec<String>,
    user: Option<(String, String)>,
    allow_exposed_password: bool,
    tls: Option<Tls>,
}

impl EtcdStoreBuilder {
    pub(crate) const fn new(endpoints: Vec<String>) -> Self {
        Self { endpoints, user: None, allow_exposed_password: false, tls: None }
    }

    /// Sets the user and the password, for a server with authentication. The store gets a token for
    /// them, and another one when the server no longer accepts it. A server without authentication is
    /// used without a token.
    pub fn user(self, name: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: Some((name.into(), password.into())), ..self }
    }

    /// Allows the password to be sent without TLS beyond this machine, where others can read it.
    pub fn allow_exposed_password(self) -> Self {
        Self { allow_exposed_password: true, ..self }
    }

    /// Sets the options of TLS. All endpoints must then begin with `https://`.
    pub fn tls(self, tls: Tls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Builds the store. Nothing is sent: the first call connects.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no endpoint, if an endpoint is not the URL of a host, if it does
    /// not fit to the options of TLS, if a certificate or key is invalid, if the user has no name, or
    /// if the password would be exposed.
    pub fn build(self) -> Result<EtcdStore, InvalidOptions> {
        self.try_build().map_err(InvalidOptions)
    }

    fn try_build(self) -> Result<EtcdStore, String> {
        if let Some(tls) = &self.tls
            && let Some(text) = tls.text_without_certificates()
        {
            return Err(format!("{text}: expected certificates in PEM format"));
        }
        let count = u32::try_from(self.endpoints.len()).unwrap_or(u32::MAX);
        // Several endpoints, of which all but one do not respond, leave time for that one.
        let connect_timeout =
            CALL_DEADLINE.checked_div(count + 1).unwrap_or_default().max(MIN_CONNECT_TIMEOUT);
        let parse = |text: &String| Endpoint::try_new(text, self.tls.as_ref(), connect_timeout);
        let endpoints = self.endpoints.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        if endpoints.is_empty() {
            return Err("no endpoints: expected at least one, such as http://127.0.0.1:2379".into());
        }
        if let Some((name, _)) = &self.user {
            if name.is_empty() {
                return Err(r#"user "": expected a name"#.to_owned());
            }
            let exposed = endpoints.iter().find(|endpoint| endpoint.is_exposed());
            if let Some(endpoint) = exposed.filter(|_| !self.allow_exposed_password) {
                return Err(format!(
                    "endpoint {endpoint}: others could read the password on its way: expected https://"
                ));
            }
        }
        let tokens = self.user.map(|(name, password)| Tokens::new(name, password));
        Ok(EtcdStore::new(Arc::new(Cluster::new(endpoints, tokens))))
    }
}

impl fmt::Debug for EtcdStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoints, user, allow_exposed_password, tls } = self;
        // A URL with a password is invalid, but may be here.
        let endpoints: Vec<_> =
            endpoints.iter().map(|it| if it.contains('@') { "[redacted]" } else { it }).collect();
        f.debug_struct("EtcdStoreBuilder")
            .field("endpoints", &endpoints)
            .field("user", &user.as_ref().map(|(name, _)| name))
            .field("allow_exposed_password", allow_exposed_password)
            .field("tls", tls)
            .finish_non_exhaustive()
    }
}

/// The error for options that do not describe a store. The message states the expectation.
#[derive(Clone, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidOptions(String);

impl fmt::Debug for InvalidOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const MIN_CONNECT_TIMEOUT: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: [&str; 1] = ["http://127.0.0.1:2379"];

    fn error_of(builder: EtcdStoreBuilder) -> String {
        builder.build().unwrap_err().to_string()
    }

    #[test]
    fn invalid_options_are_rejected_with_the_expectation() {
        for (builder, expected) in [
            (EtcdStore::builder([] as [&str; 0]), "no endpoints: expected at least one"),
            (EtcdStore::builder(["http://a", "b"]), r#"endpoint "b": expected http://"#),
            (EtcdStore::builder(LOCAL).user("", "x"), r#"user "": expected a name"#),
            (
                EtcdStore::builder(LOCAL).tls(Tls::new()),
                "endpoint http://127.0.0.1:2379/: expected https://, because there are TLS options",
            ),
            (
                EtcdStore::builder(["https://a"]).tls(Tls::new().ca_certificate("no certificate")),
                "CA certificate: expected certificates in PEM format",
            ),
            (
                EtcdStore::builder(["https://a"]).tls(Tls::new().client_certificate("", "")),
                "client certificate: expected certificates in PEM format",
            ),
        ] {
            let error = error_of(builder);
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_password_is_neither_exposed_nor_shown() {
        let builder = EtcdStore::builder(["http://etcd-0"]).user("shop", "s3cret");
        assert!(!format!("{builder:?}").contains("s3cret"));
        let error = error_of(builder.clone());
        assert!(error.contains("expected https://") && !error.contains("s3cret"), "{error}");
        let store = builder.allow_exposed_password().build().unwrap();
        let shown = format!("{store:?}");
        assert!(shown.contains("shop") && !shown.contains("s3cret"), "{shown}");

        let builder = EtcdStore::builder(["http://shop:s3cret@etcd-0"]);
        assert!(!format!("{builder:?}").contains("s3cret"));
        assert!(!error_of(builder).contains("s3cret"));
        let tls = Tls::new().client_certificate("s3cret", "s3cret");
        assert!(!format!("{tls:?}").contains("s3cret"));
    }
}
