use http::{HeaderMap, HeaderValue};

use crate::compare::{
    captured_response::CapturedResponse,
    comparison::{ABSENT, FieldDifference},
    excerpt::excerpts,
};

/// Compares the gRPC status, which is in the trailers or in the head.
pub(super) fn compare_status(
    stable: &CapturedResponse,
    canary: &CapturedResponse,
) -> Option<FieldDifference> {
    let (stable, canary) = (status(stable), status(canary));
    (stable != canary).then(|| FieldDifference::new(GRPC_STATUS, stable, canary))
}

/// Compares the number of messages, and each message byte by byte.
///
/// Protobuf does not specify the order of map entries. Messages with maps can therefore be noise,
/// unless a custom comparison decodes them.
pub(super) fn compare_messages(stable: &[u8], canary: &[u8]) -> Vec<FieldDifference> {
    let (stable, canary) = (messages(stable), messages(canary));
    let mut found = Vec::new();
    if stable.len() != canary.len() {
        let count = |messages: &[&[u8]]| messages.len().to_string();
        found.push(FieldDifference::new("messages", count(&stable), count(&canary)));
    }
    let mut pairs = stable.iter().zip(&canary).enumerate();
    if let Some((position, (stable, canary))) = pairs.find(|(_, (one, other))| one != other) {
        let (stable, canary) = excerpts(stable, canary);
        found.push(FieldDifference::new(format!("message/{position}"), stable, canary));
    }
    found
}

fn status(response: &CapturedResponse) -> String {
    let in_headers = |headers: &HeaderMap| {
        headers.get(GRPC_STATUS).map(HeaderValue::as_bytes).map(<[u8]>::to_vec)
    };
    let status = response.trailers().and_then(in_headers);
    let status = status.or_else(|| in_headers(response.headers()));
    status.map_or_else(|| ABSENT.to_owned(), |status| String::from_utf8_lossy(&status).into_owned())
}

/// Splits a body into messages, each with its prefix.
fn messages(mut body: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while !body.is_empty() {
        let end = match body {
            [_, a, b, c, d, rest @ ..] => {
                let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
                PREFIX + length.min(rest.len())
            }
            _ => body.len(),
        };
        let (message, rest) = body.split_at(end);
        messages.push(message);
        body = rest;
    }
    messages
}

const GRPC_STATUS: &str = "grpc-status";
/// The compression flag and four bytes of length.
const PREFIX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_with_invalid_lengths_are_split_too() {
        let body =
            [&[0, 0, 0, 0, 2, 7, 8][..], &[0, 0, 0, 0, 0], &[0, 255, 255, 255, 255, 9]].concat();
        let split = messages(&body);
        assert_eq!(split, [&body[..7], &body[7..12], &body[12..]]);
        assert_eq!(messages(&[1, 2, 3]), [[1, 2, 3]]);
    }
}
