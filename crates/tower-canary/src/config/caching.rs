use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{self, Entry},
};

/// Forbids shared caches to store a response.
///
/// Caches that obey `cache-control` (RFC 9111) read `private`. Headers that a cache reads before
/// `cache-control` are removed: those for a group of caches (RFC 9213, such as `cdn-cache-control`
/// and `cloudflare-cdn-cache-control`), `surrogate-control`, `edge-control` and `x-accel-expires`.
/// So are the headers of HTTP/1.0, `expires` and `pragma`.
pub(crate) fn make_private(headers: &mut HeaderMap) {
    if headers.keys().any(permits_storage) {
        let names: Vec<HeaderName> =
            headers.keys().filter(|name| permits_storage(name)).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
    let values = match headers.entry(header::CACHE_CONTROL) {
        Entry::Vacant(vacant) => {
            vacant.insert(PRIVATE);
            return;
        }
        Entry::Occupied(occupied) => occupied.remove_entry_mult().1,
    };
    let values: Vec<HeaderValue> = values.collect();
    let mut directives = vec!["private"];
    for value in &values {
        // A value that is not ASCII is dropped.
        let mut is_quoted = false;
        let ends_directive = |char| {
            is_quoted ^= char == '"';
            char == ',' && !is_quoted
        };
        let directives_of = value.to_str().unwrap_or("").split(ends_directive);
        directives.extend(directives_of.map(str::trim).filter(|directive| !is_shared(directive)));
    }
    let joined = HeaderValue::from_str(&directives.join(", "));
    headers.insert(header::CACHE_CONTROL, joined.unwrap_or(PRIVATE));
}

const PRIVATE: HeaderValue = HeaderValue::from_static("private");

/// Returns whether a cache may obey this header instead of `cache-control`.
fn permits_storage(name: &HeaderName) -> bool {
    let name = name.as_str();
    let is_targeted = name != "cache-control" && name.ends_with("cache-control");
    is_targeted
        || matches!(
            name,
            "surrogate-control" | "edge-control" | "x-accel-expires" | "expires" | "pragma"
        )
}

/// Returns whether this directive of `cache-control` is about shared caches, or empty.
fn is_shared(directive: &str) -> bool {
    let name = directive.split('=').next().unwrap_or("").trim_end().to_ascii_lowercase();
    matches!(&*name, "" | "public" | "private" | "s-maxage" | "proxy-revalidate")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache_control_of(values: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CACHE_CONTROL, HeaderValue::from_static(value));
        }
        make_private(&mut headers);
        assert_eq!(headers.get_all(header::CACHE_CONTROL).iter().count(), 1);
        headers[header::CACHE_CONTROL].to_str().unwrap().to_owned()
    }

    #[test]
    fn directives_about_shared_caches_are_replaced() {
        assert_eq!(cache_control_of(&[]), "private");
        assert_eq!(cache_control_of(&["public, max-age=60, s-maxage=600"]), "private, max-age=60");
        assert_eq!(cache_control_of(&["Public", "no-store"]), "private, no-store");
        assert_eq!(
            cache_control_of(&[r#"private="x-a, x-b", S-MaxAge =1, max-age=5"#]),
            "private, max-age=5"
        );
    }

    #[test]
    fn headers_that_a_cache_reads_before_cache_control_are_removed() {
        let mut headers = HeaderMap::new();
        for name in [
            "cdn-cache-control",
            "cloudflare-cdn-cache-control",
            "x-litespeed-cache-control",
            "surrogate-control",
            "edge-control",
            "x-accel-expires",
            "expires",
            "pragma",
        ] {
            headers.append(name, HeaderValue::from_static("max-age=60"));
            headers.append(name, HeaderValue::from_static("max-age=600"));
        }
        headers.insert(header::ETAG, HeaderValue::from_static("1"));
        make_private(&mut headers);
        let names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["etag", "cache-control"]);
    }
}
