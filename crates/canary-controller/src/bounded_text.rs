//! Limits external text so that it fits onto one line of a log or a message.

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
fn changes_layout(c: char) -> bool {
    let is_separator = matches!(c, '\u{2028}' | '\u{2029}');
    let is_bidirectional = matches!(
        c,
        '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}'
    );
    c.is_control() || is_separator || is_bidirectional
}

const ELLIPSIS: &str = "\u{2026}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(bounded(" wrong\ntotals ", 80), "wrong totals");
        assert_eq!(bounded("a\u{202E}b\u{2028}c\u{2067}d", 80), "a b c d");
        assert_eq!(bounded("wrong totals", 8), "wrong\u{2026}");
        let cut = bounded(&"ä".repeat(40), 16);
        assert!(cut.len() <= 16 && cut.ends_with(ELLIPSIS), "{cut}");
    }
}
