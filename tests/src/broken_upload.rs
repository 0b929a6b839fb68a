//! Request bodies that their caller breaks off.

use std::io;

use axum::body::Body;
use futures_util::{StreamExt as _, stream};
use tower_canary::{CanaryHandle, Channel};

/// Creates a body that sends `part`, and breaks off as soon as `channel` has an open call.
pub fn broken_upload(part: &'static [u8], canary: &CanaryHandle, channel: Channel) -> Body {
    let canary = canary.clone();
    let error = stream::once(async move {
        while canary.open(channel) == 0 {
            tokio::task::yield_now().await;
        }
        Err(io::Error::other("the caller breaks off"))
    });
    Body::from_stream(stream::iter([Ok(part)]).chain(error))
}
