//! Limits external text so that it fits into a stored document and onto one line of a log.

/// Replaces characters that change the layout of a text with spaces, trims the text, and cuts it to
/// `max_bytes`.
pub(crate) fn bounded(text: &str, max_bytes: usize) -> String {
    let clean = |c: char| if changes_layout(c) { ' ' } else { c };
    let text: String = text.trim().chars().map(clean).collect();
    if text.len() <= max_bytes {
        return text;
    }
    let mut end = max_bytes.saturating_sub(ELLIPSIS.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{ELLIPSIS}", &text[..end])
}

/// Returns whether the character begins a line or changes the direction of the text, and so could make
/// a text look like another one.
pub(crate) fn changes_layout(c: char) -> bool {
    let is_separator = matches!(c, '\u{2028}' | '\u{2029}');
    let is_bidirectional = matches!(c, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    c.is_control() || is_separator || is_bidirectional
}

/// Formats 1000 as "1,000".
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
        assert_eq!(bounded("a\u{202E}b\u{2028}c\u{2067}d", 20), "a b c d");
        let cut = bounded(&"ä".repeat(40), 16);
        assert!(cut.len() <= 16 && cut.ends_with(ELLIPSIS), "{cut}");
    }

    #[test]
    fn digits_are_grouped_in_threes() {
        let numbers = [0, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567"]);
    }
}
