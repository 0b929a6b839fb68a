use crate::select::{
    condition::{Condition, Predicate},
    path_pattern::PathPattern,
    request_head::RequestHead,
};

/// The calls that bypass the canary: stable serves them, and they are neither split, counted nor
/// tagged.
///
/// Health checks and metrics describe the process, not a release. A canary without a health service
/// must not cause a restart of the process, and probes must not improve the canary's success rate.
///
/// | bypassed by default | purpose |
/// |---|---|
/// | `/grpc.health.v1.*`, `/grpc.reflection.*` | gRPC health checks and reflection |
/// | `/healthz`, `/livez`, `/readyz`, `/health` | HTTP probes |
/// | `/metrics` | Prometheus scrapes |
///
/// ```
/// use http::Request;
/// use tower_canary::{Bypass, select::{Condition, RequestHead}};
///
/// let bypass = Bypass::default()
///     .or(Condition::path("/internal/ping"))
///     .or(Condition::path_prefix("/debug"));
///
/// let bypasses = |path: &str| {
///     let request = Request::get(path).body(()).unwrap();
///     bypass.matches(&RequestHead::new(&request))
/// };
/// assert!(bypasses("/metrics"));
/// assert!(bypasses("/debug/pprof"));
/// assert!(!bypasses("/metrics/other"));
/// ```
///
/// Every call is tested. The test takes a few instructions for most calls that no path condition
/// matches, however many path conditions there are. A path with the same initial as a condition,
/// and a length that the condition can match, is compared with each of them. Any other condition is
/// evaluated for every call.
#[derive(Debug)]
#[must_use]
pub struct Bypass {
    paths: Vec<PathPattern>,
    others: Vec<Condition>,
    lengths: PathLengths,
}

impl Bypass {
    /// Bypasses nothing.
    pub const fn none() -> Self {
        Self { paths: Vec::new(), others: Vec::new(), lengths: PathLengths::NONE }
    }

    /// Also bypasses the requests that meet `condition`.
    pub fn or(mut self, condition: Condition) -> Self {
        for condition in condition.into_alternatives() {
            match condition.0 {
                Predicate::Path(pattern) => {
                    self.lengths.add(&pattern);
                    self.paths.push(pattern);
                }
                predicate => {
                    self.lengths = PathLengths::ALL;
                    self.others.push(Condition(predicate));
                }
            }
        }
        self
    }

    /// Returns whether a request bypasses the canary.
    #[must_use]
    #[inline]
    pub fn matches(&self, request: &RequestHead<'_>) -> bool {
        let path = request.path();
        self.lengths.may_match(path) && self.evaluate(path, request)
    }

    fn evaluate(&self, path: &str, request: &RequestHead<'_>) -> bool {
        self.paths.iter().any(|pattern| pattern.matches(path))
            || self.others.iter().any(|condition| condition.matches(request))
    }
}

impl Default for Bypass {
    fn default() -> Self {
        let paths = ["/healthz", "/livez", "/readyz", "/health", "/metrics"].map(Condition::path);
        let packages = ["grpc.health.v1", "grpc.reflection"].map(Condition::grpc_package);
        paths.into_iter().chain(packages).fold(Self::none(), Self::or)
    }
}

/// Bypasses the requests that meet the condition, and not those of [`Bypass::default`].
impl From<Condition> for Bypass {
    fn from(condition: Condition) -> Self {
        Self::none().or(condition)
    }
}

/// The lengths of bypassed paths, as a bitmap for each byte after the slash. It rejects most paths
/// at once.
///
/// Bytes that differ by 32 share a bitmap, and lengths from [`LONGEST`](Self::LONGEST) on a bit.
#[derive(Clone, Copy, Debug)]
struct PathLengths([u32; 32]);

impl PathLengths {
    const NONE: Self = Self([0; 32]);
    const ALL: Self = Self([u32::MAX; 32]);
    const LONGEST: usize = 31;

    fn add(&mut self, pattern: &PathPattern) {
        let Some(initial) = pattern.initial() else {
            *self = Self::ALL;
            return;
        };
        let shortest = pattern.min_length().min(Self::LONGEST);
        let lengths = if pattern.is_exact() { 1 << shortest } else { u32::MAX << shortest };
        self.0[usize::from(initial % 32)] |= lengths;
    }

    fn may_match(&self, path: &str) -> bool {
        // Only patterns without an initial match a path without one, and these set all bits.
        let initial = path.as_bytes().get(1).map_or(0, |initial| initial % 32);
        self.0[usize::from(initial)] & (1 << path.len().min(Self::LONGEST)) != 0
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Request};

    use super::*;

    fn matches(bypass: impl Into<Bypass>, path: &str) -> bool {
        let request = Request::get(path).body(()).unwrap();
        bypass.into().matches(&RequestHead::new(&request))
    }

    #[test]
    fn paths_without_an_initial_are_matched() {
        assert!(matches(Condition::path("/"), "/"));
        assert!(!matches(Condition::path("/"), "/a"));
        assert!(matches(Condition::path_prefix("/"), "/"));
        assert!(matches(Condition::path_prefix(""), "/a"));
        assert!(matches(Condition::path("*"), "*"));
        assert!(!matches(Bypass::default(), "/"));
        assert!(!matches(Bypass::none(), "/"));
    }

    #[test]
    fn path_initials_need_not_be_ascii() {
        assert!(matches(Condition::path("/\u{e9}"), "/\u{e9}"));
        assert!(matches(Condition::path_prefix(""), "/\u{e9}"));
    }

    #[test]
    fn each_path_condition_is_matched_and_similar_paths_are_not() {
        let debug = Condition::path("/internal/ping").or(Condition::path_prefix("/debug"));
        let bypass = Bypass::default().or(debug);
        let matches = |path| {
            let request = Request::get(path).body(()).unwrap();
            bypass.matches(&RequestHead::new(&request))
        };
        for path in [
            "/healthz",
            "/health",
            "/readyz",
            "/debug/pprof",
            "/grpc.health.v1.Health/Check",
            "/internal/ping",
        ] {
            assert!(matches(path), "{path}");
        }
        for path in ["/healthy", "/items", "/debugger", "/grpc.Other/Call", "/internal/ping/2"] {
            assert!(!matches(path), "{path}");
        }
    }

    #[test]
    fn paths_of_any_length_are_matched() {
        for length in 2..100 {
            let path = format!("/{}", "a".repeat(length - 1));
            let longer = format!("{path}a");
            let bypass = Bypass::from(Condition::path(path.as_str()));
            let [same, other] = [&path, &longer].map(|path| {
                let request = Request::get(path).body(()).unwrap();
                bypass.matches(&RequestHead::new(&request))
            });
            assert!(same && !other, "{path}");
            assert!(matches(Condition::path_prefix(path.as_str()), &format!("{path}/a")));
        }
    }

    #[test]
    fn other_conditions_are_evaluated_for_every_path() {
        let bypass = Bypass::default().or(Condition::method(Method::POST));
        for (method, path, is_bypassed) in [
            (Method::POST, "/items", true),
            (Method::POST, "/", true),
            (Method::GET, "/items", false),
            (Method::GET, "/metrics", true),
        ] {
            let request = Request::builder().method(&method).uri(path).body(()).unwrap();
            assert_eq!(bypass.matches(&RequestHead::new(&request)), is_bypassed, "{method} {path}");
        }
    }
}
