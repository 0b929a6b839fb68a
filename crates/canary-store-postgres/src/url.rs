//! Splits the TLS parameters off a connection URL. tokio-postgres parses the rest.

use std::{path::PathBuf, str::FromStr};

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;

use crate::options::InvalidOption;

/// How a connection is encrypted, and what is verified.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TlsMode {
    Disable,
    Require,
    VerifyCa,
    VerifyFull,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct TlsParameters {
    /// `None` means the default of each host.
    pub(crate) mode: Option<TlsMode>,
    pub(crate) root_certificates: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

pub(crate) fn parse(url: &str) -> Result<(Config, TlsParameters), InvalidOption> {
    let is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
    if !is_url {
        // Not printed: it may be a connection string with a password.
        return Err(InvalidOption::new("the URL", "expected postgres://user@host/database"));
    }
    // Unencoded, `@` and `/` in a password would end up in the host, and so in errors.
    let (_, rest) = url.split_once("://").expect("the URL has a scheme");
    if rest.split('?').next().expect("a first part").matches('@').count() > 1 {
        let expected = "expected `@` in a password to be written as %40";
        return Err(InvalidOption::new("the URL", expected));
    }
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut tls = TlsParameters::default();
    let mut others = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
        match name {
            "sslmode" => tls.mode = Some(value.parse()?),
            "sslrootcert" => tls.root_certificates = Some(value.into()),
            "sslcert" => tls.certificate = Some(value.into()),
            "sslkey" => tls.key = Some(value.into()),
            _ => others.push(pair),
        }
    }
    if tls.certificate.is_some() != tls.key.is_some() {
        return Err(InvalidOption::new("the URL", "expected both sslcert and sslkey, or none"));
    }
    let others = others.join("&");
    let url = if others.is_empty() { base.to_owned() } else { format!("{base}?{others}") };
    let config = Config::from_str(&url).map_err(|error| {
        // The source names the parameter, and not its value.
        let source = std::error::Error::source(&error).map(ToString::to_string);
        InvalidOption::new("the URL", source.unwrap_or_else(|| error.to_string()))
    })?;
    Ok((config, tls))
}

impl FromStr for TlsMode {
    type Err = InvalidOption;

    fn from_str(mode: &str) -> Result<Self, InvalidOption> {
        Ok(match mode {
            "disable" => Self::Disable,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => {
                let what = format!("sslmode {mode:?}");
                let expected = "expected disable, require, verify-ca or verify-full";
                return Err(InvalidOption::new(what, expected));
            }
        })
    }
}
