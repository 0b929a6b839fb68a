use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};

use super::{ABSENT, Answer, Compare, Comparison, FieldDifference, FieldPath, grpc, json};
use crate::{field_name::truncate, valid::valid};
use tower_canary::classify::Protocol;

/// Compares status, chosen headers and bodies; JSON by its fields.
///
/// | field | what is compared |
/// |---|---|
/// | `status` | the HTTP status |
/// | `header:NAME` | all values of a header, in their order; `content-type` unless others are chosen |
/// | `body/items/3/price` | one value in JSON, by its JSON pointer |
/// | `body/items/length` | the number of items in an array of JSON |
/// | `body` | any other body, byte by byte |
/// | `grpc-status` | the status of gRPC, in trailers or head |
/// | `messages`, `message/3` | the number of messages in gRPC, and the first that differs, byte by byte |
///
/// Bodies are JSON if both answers say so (`application/json`, or `+json`), no `content-encoding` hides it,
/// and both parse; else they are bytes. Mount the mirror inside of compression.
///
/// In JSON the order of keys and white space mean nothing. A key that is absent differs from `null`.
/// Numbers are equal by value (`1` and `1.0`); integers of up to 64 bits are compared exactly, others as
/// the nearest `f64`. Arrays are ordered: an item that is inserted at the front makes all of them differ.
/// If arrays come in an order that changes from call to call, ignore them, or let the noise tell. The items
/// of an array are one field: one difference is reported.
///
/// A body of which there was more than the bound is not compared; status and headers are.
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
    /// Compares all fields, and the header `content-type`.
    pub fn new() -> Self {
        Self { headers: vec![header::CONTENT_TYPE], ignored: Vec::new() }
    }

    /// Compares this header too.
    pub fn header(mut self, name: HeaderName) -> Self {
        self.headers.push(name);
        self
    }

    /// Does not compare this header.
    pub fn without_header(mut self, name: &HeaderName) -> Self {
        self.headers.retain(|known| known != name);
        self
    }

    /// Does not look at this place of JSON bodies, and at nothing below it.
    ///
    /// # Panics
    ///
    /// If it is a text that is no [`FieldPath`]. Parse one that is not a literal beforehand.
    pub fn ignore(mut self, path: impl TryInto<FieldPath, Error: fmt::Display>) -> Self {
        self.ignored.push(valid(path));
        self
    }

    fn compare_heads(&self, stable: &Answer, canary: &Answer) -> Vec<FieldDifference> {
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
        stable: (&Answer, &[u8]),
        canary: (&Answer, &[u8]),
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
    fn compare(&self, request: &Parts, stable: &Answer, canary: &Answer) -> Comparison {
        let protocol = Protocol::of_headers(&request.headers);
        let mut found = self.compare_heads(stable, canary);
        let (Some(stable_body), Some(canary_body)) = (stable.body(), canary.body()) else {
            // What is known to differ, differs, whatever the bodies are.
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

fn values(answer: &Answer, name: &HeaderName) -> String {
    let values = answer.headers().get_all(name);
    let values: Vec<_> =
        values.iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    if values.is_empty() { ABSENT.to_owned() } else { truncate(values.join(", ")) }
}

/// The parts of two texts that begin shortly before their first difference.
pub(super) fn excerpts(stable: &[u8], canary: &[u8]) -> (String, String) {
    let shared = stable.iter().zip(canary).take_while(|(one, other)| one == other).count();
    let start = shared.saturating_sub(BEFORE);
    let excerpt = |body: &[u8]| {
        let shown = &body[start..body.len().min(start + SHOWN)];
        let text = String::from_utf8_lossy(shown);
        let text: String =
            text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        truncate(format!("[{start}..{}] {text}", body.len()))
    };
    (excerpt(stable), excerpt(canary))
}

/// Bytes of an excerpt before the first difference.
const BEFORE: usize = 16;
const SHOWN: usize = 120;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{Request, Response};

    use super::*;

    fn answer(content_type: &str, body: Option<&str>) -> Answer {
        let head = Response::builder().header(header::CONTENT_TYPE, content_type).body(()).unwrap();
        let mut answer = Answer::of_head(&head.into_parts().0);
        answer.set_body(body.map(|body| Bytes::copy_from_slice(body.as_bytes())), None);
        answer
    }

    fn fields(stable: &Answer, canary: &Answer) -> Option<Vec<String>> {
        let request = Request::new(()).into_parts().0;
        match ByField::new().compare(&request, stable, canary) {
            Comparison::Compared(found) => {
                Some(found.into_iter().map(|found| found.field).collect())
            }
            Comparison::NotCompared => None,
        }
    }

    #[test]
    fn json_is_compared_by_its_fields_if_both_say_so_and_parse() {
        let json = "application/problem+JSON; charset=utf-8";
        let stable = answer(json, Some(r#"{"a":1}"#));
        assert_eq!(fields(&stable, &answer(json, Some(r#"{"a":2}"#))).unwrap(), ["body/a"]);
        assert_eq!(fields(&stable, &answer(json, Some(r#"{"a": 1}"#))).unwrap(), [""; 0]);
        assert_eq!(fields(&stable, &answer(json, Some(r#"{"a":"#))).unwrap(), ["body"]);
        let text = answer("text/plain", Some(r#"{"a": 1}"#));
        assert_eq!(fields(&stable, &text).unwrap(), ["header:content-type", "body"]);
        let deep = |inner: &str| format!("{}{inner}{}", "[".repeat(5000), "]".repeat(5000));
        let (one, other) = (answer(json, Some(&deep("1"))), answer(json, Some(&deep("2"))));
        assert_eq!(fields(&one, &other).unwrap(), ["body"]);
    }

    #[test]
    fn a_body_beyond_the_bound_is_not_compared_but_its_head_is() {
        let (whole, cut) = (answer("text/plain", Some("x")), answer("text/plain", None));
        assert_eq!(fields(&whole, &cut), None);
        assert_eq!(fields(&cut, &cut), None);
        let other = answer("text/html", None);
        assert_eq!(fields(&whole, &other).unwrap(), ["header:content-type"]);
    }

    #[test]
    fn an_excerpt_shows_the_first_difference_of_long_bodies() {
        let (stable, canary) = ("a".repeat(5000) + "X", "a".repeat(5000) + "Y\u{7}");
        let (stable, canary) = excerpts(stable.as_bytes(), canary.as_bytes());
        assert_eq!(stable, "[4984..5001] aaaaaaaaaaaaaaaaX");
        assert_eq!(canary, "[4984..5002] aaaaaaaaaaaaaaaaY\u{fffd}");
    }
}
