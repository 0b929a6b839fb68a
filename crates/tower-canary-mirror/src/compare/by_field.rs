use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use tower_canary::classify::Protocol;

use crate::{
    compare::{
        captured_response::CapturedResponse,
        comparison::{ABSENT, Compare, Comparison, FieldDifference},
        excerpt::excerpts,
        field_path::FieldPath,
        grpc, json,
    },
    findings::field_name::truncate,
    valid::valid,
};

/// Compares the status, selected headers and the body; JSON by its fields.
///
/// | field | value |
/// |---|---|
/// | `status` | the HTTP status |
/// | `header:NAME` | all values of a header, in order; by default only `content-type` is compared |
/// | `body/items/3/price` | a value in JSON, named by its JSON pointer |
/// | `body/items/length` | the length of an array in JSON |
/// | `body` | any other body, byte by byte |
/// | `grpc-status` | the gRPC status, in the trailers or in the head |
/// | `messages`, `message/3` | the number of gRPC messages, and the first message that differs |
///
/// A body is compared as JSON if both responses have the content type `application/json` or one
/// that ends in `+json`, no `content-encoding`, and both bodies parse. All other bodies are
/// compared as bytes. Put the mirror inside compression.
///
/// In JSON, white space and the order of keys do not matter. An absent key differs from `null`.
/// Numbers are compared by value (`1` equals `1.0`): integers of up to 64 bits exactly, others as
/// the nearest `f64`. Arrays are ordered: an item inserted at the front makes all items differ. The
/// items of an array are one field, and only the first difference is reported. If the order of an
/// array varies from call to call, ignore the array or measure [noise](crate#noise).
///
/// JSON bodies are compared until 1,024 values differ, and up to 64 fields are reported by name. All
/// other differences are reported as `body (more differences)`.
///
/// If a body exceeds the limit, only the status and the headers are compared.
///
/// ```
/// use http::header::LOCATION;
/// use tower_canary_mirror::{ByField, MirrorOptions};
///
/// let compare = ByField::new().header(LOCATION).ignore("/generated_at").ignore("/items/*/etag");
/// let options = MirrorOptions::new().compare(compare);
/// # let _ = options;
/// ```
#[derive(Clone)]
#[must_use]
pub struct ByField {
    headers: Vec<HeaderName>,
    ignored: Vec<FieldPath>,
}

impl ByField {
    /// Creates a comparison of all fields, with the header `content-type`.
    pub fn new() -> Self {
        Self { headers: vec![header::CONTENT_TYPE], ignored: Vec::new() }
    }

    /// Adds a header to compare.
    pub fn header(mut self, name: HeaderName) -> Self {
        self.headers.push(name);
        self
    }

    /// Removes a header from those to compare.
    pub fn without_header(mut self, name: &HeaderName) -> Self {
        self.headers.retain(|known| known != name);
        self
    }

    /// Ignores this path in JSON bodies, and everything below it.
    ///
    /// # Panics
    ///
    /// Panics if `path` is not a valid [`FieldPath`].
    pub fn ignore(mut self, path: impl TryInto<FieldPath, Error: fmt::Display>) -> Self {
        self.ignored.push(valid(path));
        self
    }

    fn compare_heads(
        &self,
        stable: &CapturedResponse,
        canary: &CapturedResponse,
    ) -> Vec<FieldDifference> {
        let mut found = Vec::new();
        if stable.status() != canary.status() {
            let (stable, canary) = (stable.status().as_u16(), canary.status().as_u16());
            found.push(FieldDifference::new("status", stable.to_string(), canary.to_string()));
        }
        for name in &self.headers {
            if !stable.headers().get_all(name).iter().eq(canary.headers().get_all(name)) {
                let (stable, canary) = (values(stable, name), values(canary, name));
                found.push(FieldDifference::new(format!("header:{name}"), stable, canary));
            }
        }
        found
    }

    fn compare_bodies(
        &self,
        protocol: Protocol,
        stable: (&CapturedResponse, &[u8]),
        canary: (&CapturedResponse, &[u8]),
    ) -> Vec<FieldDifference> {
        let ((stable, stable_body), (canary, canary_body)) = (stable, canary);
        if stable_body == canary_body {
            return Vec::new();
        }
        if protocol == Protocol::Grpc {
            return grpc::compare_messages(stable_body, canary_body);
        }
        if is_json(stable.headers())
            && is_json(canary.headers())
            && let Ok(stable) = serde_json::from_slice(stable_body)
            && let Ok(canary) = serde_json::from_slice(canary_body)
        {
            return json::differences(&stable, &canary, &self.ignored);
        }
        let (stable, canary) = excerpts(stable_body, canary_body);
        vec![FieldDifference::new("body", stable, canary)]
    }
}

impl Default for ByField {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ByField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByField")
            .field("headers", &self.headers)
            .field("ignored", &self.ignored)
            .finish()
    }
}

impl Compare for ByField {
    fn compare(
        &self,
        request: &Parts,
        stable: &CapturedResponse,
        canary: &CapturedResponse,
    ) -> Comparison {
        let protocols =
            [stable, canary].map(|response| Protocol::of(&request.headers, response.headers()));
        // One of them suffices: the other is then a response without a status.
        let is_grpc = protocols.contains(&Protocol::Grpc);
        let protocol = if is_grpc { Protocol::Grpc } else { Protocol::Http };
        let mut found = self.compare_heads(stable, canary);
        let (Some(stable_body), Some(canary_body)) = (stable.body(), canary.body()) else {
            // Differences in the head count even if the bodies are unknown.
            return if found.is_empty() {
                Comparison::NotCompared
            } else {
                Comparison::Compared(found)
            };
        };
        if protocol == Protocol::Grpc {
            found.extend(grpc::compare_status(stable, canary));
        }
        found.extend(self.compare_bodies(protocol, (stable, stable_body), (canary, canary_body)));
        Comparison::Compared(found)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let essence = |name| {
        let value = headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
        value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
    };
    let encoding = essence(header::CONTENT_ENCODING);
    let content_type = essence(header::CONTENT_TYPE).to_ascii_lowercase();
    (encoding.is_empty() || encoding == b"identity")
        && (content_type == b"application/json" || content_type.ends_with(b"+json"))
}

fn values(response: &CapturedResponse, name: &HeaderName) -> String {
    let values = response.headers().get_all(name);
    let values: Vec<_> =
        values.iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    if values.is_empty() { ABSENT.to_owned() } else { truncate(values.join(", ")) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{Request, Response};

    use super::*;

    fn response(content_type: &str, body: Option<&str>) -> CapturedResponse {
        let head = Response::builder().header(header::CONTENT_TYPE, content_type).body(()).unwrap();
        let mut response = CapturedResponse::new(&head.into_parts().0);
        response.set_body(body.map(|body| Bytes::copy_from_slice(body.as_bytes())), None);
        response
    }

    fn fields(stable: &CapturedResponse, canary: &CapturedResponse) -> Option<Vec<String>> {
        let request = Request::new(()).into_parts().0;
        match ByField::new().compare(&request, stable, canary) {
            Comparison::Compared(found) => {
                Some(found.into_iter().map(|found| found.field).collect())
            }
            Comparison::NotCompared => None,
        }
    }

    #[test]
    fn json_is_compared_by_field_if_both_responses_declare_it_and_parse() {
        let json = "application/problem+JSON; charset=utf-8";
        let stable = response(json, Some(r#"{"a":1}"#));
        assert_eq!(fields(&stable, &response(json, Some(r#"{"a":2}"#))).unwrap(), ["body/a"]);
        assert_eq!(fields(&stable, &response(json, Some(r#"{"a": 1}"#))).unwrap(), [""; 0]);
        assert_eq!(fields(&stable, &response(json, Some(r#"{"a":"#))).unwrap(), ["body"]);
        let text = response("text/plain", Some(r#"{"a": 1}"#));
        assert_eq!(fields(&stable, &text).unwrap(), ["header:content-type", "body"]);
        let deep = |inner: &str| format!("{}{inner}{}", "[".repeat(5000), "]".repeat(5000));
        let (one, other) = (response(json, Some(&deep("1"))), response(json, Some(&deep("2"))));
        assert_eq!(fields(&one, &other).unwrap(), ["body"]);
    }

    #[test]
    fn only_the_head_is_compared_if_a_body_exceeds_the_limit() {
        let (complete, cut) = (response("text/plain", Some("x")), response("text/plain", None));
        assert_eq!(fields(&complete, &cut), None);
        assert_eq!(fields(&cut, &cut), None);
        let other = response("text/html", None);
        assert_eq!(fields(&complete, &other).unwrap(), ["header:content-type"]);
    }
}
