use std::{fs, str::FromStr};

use anyhow::Context as _;
use canary_store_etcd::{EtcdStore, Tls};
use percent_encoding::percent_decode_str;

/// `//[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT] ..][?PARAMETER=VALUE[&..]]`: the part of a URL after
/// `etcd:`. The parameters have the names and the meaning of those of PostgreSQL.
#[derive(Default)]
pub(super) struct EtcdUrl {
    hosts: Vec<String>,
    user: Option<String>,
    password: Option<String>,
    is_encrypted: bool,
    /// The file with the certificates to trust, instead of those of the system.
    root_certificates: Option<String>,
    /// The file with the certificate of this client, and that with its key.
    certificate: Option<String>,
    key: Option<String>,
}

impl EtcdUrl {
    /// Returns the store, with this password instead of that of the URL.
    pub(super) fn store(self, password: Option<String>) -> anyhow::Result<EtcdStore> {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        let mut builder =
            EtcdStore::builder(self.hosts.iter().map(|host| format!("{scheme}://{host}")));
        if self.is_encrypted {
            builder = builder.tls(self.tls()?);
        }
        match (self.user, password.or(self.password)) {
            (Some(user), password) => builder = builder.user(user, password.unwrap_or_default()),
            (None, Some(_)) => anyhow::bail!("--store: a password without a user"),
            (None, None) => {}
        }
        builder.build().context("--store")
    }

    fn tls(&self) -> anyhow::Result<Tls> {
        let read = |file: &String| fs::read(file).with_context(|| format!("cannot read {file}"));
        let mut tls = Tls::new();
        if let Some(file) = &self.root_certificates {
            tls = tls.ca_certificate(read(file)?);
        }
        if let (Some(certificate), Some(key)) = (&self.certificate, &self.key) {
            tls = tls.client_certificate(read(certificate)?, read(key)?);
        }
        Ok(tls)
    }

    fn set(&mut self, parameter: &str, value: String) -> Result<(), String> {
        match (parameter, value.as_str()) {
            ("sslmode", "disable") => {}
            ("sslmode", "verify-full") => self.is_encrypted = true,
            ("sslmode", _) => return Err("sslmode: expected disable or verify-full".to_owned()),
            ("sslrootcert", _) => self.root_certificates = Some(value),
            ("sslcert", _) => self.certificate = Some(value),
            ("sslkey", _) => self.key = Some(value),
            _ => return Err("expected sslmode, sslrootcert, sslcert or sslkey after ?".to_owned()),
        }
        Ok(())
    }
}

impl FromStr for EtcdUrl {
    type Err = String;

    /// The error does not repeat the text, which may contain a password.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected etcd://[USER:PASSWORD@]HOST:PORT[,HOST:PORT ..]".to_owned();
        let rest = text.strip_prefix("//").ok_or_else(wrong)?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (user, hosts) = match place.split_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, place),
        };
        let hosts = hosts.trim_end_matches('/');
        if hosts.is_empty() {
            return Err(wrong());
        }
        if hosts.contains('@') {
            return Err("expected `@` in a password to be written as %40".to_owned());
        }
        let mut url =
            Self { hosts: hosts.split(',').map(str::to_owned).collect(), ..Self::default() };
        if let Some(user) = user {
            let (user, password) = match user.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (user, None),
            };
            url.user = Some(decode(user)?);
            url.password = password.map(decode).transpose()?;
        }
        let parameters = query.split('&').filter(|pair| !pair.is_empty());
        for (name, value) in parameters.map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
            url.set(name, decode(value)?)?;
        }
        if url.certificate.is_some() != url.key.is_some() {
            return Err("expected both sslcert and sslkey, or none".to_owned());
        }
        if !url.is_encrypted && (url.root_certificates.is_some() || url.certificate.is_some()) {
            return Err("expected sslmode=verify-full for certificates".to_owned());
        }
        Ok(url)
    }
}

fn decode(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| "expected UTF-8 after %".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_hosts_a_user_and_certificates() {
        let url: EtcdUrl = "//a,b:4001/".parse().unwrap();
        assert_eq!(
            (url.hosts, url.user, url.is_encrypted),
            (["a", "b:4001"].map(str::to_owned).into(), None, false)
        );

        let url: EtcdUrl = "//sh%40p:s%3Acr%2Ft@a:2379?sslmode=verify-full&sslrootcert=/ca.pem\
            &sslcert=/c%20d.pem&sslkey=k"
            .parse()
            .unwrap();
        assert_eq!((url.user.as_deref(), url.password.as_deref()), (Some("sh@p"), Some("s:cr/t")));
        assert_eq!(url.hosts, ["a:2379"]);
        assert!(url.is_encrypted);
        let files = [url.root_certificates, url.certificate, url.key];
        assert_eq!(files, ["/ca.pem", "/c d.pem", "k"].map(|file| Some(file.to_owned())));
    }

    #[test]
    fn a_wrong_url_is_refused_without_its_password() {
        for (text, expected) in [
            ("", "expected etcd://"),
            ("a:2379", "expected etcd://"),
            ("//", "expected etcd://"),
            ("//shop:secret@", "expected etcd://"),
            ("//shop:sec@ret@a", "expected `@` in a password to be written as %40"),
            ("//shop:secret@a?ssl=secret", "expected sslmode, sslrootcert, sslcert or sslkey"),
            ("//a?sslmode=require", "sslmode: expected disable or verify-full"),
            ("//a?sslmode=verify-full&sslcert=secret", "expected both sslcert and sslkey"),
            ("//a?sslrootcert=secret", "expected sslmode=verify-full for certificates"),
            ("//shop:%ff@a", "expected UTF-8 after %"),
        ] {
            let error = text.parse::<EtcdUrl>().err().unwrap();
            assert!(error.starts_with(expected) && !error.contains("secret"), "{text}: {error}");
        }
    }
}
