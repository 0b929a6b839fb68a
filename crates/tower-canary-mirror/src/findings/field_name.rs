use std::borrow::Cow;

/// Returns the field under which a difference counts: `*` replaces each array position.
pub(crate) fn pattern(field: &str) -> String {
    let segments = field.split('/').map(|segment| {
        let is_position = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
        Cow::Borrowed(if is_position { "*" } else { segment })
    });
    truncate(segments.collect::<Vec<_>>().join("/"))
}

/// Truncates texts longer than [`MAX_LENGTH`].
pub(crate) fn truncate(mut text: String) -> String {
    if text.len() > MAX_LENGTH {
        let end = (0..=MAX_LENGTH).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

/// In bytes.
pub(crate) const MAX_LENGTH: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_replaces_array_positions() {
        assert_eq!(pattern("body/items/17/price"), "body/items/*/price");
        assert_eq!(pattern("message/3"), "message/*");
        assert_eq!(pattern("body/v1/a"), "body/v1/a");
    }

    #[test]
    fn long_texts_are_truncated_between_characters() {
        assert_eq!(truncate("a".repeat(MAX_LENGTH)), "a".repeat(MAX_LENGTH));
        let truncated = truncate("ä€".repeat(MAX_LENGTH));
        assert!(truncated.len() <= MAX_LENGTH + '…'.len_utf8(), "{}", truncated.len());
        assert!(truncated.ends_with('…'));
    }
}
