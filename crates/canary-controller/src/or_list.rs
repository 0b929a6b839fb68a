/// Formats choices as "a", "a or b", or "a, b or c".
pub(crate) fn or_list(choices: &[String]) -> String {
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
    fn the_last_choice_follows_an_or() {
        let list =
            |choices: &[&str]| or_list(&choices.iter().map(|&it| it.into()).collect::<Vec<_>>());
        assert_eq!(list(&["200"]), "200");
        assert_eq!(list(&["200", "204", "304"]), "200, 204 or 304");
    }
}
