use std::pin::pin;

use bytes::{Buf, Bytes};
use http_body::Body;
use http_body_util::BodyExt;

/// The maximum number of bytes to read from a response of a webhook or probe.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;

/// Reads at most `max_bytes` of a body, and does not wait for the rest.
pub(crate) async fn first_bytes<B>(body: B, max_bytes: usize) -> Result<Bytes, B::Error>
where
    B: Body<Data: Buf>,
{
    let mut body = pin!(body);
    let mut bytes = Vec::new();
    while bytes.len() < max_bytes {
        let Some(frame) = body.frame().await else { break };
        if let Ok(mut data) = frame?.into_data() {
            let part = data.remaining().min(max_bytes - bytes.len());
            bytes.extend_from_slice(&data.copy_to_bytes(part));
        }
    }
    Ok(bytes.into())
}
