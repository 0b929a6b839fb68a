//! Who may use the API, and what for.

mod guard;
mod loopback;
mod peer;
mod permission;
mod throttle;
mod tokens;

use std::{fmt, path::PathBuf, sync::Arc};

use canary_api::{Operator, Role};
use http::request::Parts;

use self::tokens::TokenFile;
pub use self::tokens::TokenFileError;
pub(crate) use self::{
    guard::guard,
    peer::{Peer, network},
    permission::{Caller, authenticate},
    throttle::Throttle,
};

/// Decides who may use the API. Every request needs an [`Operator`]; static files of the page, which
/// have no data, do not.
///
/// | access | operators | the API may be reached from |
/// |---|---|---|
/// | [`loopback`](Self::loopback) | every caller on this machine, with all rights | this machine |
/// | [`tokens`](Self::tokens) | those that a file lists by the digest of their token | anywhere |
/// | [`hook`](Self::hook) | those that a function of the application returns | anywhere |
#[derive(Clone)]
pub struct Access(Kind);

#[derive(Clone)]
pub(crate) enum Kind {
    Loopback,
    Tokens(Arc<TokenFile>),
    Hook(Hook),
}

type Hook = Arc<dyn Fn(&Parts) -> Option<Operator> + Send + Sync>;

impl Access {
    /// Allows everything to callers on this machine, and nothing to others.
    ///
    /// A request must come from a loopback address, without the headers that proxies add. A proxy on this
    /// machine that adds none looks like a caller on this machine: behind a proxy, use
    /// [`tokens`](Self::tokens). The `Host` of a request must be `localhost`, `127.0.0.1`, `[::1]` or an
    /// [allowed](crate::AdminBuilder::allow_host) one, so that a website cannot reach the API under its own
    /// name. The address of the caller is known only if the application serves with
    /// `into_make_service_with_connect_info::<SocketAddr>()`; without it, every request is refused.
    #[must_use]
    pub const fn loopback() -> Self {
        Self(Kind::Loopback)
    }

    /// Allows what the file says to the holder of each token. A token is sent in the header
    /// `Authorization: Bearer ..`, never in a URL.
    ///
    /// The file has a line `name:role:digest` for each token, or `name:approve:digest:gate,gate` for a
    /// token that answers only these gates. The role is `view`, `approve` or `operate`, and the digest
    /// is the SHA-256 of the token in hexadecimal digits. Empty lines and lines that begin with `#` do
    /// not count. A name that ends in `[bot]` is a program in the history.
    ///
    /// ```sh
    /// token=$(head -c 24 /dev/urandom | base64)
    /// printf 'ada:operate:%s\n' "$(printf %s "$token" | sha256sum | cut -d ' ' -f 1)" >> tokens
    /// ```
    ///
    /// The file is read again within a second when it changes: to revoke a token, remove its line. Its
    /// open streams end within some seconds. If the file is faulty or missing, or the file system does
    /// not answer, the former tokens stay valid, so that an editor that writes it in two steps locks out
    /// no operator. An error is logged at once and, while requests with tokens arrive, each minute.
    ///
    /// # Errors
    ///
    /// Returns an error that names the line if the file cannot be read, or has a fault, a name or a
    /// digest twice, or no token.
    pub fn tokens(file: impl Into<PathBuf>) -> Result<Self, TokenFileError> {
        Ok(Self(Kind::Tokens(Arc::new(TokenFile::open(file.into())?))))
    }

    /// Allows what a function of the application says, which gets the head of each request. `None`
    /// refuses it with 401.
    ///
    /// The function must check a credential that other websites cannot use. Requests that change
    /// something are protected against other websites even if it is a cookie.
    pub fn hook(operator: impl Fn(&Parts) -> Option<Operator> + Send + Sync + 'static) -> Self {
        Self(Kind::Hook(Arc::new(operator)))
    }

    pub(crate) const fn is_loopback(&self) -> bool {
        matches!(self.0, Kind::Loopback)
    }

    /// Returns the operator whose credentials the request has.
    pub(crate) async fn operator(&self, parts: &Parts) -> Option<Operator> {
        match &self.0 {
            // The guard has checked that the caller is on this machine.
            Kind::Loopback => Some(Operator::new(LOCAL, Role::Operate)),
            Kind::Tokens(file) => file.operator(permission::bearer(&parts.headers)?).await,
            Kind::Hook(hook) => hook(parts),
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Loopback => "Access::loopback",
            Kind::Tokens(_) => "Access::tokens",
            Kind::Hook(_) => "Access::hook",
        })
    }
}

/// The name of all callers on this machine, in the history.
const LOCAL: &str = "localhost";
