use std::{borrow::Borrow, error, fmt, str, sync::Arc};

/// The name of a canary: its label in metrics and logs, and its key in shared state.
///
/// A name has 1 to 63 characters of `a-z`, `0-9` and `-`, so that it can stand unescaped in labels,
/// paths and headers. It must be unique within a process.
///
/// ```
/// use canary_core::CanaryName;
///
/// let name: CanaryName = "checkout".parse()?;
/// assert_eq!(name.as_str(), "checkout");
/// assert_eq!(
///     "Check out".parse::<CanaryName>().unwrap_err().to_string(),
///     r#"canary name "Check out": expected 1 to 63 characters of a-z, 0-9 and '-'"#,
/// );
/// # Ok::<(), canary_core::InvalidName>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CanaryName(Arc<str>);

impl CanaryName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CanaryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl str::FromStr for CanaryName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if (1..=63).contains(&text.len()) && text.bytes().all(is_allowed) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName { what: "canary name", text: text.to_owned(), expected: NAME })
        }
    }
}

impl TryFrom<&str> for CanaryName {
    type Error = InvalidName;

    fn try_from(text: &str) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl TryFrom<String> for CanaryName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

/// Which build a channel runs: a version, a git hash, whatever the team calls its releases.
///
/// After a promotion the word "canary" says nothing about a call any more; the release id does. It has 1
/// to 128 visible ASCII characters, so that it can stand in a header and a label.
///
/// ```
/// use canary_core::ReleaseId;
///
/// let release: ReleaseId = "v2.4.0+3f9a11c".parse()?;
/// assert_eq!(release.as_str(), "v2.4.0+3f9a11c");
/// assert!("two words".parse::<ReleaseId>().is_err());
/// # Ok::<(), canary_core::InvalidName>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ReleaseId(Arc<str>);

impl ReleaseId {
    /// The release id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl str::FromStr for ReleaseId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName { what: "release id", text: text.to_owned(), expected: RELEASE })
        }
    }
}

impl TryFrom<&str> for ReleaseId {
    type Error = InvalidName;

    fn try_from(text: &str) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl TryFrom<String> for ReleaseId {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

/// The name of an event of the application's own, such as `order-completed`.
///
/// It has 1 to 63 characters of `a-z`, `0-9`, `-` and `_`, so that it can stand in a label unescaped.
///
/// ```
/// use canary_core::EventName;
///
/// let event: EventName = "order-completed".parse()?;
/// assert_eq!(event.as_str(), "order-completed");
/// assert_eq!(
///     "order completed".parse::<EventName>().unwrap_err().to_string(),
///     r#"event "order completed": expected 1 to 63 characters of a-z, 0-9, '-' and '_'"#,
/// );
/// # Ok::<(), canary_core::InvalidName>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EventName(Arc<str>);

impl EventName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for EventName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl str::FromStr for EventName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        label("event", text).map(Self)
    }
}

impl TryFrom<&str> for EventName {
    type Error = InvalidName;

    fn try_from(text: &str) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl TryFrom<String> for EventName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

/// A text that is a name and needs no escaping in a label.
pub(crate) fn label(what: &'static str, text: &str) -> Result<Arc<str>, InvalidName> {
    let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    if (1..=63).contains(&text.len()) && text.bytes().all(is_allowed) {
        Ok(text.into())
    } else {
        Err(InvalidName { what, text: text.to_owned(), expected: LABEL })
    }
}

/// A text that is no [`CanaryName`], [`ReleaseId`], [`EventName`] or [`RouteClass`](crate::RouteClass).
/// The message names the text and the rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InvalidName {
    what: &'static str,
    text: String,
    expected: &'static str,
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, text, expected } = self;
        write!(f, "{what} {text:?}: expected {expected}")
    }
}

impl error::Error for InvalidName {}

const NAME: &str = "1 to 63 characters of a-z, 0-9 and '-'";
const LABEL: &str = "1 to 63 characters of a-z, 0-9, '-' and '_'";
const RELEASE: &str = "1 to 128 visible ASCII characters";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_need_escaping_are_refused() {
        for text in ["", "A", "a b", "a/b", "a\"b", "é", &"a".repeat(64)] {
            assert!(text.parse::<CanaryName>().is_err(), "{text}");
        }
        assert!("a".repeat(63).parse::<CanaryName>().is_ok());
    }

    #[test]
    fn events_that_would_need_escaping_are_refused() {
        for text in ["", "A", "a b", "a\"b", "é", &"a".repeat(64)] {
            assert!(text.parse::<EventName>().is_err(), "{text}");
        }
        assert!("order_2-paid".parse::<EventName>().is_ok());
    }

    #[test]
    fn release_ids_that_no_header_can_carry_are_refused() {
        for text in ["", "a b", "a\n", "é", &"a".repeat(129)] {
            let message = text.parse::<ReleaseId>().unwrap_err().to_string();
            assert!(message.contains(&format!("{text:?}")), "{message}");
        }
    }
}
