use std::borrow::Cow;

/// The paths whose calls always go to stable, unsplit, uncounted and untagged.
///
/// Health checks, reflection and metrics say something about the process, not about a release: a canary
/// that lacks a health service must not get the process killed, and probes must not make a canary look
/// good. By default these are bypassed:
///
/// | paths | what |
/// |---|---|
/// | `/grpc.health.v1.*`, `/grpc.reflection.*` | gRPC health checks and reflection |
/// | `/healthz`, `/livez`, `/readyz`, `/health` | probes by their usual names |
/// | `/metrics` | Prometheus' scrapes |
///
/// Under axum's `nest` the path is the whole one, as the client asked for it.
///
/// ```
/// use tower_canary::Bypass;
///
/// let bypass = Bypass::default().path("/internal/ping").prefix("/debug/");
/// assert!(bypass.matches("/metrics"));
/// assert!(bypass.matches("/debug/pprof"));
/// assert!(!bypass.matches("/metrics/other"));
/// ```
#[derive(Clone, Debug)]
pub struct Bypass {
    paths: Vec<Cow<'static, str>>,
    prefixes: Vec<Cow<'static, str>>,
}

impl Bypass {
    /// Bypasses nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self { paths: Vec::new(), prefixes: Vec::new() }
    }

    /// Bypasses this path too.
    #[must_use]
    pub fn path(mut self, path: impl Into<Cow<'static, str>>) -> Self {
        self.paths.push(path.into());
        self
    }

    /// Bypasses all paths that begin with `prefix` too.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<Cow<'static, str>>) -> Self {
        self.prefixes.push(prefix.into());
        self
    }

    /// Whether a request for this path is bypassed.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.paths.iter().any(|bypassed| bypassed == path)
            || self.prefixes.iter().any(|prefix| path.starts_with(&**prefix))
    }
}

impl Default for Bypass {
    fn default() -> Self {
        let paths = ["/healthz", "/livez", "/readyz", "/health", "/metrics"];
        let prefixes = ["/grpc.health.v1.", "/grpc.reflection."];
        Self {
            paths: paths.map(Cow::Borrowed).into(),
            prefixes: prefixes.map(Cow::Borrowed).into(),
        }
    }
}
