//! Where two answers of gRPC differ.

use http::{HeaderMap, HeaderValue};

use super::{ABSENT, Answer, FieldDifference};

/// The status, wherever it is.
pub(super) fn compare_status(stable: &Answer, canary: &Answer) -> Option<FieldDifference> {
    let (stable, canary) = (status(stable), status(canary));
    (stable != canary).then(|| FieldDifference::new(GRPC_STATUS, stable, canary))
}

/// The messages, one by one, byte by byte. Protobuf promises no order of a map's entries: what serializes
/// them anew each time is noise, or is to be decoded by a comparison of one's own.
pub(super) fn compare_messages(stable: &[u8], canary: &[u8]) -> Vec<FieldDifference> {
    let (stable, canary) = (messages(stable), messages(canary));
    let mut found = Vec::new();
    if stable.len() != canary.len() {
        let count = |messages: &[&[u8]]| messages.len().to_string();
        found.push(FieldDifference::new("messages", count(&stable), count(&canary)));
    }
    let mut pairs = stable.iter().zip(&canary).enumerate();
    if let Some((position, (stable, canary))) = pairs.find(|(_, (one, other))| one != other) {
        let (stable, canary) = super::by_field::excerpts(stable, canary);
        found.push(FieldDifference::new(format!("message/{position}"), stable, canary));
    }
    found
}

fn status(answer: &Answer) -> String {
    let in_headers = |headers: &HeaderMap| {
        headers.get(GRPC_STATUS).map(HeaderValue::as_bytes).map(<[u8]>::to_vec)
    };
    let status = answer.trailers().and_then(in_headers).or_else(|| in_headers(answer.headers()));
    status.map_or_else(|| ABSENT.to_owned(), |status| String::from_utf8_lossy(&status).into_owned())
}

/// The messages of a body, each with its flag of compression and its length before it.
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
/// A flag, and the length in four bytes.
const PREFIX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_apart_whatever_lengths_they_claim() {
        let body =
            [&[0, 0, 0, 0, 2, 7, 8][..], &[0, 0, 0, 0, 0], &[0, 255, 255, 255, 255, 9]].concat();
        let apart = messages(&body);
        assert_eq!(apart, [&body[..7], &body[7..12], &body[12..]]);
        assert_eq!(messages(&[1, 2, 3]), [[1, 2, 3]]);
    }
}
