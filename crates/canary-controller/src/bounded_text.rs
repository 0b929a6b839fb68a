//! Limits external text so that it fits onto one line of a log or a message.

/// Replaces control characters with spaces, trims the text, and cuts it to `max_bytes`.
pub(crate) fn bounded(text: &str, max_bytes: usize) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
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

const ELLIPSIS: &str = "\u{2026}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(bounded(" wrong\ntotals ", 80), "wrong totals");
        assert_eq!(bounded("wrong totals", 8), "wrong\u{2026}");
        let cut = bounded(&"ä".repeat(40), 16);
        assert!(cut.len() <= 16 && cut.ends_with(ELLIPSIS), "{cut}");
    }
}
