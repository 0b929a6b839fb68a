//! Reads and removes cookies of a request.

use http::{HeaderMap, HeaderValue, header};

/// Returns the value of the first cookie of this name.
///
/// HTTP/2 clients may send one `cookie` header per cookie.
pub(crate) fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let values = headers.get_all(header::COOKIE).iter();
    values.flat_map(|value| pairs(value.as_bytes())).find_map(|pair| value_of(pair, name))
}

/// Removes every cookie of this name.
pub(crate) fn remove(headers: &mut HeaderMap, name: &str) {
    if find(headers, name).is_none() {
        return;
    }
    let values: Vec<HeaderValue> = headers.get_all(header::COOKIE).iter().cloned().collect();
    headers.remove(header::COOKIE);
    for value in values {
        let kept: Vec<&[u8]> =
            pairs(value.as_bytes()).filter(|pair| value_of(pair, name).is_none()).collect();
        match HeaderValue::from_bytes(&kept.join(&b"; "[..])) {
            Ok(value) if !kept.is_empty() => {
                headers.append(header::COOKIE, value);
            }
            // No cookie is left. The bytes are valid, as a part of a valid value.
            _ => {}
        }
    }
}

fn pairs(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty())
}

fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let value = pair.strip_prefix(name.as_bytes())?.trim_ascii_start().strip_prefix(b"=")?;
    let value = value.trim_ascii_start();
    // Quotes around the value are not part of it.
    Some(value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        let values = values.iter().map(|value| (header::COOKIE, HeaderValue::from_static(value)));
        values.collect()
    }

    #[test]
    fn the_first_cookie_of_a_name_in_any_header_is_found() {
        let headers = headers(&["a=1; idx=2", "id=3; id=4"]);
        assert_eq!(find(&headers, "id"), Some(&b"3"[..]));
        assert_eq!(find(&headers, "i"), None);
    }

    #[test]
    fn malformed_cookies_are_ignored() {
        for value in ["", ";", "id", ";;=;=id", "ID=1", "xid=1", "id 1"] {
            assert_eq!(find(&headers(&[value]), "id"), None, "{value:?}");
        }
        for value in ["id=1", " id=1;", "x;id = 1", r#"id="1""#, "a=b=c; id=1"] {
            assert_eq!(find(&headers(&[value]), "id"), Some(&b"1"[..]), "{value:?}");
        }
        assert_eq!(find(&headers(&["id="]), "id"), Some(&b""[..]));
    }

    #[test]
    fn removing_a_cookie_leaves_the_others() {
        let mut headers = headers(&["a=1; id=2; b=3", "id=4", "c=5"]);
        remove(&mut headers, "id");
        let left: Vec<_> = headers.get_all(header::COOKIE).iter().collect();
        assert_eq!(left, ["a=1; b=3", "c=5"]);
    }
}
