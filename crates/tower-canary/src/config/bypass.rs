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
    initials: Initials,
}

impl Bypass {
    /// Bypasses nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self { paths: Vec::new(), prefixes: Vec::new(), initials: Initials::NONE }
    }

    /// Bypasses this path too.
    #[must_use]
    pub fn path(mut self, path: impl Into<Cow<'static, str>>) -> Self {
        let path = path.into();
        self.initials.add(&path);
        self.paths.push(path);
        self
    }

    /// Bypasses all paths that begin with `prefix` too.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<Cow<'static, str>>) -> Self {
        let prefix = prefix.into();
        self.initials.add(&prefix);
        self.prefixes.push(prefix);
        self
    }

    /// Whether a request for this path is bypassed.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.initials.may_have(path) && self.finds(path)
    }

    fn finds(&self, path: &str) -> bool {
        self.paths.iter().any(|bypassed| bypassed == path)
            || self.prefixes.iter().any(|prefix| path.starts_with(&**prefix))
    }
}

impl Default for Bypass {
    fn default() -> Self {
        let paths = ["/healthz", "/livez", "/readyz", "/health", "/metrics"];
        let prefixes = ["/grpc.health.v1.", "/grpc.reflection."];
        let bypass = paths.into_iter().fold(Self::none(), Self::path);
        prefixes.into_iter().fold(bypass, Self::prefix)
    }
}

/// The bytes that follow the slash of what is bypassed: most paths are told by it to be none of them.
#[derive(Clone, Copy, Debug)]
struct Initials([u64; 4]);

impl Initials {
    const NONE: Self = Self([0; 4]);
    const ALL: Self = Self([u64::MAX; 4]);

    fn add(&mut self, bypassed: &str) {
        match bypassed.as_bytes() {
            [_, initial, ..] => self.0[usize::from(initial / 64)] |= 1 << (initial % 64),
            _ => *self = Self::ALL,
        }
    }

    fn may_have(&self, path: &str) -> bool {
        match path.as_bytes() {
            [_, initial, ..] => self.0[usize::from(initial / 64)] & (1 << (initial % 64)) != 0,
            // As short as what made it all of them, if anything did.
            _ => self.0[0] == u64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_paths_and_prefixes_are_found_too() {
        assert!(Bypass::none().path("/").matches("/"));
        assert!(!Bypass::none().path("/").matches("/a"));
        assert!(Bypass::none().prefix("/").matches("/"));
        assert!(Bypass::none().prefix("").matches("/\u{e9}"));
        assert!(Bypass::none().path("*").matches("*"));
        assert!(Bypass::none().path("/\u{e9}").matches("/\u{e9}"));
        assert!(!Bypass::default().matches("/"));
        assert!(!Bypass::default().matches(""));
    }

    #[test]
    fn one_of_many_is_found_and_its_neighbors_are_not() {
        let bypass = Bypass::default().path("/internal/ping").prefix("/debug/");
        for path in
            ["/healthz", "/health", "/readyz", "/debug/pprof", "/grpc.health.v1.Health/Check"]
        {
            assert!(bypass.matches(path), "{path}");
        }
        for path in ["/healthy", "/items", "/debug", "/grpc.Other/Call", "/internal/ping/2"] {
            assert!(!bypass.matches(path), "{path}");
        }
    }
}
