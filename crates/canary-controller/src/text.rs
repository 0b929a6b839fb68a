//! Texts of others, made fit for people's screens.

/// The text without control characters, cut after so many bytes.
pub(crate) fn bounded(text: &str, most_bytes: usize) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut text: String = text.trim().chars().map(clean).collect();
    if text.len() > most_bytes {
        let mut end = most_bytes.saturating_sub(ELLIPSIS.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(ELLIPSIS);
    }
    text
}

/// "a", "a or b", "a, b or c".
pub(crate) fn any_of(choices: &[String]) -> String {
    match choices {
        [] => String::new(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

const ELLIPSIS: &str = "\u{2026}";

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
    fn choices_are_listed_as_people_do() {
        let listed =
            |choices: &[&str]| any_of(&choices.iter().map(|&it| it.into()).collect::<Vec<_>>());
        assert_eq!(listed(&["200"]), "200");
        assert_eq!(listed(&["200", "204", "304"]), "200, 204 or 304");
    }
}
