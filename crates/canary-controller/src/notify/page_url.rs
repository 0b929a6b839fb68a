use std::{error, fmt, str};

use canary_core::CanaryName;
use http::Uri;

/// The address of the page that shows the canaries, for links in notifications.
///
/// ```
/// use canary_controller::notify::PageUrl;
///
/// let page: PageUrl = "https://ops.example/canary/".parse()?;
/// assert_eq!(page.of_canary(&"shop".parse()?), "https://ops.example/canary/#/shop");
/// assert_eq!(
///     page.of_gate(&"shop".parse()?, "managers"),
///     "https://ops.example/canary/#/shop/approve/managers",
/// );
/// let error = "ops.example".parse::<PageUrl>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "page \"ops.example\": expected the URL of a page, such as \"https://ops.example/canary\"",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PageUrl(String);

impl PageUrl {
    /// Returns the address at which the page shows a canary.
    #[must_use]
    pub fn of_canary(&self, canary: &CanaryName) -> String {
        format!("{}/#/{canary}", self.0)
    }

    /// Returns the address at which the page asks for the approval of a gate. `gate` is its name in
    /// the plan.
    #[must_use]
    pub fn of_gate(&self, canary: &CanaryName, gate: &str) -> String {
        format!("{}/approve/{gate}", self.of_canary(canary))
    }
}

impl str::FromStr for PageUrl {
    type Err = InvalidPageUrl;

    /// Parses an absolute `http` or `https` URL without a query or a fragment.
    fn from_str(text: &str) -> Result<Self, InvalidPageUrl> {
        let invalid = || InvalidPageUrl(text.to_owned());
        // Each of these would end the link in a chat message, or the path.
        if text.contains(['#', '?', '|', '<', '>', '&']) {
            return Err(invalid());
        }
        let uri: Uri = text.parse().map_err(|_| invalid())?;
        let is_page = matches!(uri.scheme_str(), Some("http" | "https"))
            && uri
                .authority()
                .is_some_and(|it| !it.as_str().contains('@') && !it.host().is_empty());
        if !is_page {
            return Err(invalid());
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

/// The error for a text that is not a [`PageUrl`]. The message contains the text.
#[derive(Clone, Eq, PartialEq)]
pub struct InvalidPageUrl(String);

impl fmt::Display for InvalidPageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = "expected the URL of a page, such as \"https://ops.example/canary\"";
        write!(f, "page {:?}: {expected}", self.0)
    }
}

impl error::Error for InvalidPageUrl {}

canary_core::debug_as_display!(InvalidPageUrl);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_urls_without_query_and_fragment_are_pages() {
        for text in ["http://localhost:3000", "https://[::1]:8080/a/b", "HTTP://ops.example/"] {
            assert!(text.parse::<PageUrl>().is_ok(), "{text}");
        }
        for text in [
            "",
            "/canary",
            "ops.example/canary",
            "javascript://ops.example",
            "https://",
            "https://user:secret@ops.example",
            "https://ops.example/#/shop",
            "https://ops.example/?a=b",
            "https://ops.example/|click",
            "https://ops.example/a b",
        ] {
            let error = text.parse::<PageUrl>().unwrap_err();
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }
}
