//! The lifecycle of one call: from the assignment of its channel to the end of its response.

pub(crate) mod assignment;
pub(crate) mod box_error;
pub(crate) mod call;
pub(crate) mod canary_service;
pub(crate) mod deadline;
pub(crate) mod fallback;
pub(crate) mod framing;
pub(crate) mod layer;
pub(crate) mod layer_response;
pub(crate) mod map_body;
pub(crate) mod mount_position;
pub(crate) mod panic;
pub(crate) mod pending_answer;
pub(crate) mod protocol;
mod ratings;
pub(crate) mod readiness;
pub(crate) mod replay;
pub(crate) mod request_body;
pub(crate) mod response_body;
pub(crate) mod response_future;
pub(crate) mod response_state;
pub(crate) mod served_methods;
pub(crate) mod span;
pub(crate) mod timer;
pub(crate) mod unify_body;
pub(crate) mod upgraded_call;
pub(crate) mod upload;
