//! How two answers are compared.

mod answer;
mod by_field;
mod field_path;
mod grpc;
mod json;

use http::request::Parts;

pub use self::{
    answer::Answer,
    by_field::ByField,
    field_path::{FieldPath, InvalidFieldPath},
};

/// Compares two answers to the same request.
///
/// [`ByField`] is the default. A closure is a comparison, too; one that knows the application's messages
/// decodes them, and names what differs:
///
/// ```
/// use http::request::Parts;
/// use tower_canary_mirror::{Answer, Compare, Comparison, FieldDifference, MirrorOptions};
///
/// let by_length = |_: &Parts, stable: &Answer, canary: &Answer| {
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
/// It is also what tells noise: two answers of stable are compared in the same way. It runs in the mirror's
/// tasks; one that panics has not compared.
pub trait Compare: Send + Sync + 'static {
    /// What differs between stable's answer to a request and the canary's.
    fn compare(&self, request: &Parts, stable: &Answer, canary: &Answer) -> Comparison;
}

impl<F> Compare for F
where
    F: Fn(&Parts, &Answer, &Answer) -> Comparison + Send + Sync + 'static,
{
    fn compare(&self, request: &Parts, stable: &Answer, canary: &Answer) -> Comparison {
        self(request, stable, canary)
    }
}

/// What a comparison came to.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "two answers are compared or not")]
pub enum Comparison {
    /// These fields differ; none, if the answers match.
    Compared(Vec<FieldDifference>),
    /// It cannot be told.
    NotCompared,
}

/// A field in which two answers differ.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct FieldDifference {
    /// The field, such as `status`, or `body/items/3/price`.
    ///
    /// Segments that are numbers are positions: for the counts and for noise, `body/items/3/price` and
    /// `body/items/4/price` are one field, `body/items/*/price`.
    pub field: String,
    /// Its value in stable's answer.
    pub stable: String,
    /// Its value in the canary's answer.
    pub canary: String,
}

impl FieldDifference {
    /// A difference in `field`.
    pub fn new(
        field: impl Into<String>,
        stable: impl Into<String>,
        canary: impl Into<String>,
    ) -> Self {
        Self { field: field.into(), stable: stable.into(), canary: canary.into() }
    }
}

/// What stands for a field that an answer has not.
const ABSENT: &str = "(absent)";
