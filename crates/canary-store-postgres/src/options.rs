use std::{fmt, net::IpAddr, str::FromStr, time::Duration};

use tokio_postgres::{
    Config,
    config::{Host, SslMode, TargetSessionAttrs},
};

use crate::url::{self, TlsMode, TlsParameters};

/// Where the tables of a [`PostgresStore`](crate::PostgresStore) are, and how to connect.
///
/// ```
/// use canary_store_postgres::PostgresOptions;
///
/// let url = "postgres://shop:secret@db-1.internal,db-2.internal/shop?sslmode=verify-full";
/// let options = PostgresOptions::from_url(url)?.schema("canary")?;
/// assert!(!format!("{options:?}").contains("secret"));
///
/// let prefer = PostgresOptions::from_url("postgres://db.internal/shop?sslmode=prefer");
/// assert_eq!(
///     prefer.unwrap_err().to_string(),
///     r#"sslmode "prefer": expected disable, require, verify-ca or verify-full"#,
/// );
/// # Ok::<(), canary_store_postgres::InvalidOption>(())
/// ```
#[derive(Clone)]
pub struct PostgresOptions {
    config: Config,
    tls: TlsParameters,
    schema: Option<String>,
    table_prefix: String,
    poll_interval: Duration,
}

impl PostgresOptions {
    /// Parses a URL: `postgres://user:password@host:port/database?sslmode=verify-full`.
    ///
    /// Several hosts, separated by commas, are the servers of one cluster; the store uses the one that
    /// accepts writes. A directory, percent-encoded, in place of a host is that of a Unix socket. The
    /// [crate's documentation](crate#tls) explains `sslmode`, `sslrootcert`, `sslcert` and `sslkey`.
    /// The other parameters are those of [tokio-postgres](tokio_postgres::Config), among them
    /// `application_name` (default `canary`), `options`, and `hostaddr`. The password may also be set
    /// with [`password`](Self::password).
    ///
    /// # Errors
    ///
    /// Returns an error if the URL is invalid, has no host, has an unknown parameter, or asks for a
    /// read-only server.
    pub fn from_url(url: &str) -> Result<Self, InvalidOption> {
        let (mut config, tls) = url::parse(url)?;
        let hosts = config.get_hosts().len().max(config.get_hostaddrs().len());
        if hosts == 0 {
            return Err(InvalidOption::new("the URL", "expected a host"));
        }
        let (names, addresses) = (config.get_hosts().len(), config.get_hostaddrs().len());
        if names > 0 && addresses > 0 && names != addresses {
            let what = format!("{names} hosts and {addresses} values of hostaddr");
            return Err(InvalidOption::new(what, "expected one value for each host"));
        }
        let ports = config.get_ports().len();
        if ports > 1 && ports != hosts {
            let what = format!("{hosts} hosts and {ports} ports");
            return Err(InvalidOption::new(what, "expected one port, or one for each host"));
        }
        if config.get_target_session_attrs() == TargetSessionAttrs::ReadOnly {
            let expected = "expected read-write, because the store writes";
            return Err(InvalidOption::new("target_session_attrs read-only", expected));
        }
        if config.get_application_name().is_none() {
            config.application_name("canary");
        }
        Ok(Self {
            config,
            tls,
            schema: None,
            table_prefix: "canary_".to_owned(),
            poll_interval: Duration::from_secs(5),
        })
    }

    /// Sets the password, instead of that of the URL.
    #[must_use]
    pub fn password(mut self, password: impl AsRef<[u8]>) -> Self {
        self.config.password(password);
        self
    }

    /// Sets the schema of the tables. It is created if it is missing. The default is the first schema
    /// of the role's `search_path`, usually `public`.
    ///
    /// # Errors
    ///
    /// Returns an error unless the name has 1 to 40 characters of `a-z`, `0-9` and `_`, and begins
    /// with a letter.
    pub fn schema(mut self, name: &str) -> Result<Self, InvalidOption> {
        check_name("schema", name)?;
        self.schema = Some(name.to_owned());
        Ok(self)
    }

    /// Sets the beginning of the tables' names. The default is `canary_`.
    ///
    /// # Errors
    ///
    /// Returns an error unless the prefix has 1 to 40 characters of `a-z`, `0-9` and `_`, and begins
    /// with a letter.
    pub fn table_prefix(mut self, prefix: &str) -> Result<Self, InvalidOption> {
        check_name("table prefix", prefix)?;
        prefix.clone_into(&mut self.table_prefix);
        Ok(self)
    }

    /// Sets how often a watch reads its document without having been notified. The default is 5 s. Behind
    /// a pooler, which loses notifications, it is the delay of a change.
    ///
    /// # Errors
    ///
    /// Returns an error unless the interval is between 100 ms and 30 s.
    pub fn poll_interval(mut self, interval: Duration) -> Result<Self, InvalidOption> {
        if !(MIN_POLL_INTERVAL..=MAX_POLL_INTERVAL).contains(&interval) {
            let what = format!("poll interval {interval:?}");
            return Err(InvalidOption::new(what, "expected 100ms to 30s"));
        }
        self.poll_interval = interval;
        Ok(self)
    }

    pub(crate) const fn tls_parameters(&self) -> &TlsParameters {
        &self.tls
    }

    pub(crate) fn schema_name(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.table_prefix
    }

    pub(crate) const fn poll(&self) -> Duration {
        self.poll_interval
    }

    /// Returns the name of the database: by default that of the user.
    pub(crate) fn database(&self) -> &str {
        let name = self.config.get_dbname().or_else(|| self.config.get_user());
        name.unwrap_or("that of the user")
    }

    /// Returns the servers, in the order of the URL.
    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        let (hosts, addresses) = (self.config.get_hosts(), self.config.get_hostaddrs());
        let count = hosts.len().max(addresses.len());
        (0..count)
            .map(|index| self.endpoint(hosts.get(index), addresses.get(index), index))
            .collect()
    }

    fn endpoint(&self, host: Option<&Host>, address: Option<&IpAddr>, index: usize) -> Endpoint {
        let ports = self.config.get_ports();
        let port = ports.get(index).or_else(|| ports.first()).copied().unwrap_or(5432);
        let mut config = self.session_config();
        config.port(port);
        if let Some(address) = address {
            config.hostaddr(*address);
        }
        let (name, is_local) = match host {
            Some(Host::Tcp(name)) => {
                config.host(name);
                let parsed = name.parse::<IpAddr>().ok();
                let is_loopback = parsed.as_ref().or(address).is_some_and(IpAddr::is_loopback);
                (format!("{name}:{port}"), is_loopback || name == "localhost")
            }
            #[cfg(unix)]
            Some(Host::Unix(path)) => {
                config.host_path(path);
                (path.display().to_string(), true)
            }
            None => {
                let address = address.expect("an endpoint has a name or an address");
                (format!("{address}:{port}"), address.is_loopback())
            }
        };
        let default = if is_local { TlsMode::Disable } else { TlsMode::VerifyFull };
        // Servers do not offer TLS on Unix sockets.
        let is_socket = name.starts_with('/');
        let tls = if is_socket { TlsMode::Disable } else { self.tls.mode.unwrap_or(default) };
        let tls = match tls {
            TlsMode::Require if self.tls.root_certificates.is_some() => TlsMode::VerifyCa,
            tls => tls,
        };
        let is_encrypted = tls != TlsMode::Disable;
        config.ssl_mode(if is_encrypted { SslMode::Require } else { SslMode::Disable });
        Endpoint { name, config, tls }
    }

    /// Copies everything except the hosts, which a [`Config`] cannot remove.
    fn session_config(&self) -> Config {
        let from = &self.config;
        let mut config = Config::new();
        if let Some(user) = from.get_user() {
            config.user(user);
        }
        if let Some(password) = from.get_password() {
            config.password(password);
        }
        if let Some(name) = from.get_dbname() {
            config.dbname(name);
        }
        if let Some(options) = from.get_options() {
            config.options(options);
        }
        if let Some(name) = from.get_application_name() {
            config.application_name(name);
        }
        config
            .ssl_negotiation(from.get_ssl_negotiation())
            .channel_binding(from.get_channel_binding())
            // P3.
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            // Half of the deadline of a call, so that the second address of a host gets a chance.
            .connect_timeout(Duration::from_secs(1));
        config
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = self.endpoints().into_iter().map(|endpoint| endpoint.name).collect();
        f.debug_struct("PostgresOptions")
            .field("user", &self.config.get_user())
            .field("hosts", &hosts)
            .field("database", &self.database())
            .field("tls", &self.tls)
            .field("schema", &self.schema)
            .field("table_prefix", &self.table_prefix)
            .field("poll_interval", &self.poll_interval)
            .finish_non_exhaustive()
    }
}

impl FromStr for PostgresOptions {
    type Err = InvalidOption;

    fn from_str(url: &str) -> Result<Self, InvalidOption> {
        Self::from_url(url)
    }
}

/// One server.
#[derive(Clone)]
pub(crate) struct Endpoint {
    /// The host and the port, or the directory of the socket.
    pub(crate) name: String,
    pub(crate) config: Config,
    pub(crate) tls: TlsMode,
}

/// The names are part of SQL, so they need no quoting.
fn check_name(what: &str, name: &str) -> Result<(), InvalidOption> {
    let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    // PostgreSQL truncates longer names of tables to 63 bytes.
    if begins && name.len() <= 40 && name.bytes().all(is_allowed) {
        return Ok(());
    }
    let expected = "expected 1 to 40 characters of a-z, 0-9 and '_', the first a letter";
    Err(InvalidOption::new(format!("{what} {name:?}"), expected))
}

/// The error for an invalid option. The message names the value, unless it may contain a password.
#[derive(Clone, Eq, PartialEq)]
pub struct InvalidOption {
    what: String,
    expected: String,
}

impl InvalidOption {
    pub(crate) fn new(what: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { what: what.into(), expected: expected.into() }
    }
}

impl fmt::Display for InvalidOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.expected)
    }
}

impl fmt::Debug for InvalidOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for InvalidOption {}

const MIN_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// A watch reads after 30 s in any case.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(30);
