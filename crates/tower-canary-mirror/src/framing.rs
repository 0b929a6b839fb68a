use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body::Body;

/// Returns whether the server sends nothing after the head of this response.
pub(crate) fn has_no_body(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD || matches!(status.as_u16(), 100..200 | 204 | 304)
}

/// Returns the length of a response that HTTP/1 sends: the header, or else the exact size of the
/// body.
pub(crate) fn content_length<B: Body>(headers: &HeaderMap, body: &B) -> Option<u64> {
    match headers.get(header::CONTENT_LENGTH).map(HeaderValue::to_str) {
        Some(length) => length.ok().and_then(|length| length.parse().ok()),
        None => body.size_hint().exact(),
    }
}

/// Returns whether the connection may switch to another protocol.
///
/// `h2c` does not count: some clients offer it with every request, and servers ignore it.
pub(crate) fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::UPGRADE)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"h2c"))
}
