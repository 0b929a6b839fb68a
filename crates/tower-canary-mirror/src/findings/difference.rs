use std::time::SystemTime;

use http::Method;

use crate::{compare::comparison::FieldDifference, findings::field_name::truncate};

/// A difference between the responses of stable and the canary to the same request.
///
/// Texts longer than 200 bytes are truncated. The path has no query, because queries can contain
/// secrets. The values can contain secrets too: see
/// [`MirrorOptions::redact`](crate::MirrorOptions::redact).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Difference {
    /// The time of the comparison.
    pub at: SystemTime,
    /// The method of the request.
    pub method: Method,
    /// The path of the request, without the query.
    pub path: String,
    /// The field, with array positions: `body/items/3/price`.
    pub field: String,
    /// The value in stable's response.
    pub stable: String,
    /// The value in the canary's response.
    pub canary: String,
}

impl Difference {
    pub(crate) fn new(method: &Method, path: &str, found: &FieldDifference) -> Self {
        let FieldDifference { field, stable, canary } = found.clone();
        let (method, path) = (method.clone(), path.to_owned());
        Self { at: SystemTime::now(), method, path, field, stable, canary }
    }

    /// Truncates long texts, including those that the redaction inserted.
    pub(crate) fn truncated(self) -> Self {
        Self {
            at: self.at,
            method: truncate_method(&self.method),
            path: truncate(self.path),
            field: truncate(self.field),
            stable: truncate(self.stable),
            canary: truncate(self.canary),
        }
    }
}

/// Truncates a method, which clients can make long.
fn truncate_method(method: &Method) -> Method {
    let name = method.as_str();
    let truncated = name.get(..name.len().min(32)).unwrap_or_default();
    Method::from_bytes(truncated.as_bytes()).unwrap_or_default()
}
