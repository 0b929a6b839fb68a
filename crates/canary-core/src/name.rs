use std::{borrow::Borrow, error, fmt, str, sync::Arc};

/// Defines a name: a text that is checked when it is parsed.
macro_rules! names {
    ($($(#[$docs:meta])* $name:ident: $rule:ident, $what:literal;)*) => {$(
        $(#[$docs])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl str::FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                $rule.check($what, text).map(Self)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = InvalidName;

            fn try_from(text: &str) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }
    )*};
}

names! {
    /// The name of a canary: its label in metrics and logs, and its key in a store.
    ///
    /// A name has 1 to 63 characters of `a-z`, `0-9` and `-`, so that labels, paths and headers
    /// need no escaping. It must be unique within a process.
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
    CanaryName: NAME, "canary name";

    /// The build that a channel runs: a version, a git hash, or another id of the release.
    ///
    /// After a promotion, the channel no longer identifies the code that served a call; the release
    /// id does. It has 1 to 128 visible ASCII characters, so that headers and labels can carry it.
    ///
    /// ```
    /// use canary_core::ReleaseId;
    ///
    /// let release: ReleaseId = "v2.4.0+3f9a11c".parse()?;
    /// assert_eq!(release.as_str(), "v2.4.0+3f9a11c");
    /// assert!("two words".parse::<ReleaseId>().is_err());
    /// # Ok::<(), canary_core::InvalidName>(())
    /// ```
    ReleaseId: RELEASE, "release id";

    /// The name of an event that the application defines, such as `order-completed`.
    ///
    /// It has 1 to 63 characters of `a-z`, `0-9`, `-` and `_`, so that labels need no escaping.
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
    EventName: LABEL, "event";

    /// The name of a class of routes that is counted separately, such as `checkout`.
    ///
    /// It has 1 to 63 characters of `a-z`, `0-9`, `-` and `_`.
    ///
    /// ```
    /// use canary_core::RouteClass;
    ///
    /// let class: RouteClass = "checkout".parse()?;
    /// assert_eq!(class.as_str(), "checkout");
    /// assert_eq!(
    ///     "/checkout".parse::<RouteClass>().unwrap_err().to_string(),
    ///     r#"route class "/checkout": expected 1 to 63 characters of a-z, 0-9, '-' and '_'"#,
    /// );
    /// # Ok::<(), canary_core::InvalidName>(())
    /// ```
    RouteClass: LABEL, "route class";
}

struct NameRule {
    max_length: usize,
    allows: fn(u8) -> bool,
    expected: &'static str,
}

impl NameRule {
    fn check(&self, what: &'static str, text: &str) -> Result<Arc<str>, InvalidName> {
        if (1..=self.max_length).contains(&text.len()) && text.bytes().all(self.allows) {
            Ok(text.into())
        } else {
            Err(InvalidName { what, text: text.to_owned(), expected: self.expected })
        }
    }
}

/// A text that is not a valid [`CanaryName`], [`ReleaseId`], [`EventName`] or [`RouteClass`].
///
/// The message names the text and the rule.
#[derive(Clone, Eq, PartialEq)]
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

crate::debug_as_display!(InvalidName);

impl error::Error for InvalidName {}

const NAME: NameRule = NameRule {
    max_length: 63,
    allows: |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'),
    expected: "1 to 63 characters of a-z, 0-9 and '-'",
};
const LABEL: NameRule = NameRule {
    max_length: 63,
    allows: |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'),
    expected: "1 to 63 characters of a-z, 0-9, '-' and '_'",
};
const RELEASE: NameRule = NameRule {
    max_length: 128,
    allows: |byte| byte.is_ascii_graphic(),
    expected: "1 to 128 visible ASCII characters",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_need_escaping_are_rejected() {
        for text in ["", "A", "a b", "a/b", "a\"b", "é", &"a".repeat(64)] {
            assert!(text.parse::<CanaryName>().is_err(), "{text}");
        }
        assert!("a".repeat(63).parse::<CanaryName>().is_ok());
    }

    #[test]
    fn events_that_need_escaping_are_rejected() {
        for text in ["", "A", "a b", "a\"b", "é", &"a".repeat(64)] {
            assert!(text.parse::<EventName>().is_err(), "{text}");
        }
        assert!("order_2-paid".parse::<EventName>().is_ok());
    }

    #[test]
    fn release_ids_that_a_header_cannot_carry_are_rejected() {
        for text in ["", "a b", "a\n", "é", &"a".repeat(129)] {
            let message = text.parse::<ReleaseId>().unwrap_err().to_string();
            assert!(message.contains(&format!("{text:?}")), "{message}");
        }
    }
}
