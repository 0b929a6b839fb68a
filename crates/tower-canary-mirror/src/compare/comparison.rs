use http::request::Parts;

use crate::compare::captured_response::CapturedResponse;

/// Compares two responses to the same request.
///
/// The default is [`ByField`](crate::ByField). Closures implement this trait too. A comparison that
/// knows the application's messages can decode them and name the fields that differ:
///
/// ```
/// use http::request::Parts;
/// use tower_canary_mirror::{CapturedResponse, Comparison, FieldDifference, MirrorOptions};
///
/// let by_length = |_: &Parts, stable: &CapturedResponse, canary: &CapturedResponse| {
///     let (Some(stable), Some(canary)) = (stable.body(), canary.body()) else {
///         return Comparison::NotCompared;
///     };
///     let (stable, canary) = (stable.len().to_string(), canary.len().to_string());
///     let differs = (stable != canary).then(|| FieldDifference::new("length", stable, canary));
///     Comparison::Compared(differs.into_iter().collect())
/// };
/// let options = MirrorOptions::new().compare(by_length);
/// # let _ = options;
/// ```
///
/// The mirror also uses it to compare two responses of stable, to measure noise. It runs in the
/// tasks of the mirror. If it panics, the request counts as not compared.
pub trait Compare: Send + Sync + 'static {
    /// Returns the differences between stable's response and the canary's.
    fn compare(
        &self,
        request: &Parts,
        stable: &CapturedResponse,
        canary: &CapturedResponse,
    ) -> Comparison;
}

impl<F> Compare for F
where
    F: Fn(&Parts, &CapturedResponse, &CapturedResponse) -> Comparison + Send + Sync + 'static,
{
    fn compare(
        &self,
        request: &Parts,
        stable: &CapturedResponse,
        canary: &CapturedResponse,
    ) -> Comparison {
        self(request, stable, canary)
    }
}

/// The result of a comparison.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "two responses are compared or not")]
pub enum Comparison {
    /// The fields that differ. Empty if the responses match.
    Compared(Vec<FieldDifference>),
    /// The responses could not be compared.
    NotCompared,
}

/// A field in which two responses differ.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct FieldDifference {
    /// The field, such as `status` or `body/items/3/price`.
    ///
    /// Numeric segments are array positions. Counts and noise treat `body/items/3/price` and
    /// `body/items/4/price` as the same field, `body/items/*/price`.
    pub field: String,
    /// The value in stable's response.
    pub stable: String,
    /// The value in the canary's response.
    pub canary: String,
}

impl FieldDifference {
    /// Creates a difference in `field`.
    pub fn new(
        field: impl Into<String>,
        stable: impl Into<String>,
        canary: impl Into<String>,
    ) -> Self {
        Self { field: field.into(), stable: stable.into(), canary: canary.into() }
    }
}

/// The value of a field that a response lacks.
pub(crate) const ABSENT: &str = "(absent)";
