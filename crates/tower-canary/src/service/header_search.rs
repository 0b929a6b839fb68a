use http::{HeaderMap, HeaderName, HeaderValue};

/// Returns the first value of a header.
///
/// To compare the names of a small map takes fewer instructions than to hash one name: `http` hashes
/// it letter by letter.
#[inline]
pub(crate) fn find<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    if headers.keys_len() > FEW {
        return headers.get(name);
    }
    headers.iter().find_map(|(found, value)| (found == name).then_some(value))
}

/// A lookup takes as long as about four comparisons.
const FEW: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_is_found_among_few_and_among_many_headers() {
        let name = HeaderName::from_static("grpc-status");
        let mut headers = HeaderMap::new();
        for number in 0..2 * FEW {
            assert_eq!(find(&headers, &name), None, "{number} headers");
            let mut with_values = headers.clone();
            for value in ["first", "second"] {
                with_values.append(&name, HeaderValue::from_static(value));
            }
            assert_eq!(find(&with_values, &name).unwrap(), "first", "{number} headers");
            let other = HeaderName::try_from(format!("x-{number}")).unwrap();
            headers.insert(other, HeaderValue::from_static("other"));
        }
    }
}
