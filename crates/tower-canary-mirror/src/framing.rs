use http::{HeaderMap, Method, StatusCode, header};

/// Returns whether the server sends nothing after the head of this response.
pub(crate) fn has_no_body(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD || matches!(status.as_u16(), 100..200 | 204 | 304)
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
