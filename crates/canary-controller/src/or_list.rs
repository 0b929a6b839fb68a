//! Texts for people.

/// "a", "a or b", "a, b or c".
pub(crate) fn any_of(choices: &[String]) -> String {
    match choices {
        [] => String::new(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_listed_as_people_do() {
        let listed =
            |choices: &[&str]| any_of(&choices.iter().map(|&it| it.into()).collect::<Vec<_>>());
        assert_eq!(listed(&["200"]), "200");
        assert_eq!(listed(&["200", "204", "304"]), "200, 204 or 304");
    }
}
