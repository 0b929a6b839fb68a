use std::pin::pin;

use bytes::{Buf, Bytes};
use http_body::Body;
use http_body_util::BodyExt;

/// Nobody has more to say to us than this.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;

/// The first bytes of a body. What follows them is not waited for.
pub(crate) async fn first_bytes<B>(body: B, most: usize) -> Result<Bytes, B::Error>
where
    B: Body<Data: Buf>,
{
    let mut body = pin!(body);
    let mut bytes = Vec::new();
    while bytes.len() < most {
        let Some(frame) = body.frame().await else { break };
        if let Ok(mut data) = frame?.into_data() {
            let part = data.remaining().min(most - bytes.len());
            bytes.extend_from_slice(&data.copy_to_bytes(part));
        }
    }
    Ok(bytes.into())
}
