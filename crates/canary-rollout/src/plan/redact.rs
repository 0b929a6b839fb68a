//! Hides what may be secret in a URL: the user, the path and the query. Anyone with the path of a Slack
//! webhook can post to it.

use serde_json::Value;

/// Returns the scheme, host and port of a URL.
pub(crate) fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{host}")
}

/// Replaces each URL in a sentence by its origin.
pub(crate) fn without_paths(text: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || "\"'`,;<>()".contains(c);
    let mut rest = text;
    let mut redacted = String::new();
    while let Some(separator) = rest.find("://") {
        let start = rest[..separator].rfind(is_end).map_or(0, |end| end + width_at(rest, end));
        let end = rest[separator..].find(is_end).map_or(rest.len(), |end| separator + end);
        redacted += &rest[..start];
        redacted += &origin(&rest[start..end]);
        rest = &rest[end..];
    }
    redacted + rest
}

/// Replaces each text that has a URL by the origin of the URL.
pub(crate) fn redact(value: &mut Value) {
    match value {
        Value::String(text) => {
            if text.contains("://") {
                *text = without_paths(text);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::Object(fields) => fields.values_mut().for_each(redact),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn width_at(text: &str, offset: usize) -> usize {
    text[offset..].chars().next().map_or(0, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_of_a_url_has_no_user_path_or_query() {
        for (url, expected) in [
            ("https://hooks.example/T0/B0", "https://hooks.example"),
            ("https://ada:pw@hooks.example:8443?token=x", "https://hooks.example:8443"),
            ("http://[::1]:80#x", "http://[::1]:80"),
            ("hooks.example/T0/B0", "hooks.example"),
            ("https://a@b@c\\d", "https://c"),
            ("", ""),
        ] {
            assert_eq!(origin(url), expected);
        }
    }

    #[test]
    fn urls_in_a_sentence_lose_their_paths() {
        assert_eq!(
            without_paths("a \"https://x/secret\", `http://y/secret` and\u{a0}ftp://z/secret."),
            "a \"https://x\", `http://y` and\u{a0}ftp://z",
        );
        assert_eq!(without_paths("no URL: a/b"), "no URL: a/b");
        assert_eq!(without_paths("://"), "");
    }
}
