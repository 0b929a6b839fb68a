//! The results of a mirror: counts, and differences by field.

pub(crate) mod counts;
pub(crate) mod difference;
pub(crate) mod field_counts;
pub(crate) mod field_name;
pub(crate) mod fields;
