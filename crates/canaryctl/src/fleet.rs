use canary_api::FleetView;

/// Returns a line about the replicas of a rollout, such as "7 of 9 replicas heard; silent: a1, b2".
pub(crate) fn replicas(fleet: &FleetView) -> String {
    match fleet.silent[..] {
        [] => fleet.sentence.clone(),
        _ => format!("{}; silent: {}", fleet.sentence, fleet.silent.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_replicas_have_names() {
        let mut fleet =
            FleetView { sentence: "2 of 2 replicas heard".to_owned(), ..FleetView::default() };
        assert_eq!(replicas(&fleet), "2 of 2 replicas heard");
        fleet.silent = vec!["a1".to_owned(), "b2".to_owned()];
        fleet.sentence = "7 of 9 replicas heard".to_owned();
        assert_eq!(replicas(&fleet), "7 of 9 replicas heard; silent: a1, b2");
    }
}
