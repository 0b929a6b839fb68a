use std::{borrow::Borrow, fmt, str, sync::Arc};

use crate::name::{InvalidName, label};

/// The name of a class of routes that is counted by itself, such as `checkout`.
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
///     r#"class of routes "/checkout": expected 1 to 63 characters of a-z, 0-9, '-' and '_'"#,
/// );
/// # Ok::<(), canary_core::InvalidName>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RouteClass(Arc<str>);

impl RouteClass {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for RouteClass {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RouteClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl str::FromStr for RouteClass {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        label("class of routes", text).map(Self)
    }
}

impl TryFrom<&str> for RouteClass {
    type Error = InvalidName;

    fn try_from(text: &str) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl TryFrom<String> for RouteClass {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}
