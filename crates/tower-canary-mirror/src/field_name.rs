//! The names of fields, and how much is kept of what clients can make long.

use std::borrow::Cow;

/// The field under which a difference is counted: with `*` for each position.
pub(crate) fn pattern(field: &str) -> String {
    let segments = field.split('/').map(|segment| {
        let is_position = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
        Cow::Borrowed(if is_position { "*" } else { segment })
    });
    truncate(segments.collect::<Vec<_>>().join("/"))
}

/// Cuts what is longer than [`MAX_LENGTH`].
pub(crate) fn truncate(mut text: String) -> String {
    if text.len() > MAX_LENGTH {
        let end = (0..=MAX_LENGTH).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

/// In bytes. Enough to see what a value is, and not the place to keep it.
pub(crate) const MAX_LENGTH: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_no_part_of_the_name() {
        assert_eq!(pattern("body/items/17/price"), "body/items/*/price");
        assert_eq!(pattern("message/3"), "message/*");
        assert_eq!(pattern("body/v1/a"), "body/v1/a");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(truncate("a".repeat(MAX_LENGTH)), "a".repeat(MAX_LENGTH));
        let cut = truncate("ä€".repeat(MAX_LENGTH));
        assert!(cut.len() <= MAX_LENGTH + '…'.len_utf8(), "{}", cut.len());
        assert!(cut.ends_with('…'));
    }
}
