//! Comparison of two responses.

pub(crate) mod by_field;
pub(crate) mod captured_response;
pub(crate) mod comparison;
mod excerpt;
pub(crate) mod field_path;
mod grpc;
mod json;
