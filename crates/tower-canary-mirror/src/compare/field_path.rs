use std::{error, fmt, str};

/// A pattern of paths in a JSON document: a JSON pointer (RFC 6901) in which `*` matches any key or
/// array position.
///
/// ```
/// use tower_canary_mirror::FieldPath;
///
/// let path: FieldPath = "/items/*/updated_at".parse()?;
/// assert_eq!(path.to_string(), "/items/*/updated_at");
/// assert_eq!(
///     "items".parse::<FieldPath>().unwrap_err().to_string(),
///     r#"field path "items": expected a JSON pointer such as "/items/*/id""#,
/// );
/// # Ok::<(), tower_canary_mirror::InvalidFieldPath>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FieldPath {
    segments: Vec<PathSegment>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum PathSegment {
    Any,
    Key(String),
}

impl FieldPath {
    /// Returns whether the path matches these keys and positions.
    pub(super) fn matches(&self, location: &[String]) -> bool {
        self.segments.len() == location.len()
            && self.segments.iter().zip(location).all(|(segment, key)| match segment {
                PathSegment::Any => true,
                PathSegment::Key(expected) => expected == key,
            })
    }
}

impl str::FromStr for FieldPath {
    type Err = InvalidFieldPath;

    fn from_str(text: &str) -> Result<Self, InvalidFieldPath> {
        let invalid = || InvalidFieldPath { text: text.to_owned() };
        let segments = text.strip_prefix('/').ok_or_else(invalid)?.split('/');
        let segments = segments.map(|segment| match segment {
            "*" => Ok(PathSegment::Any),
            _ => unescape(segment).map(PathSegment::Key).ok_or_else(invalid),
        });
        Ok(Self { segments: segments.collect::<Result<_, _>>()? })
    }
}

impl TryFrom<&str> for FieldPath {
    type Error = InvalidFieldPath;

    fn try_from(text: &str) -> Result<Self, InvalidFieldPath> {
        text.parse()
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|segment| match segment {
            PathSegment::Any => f.write_str("/*"),
            PathSegment::Key(key) => write!(f, "/{}", escape(key)),
        })
    }
}

/// The error for an invalid [`FieldPath`].
#[derive(Clone, Eq, PartialEq)]
pub struct InvalidFieldPath {
    text: String,
}

impl fmt::Display for InvalidFieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"field path {:?}: expected a JSON pointer such as "/items/*/id""#, self.text)
    }
}

canary_core::debug_as_display!(InvalidFieldPath);

impl error::Error for InvalidFieldPath {}

/// Returns the JSON pointer of these keys and positions.
pub(super) fn pointer(location: &[String]) -> String {
    location.iter().fold(String::new(), |pointer, key| pointer + "/" + &escape(key))
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn unescape(segment: &str) -> Option<String> {
    let mut parts = segment.split('~');
    let mut key = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (character, rest) = match part.as_bytes().first()? {
            b'0' => ('~', &part[1..]),
            b'1' => ('/', &part[1..]),
            _ => return None,
        };
        key.push(character);
        key.push_str(rest);
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsed_paths_display_their_text() {
        for text in ["/a", "/a/0/b", "/*", "/a/*/b", "/a~1b/~0", "/"] {
            assert_eq!(text.parse::<FieldPath>().unwrap().to_string(), text);
        }
        for text in ["", "a", "/a~", "/a~2"] {
            let message = text.parse::<FieldPath>().unwrap_err().to_string();
            assert!(message.contains(&format!("{text:?}")), "{message}");
        }
    }

    #[test]
    fn a_star_matches_exactly_one_key() {
        let location = |keys: &[&str]| keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>();
        let path: FieldPath = "/items/*/a~1b".parse().unwrap();
        assert!(path.matches(&location(&["items", "7", "a/b"])));
        assert!(!path.matches(&location(&["items", "7"])));
        assert!(!path.matches(&location(&["items", "7", "8", "a/b"])));
        assert!(!path.matches(&location(&["other", "7", "a/b"])));
    }
}
