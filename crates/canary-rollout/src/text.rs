//! Texts of others, made fit for a document of bounded size and for people's screens.

/// A text of others without control characters and blanks at its ends, cut after so many bytes.
///
/// So reasons and names cannot forge a line of a log or fill a store. Texts that are kept in a rollout
/// are bounded already; this is for those that are shown or sent besides.
///
/// ```
/// assert_eq!(canary_rollout::bounded(" wrong\ntotals ", 80), "wrong totals");
/// assert_eq!(canary_rollout::bounded("wrong totals", 8), "wrong\u{2026}");
/// ```
#[must_use]
pub fn bounded(text: &str, most_bytes: usize) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.trim().chars().map(clean).collect();
    if text.len() <= most_bytes {
        return text;
    }
    let mut end = most_bytes.saturating_sub(ELLIPSIS.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ELLIPSIS}", &text[..end])
}

/// "1,000" for 1000.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const ELLIPSIS: &str = "\u{2026}";

pub(crate) const NAME_BYTES: usize = 64;
pub(crate) const REASON_BYTES: usize = 256;
pub(crate) const EVIDENCE_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(bounded("  short\n", 10), "short");
        assert_eq!(bounded("a\u{7}b", 10), "a b");
        let cut = bounded(&"ä".repeat(40), 16);
        assert!(cut.len() <= 16 && cut.ends_with(ELLIPSIS), "{cut}");
    }

    #[test]
    fn numbers_are_grouped() {
        let numbers = [0, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567"]);
    }
}
