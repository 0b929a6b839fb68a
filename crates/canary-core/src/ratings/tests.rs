use proptest::{collection::vec, prelude::*};

use super::*;

const WEIGHT: Weight = Weight::from_percent(1);

/// One rating: its event if it has one, its weight in percent if it is evidence, its channel and
/// its value.
type OneRating = (Option<&'static str>, Option<u32>, Channel, Rating);

fn one() -> impl Strategy<Value = OneRating> {
    let event = prop_oneof![Just(None), Just(Some("ordered")), Just(Some("paid"))];
    let weight = proptest::option::of(prop_oneof![Just(0), Just(100), 1..5_u32]);
    let channel = prop_oneof![Just(Channel::Stable), Just(Channel::Canary)];
    (event, weight, channel, prop_oneof![Just(Rating::Good), Just(Rating::Bad)])
}

fn no_ratings() -> Ratings {
    Ratings::try_new(["ordered", "paid"].map(|name| name.parse().unwrap())).unwrap()
}

fn count(ratings: &mut Ratings, all: &[OneRating]) {
    for (event, percent, channel, rating) in all {
        let rated = match event {
            Some(event) => ratings.event_mut(event).unwrap(),
            None => &mut ratings.feedback,
        };
        match percent {
            Some(percent) => rated.count(*channel, Weight::from_percent(*percent), *rating),
            None => rated.count_excluded(*channel, *rating),
        }
    }
}

fn counted(all: &[OneRating]) -> Ratings {
    let mut ratings = no_ratings();
    count(&mut ratings, all);
    ratings
}

fn merged(a: &Ratings, b: &Ratings) -> Ratings {
    let mut sum = a.clone();
    sum.merge(b);
    sum
}

proptest! {
    #[test]
    fn the_difference_has_the_ratings_in_between(
        before in vec(one(), 0..40), after in vec(one(), 0..40)
    ) {
        let earlier = counted(&before);
        let mut now = earlier.clone();
        count(&mut now, &after);
        let difference = now.since(&earlier).unwrap();
        prop_assert_eq!(&difference, &counted(&after));
        prop_assert_eq!(merged(&earlier, &difference), now);
    }

    #[test]
    fn replicas_can_be_added_in_any_order(
        a in vec(one(), 0..20), b in vec(one(), 0..20), c in vec(one(), 0..20)
    ) {
        let [a, b, c] = [a, b, c].map(|all| counted(&all));
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(merged(&a, &Ratings::default()), a);
    }

    #[test]
    fn more_ratings_are_not_an_earlier_state_of_fewer(less in vec(one(), 0..20), more in vec(one(), 1..20)) {
        let (now, mut later) = (counted(&less), counted(&less));
        count(&mut later, &more);
        prop_assert!(now.since(&later).is_err());
    }

    #[test]
    fn every_rating_is_in_the_total_of_its_channel(all in vec(one(), 0..60)) {
        let ratings = counted(&all);
        for channel in Channel::ALL {
            let given = all.iter().filter(|one| one.2 == channel);
            let bad = given.clone().filter(|one| one.3 == Rating::Bad).count();
            let mut total = ratings.feedback.total(channel);
            ratings.events().values().for_each(|rated| total.merge(rated.total(channel)));
            prop_assert_eq!(total.total, given.count() as u64);
            prop_assert_eq!(total.rated(Rating::Bad), bad as u64);
        }
    }
}

#[test]
fn the_error_names_the_event_weight_and_channel_of_a_count_that_decreased() {
    let mut earlier = no_ratings();
    earlier.event_mut("ordered").unwrap().count(Channel::Canary, WEIGHT, Rating::Good);
    for now in [no_ratings(), Ratings::default()] {
        let error = now.since(&earlier).unwrap_err();
        let message = "the count `ordered at 1%` of canary is lower than it was earlier";
        assert_eq!(error.to_string(), message);
    }
    let mut earlier = no_ratings();
    earlier.feedback.count_excluded(Channel::Stable, Rating::Bad);
    assert_eq!(
        no_ratings().since(&earlier).unwrap_err().to_string(),
        "the count `feedback excluded` of stable is lower than it was earlier",
    );
}

#[test]
fn a_difference_with_more_bad_ratings_than_ratings_is_rejected() {
    let of = |total, adverse| RatingCounts { total, adverse };
    assert_eq!(of(5, 5).checked_sub(of(4, 1)), None);
    assert_eq!(of(5, 2).checked_sub(of(4, 1)), Some(of(1, 1)));
}

#[test]
fn ratings_of_calls_that_chance_cannot_assign_are_excluded() {
    let mut rated = RatingsByWeight::default();
    rated.count(Channel::Canary, Weight::ZERO, Rating::Bad);
    rated.count(Channel::Stable, Weight::FULL, Rating::Bad);
    assert!(rated.evidence().is_empty());
    for channel in Channel::ALL {
        assert_eq!(rated.excluded()[channel], RatingCounts { total: 1, adverse: 1 }, "{channel}");
    }
}

#[test]
fn ratings_at_weights_beyond_the_bound_are_excluded_and_earlier_weights_continue() {
    let mut rated = RatingsByWeight::default();
    for ppm in 1..=2_000 {
        rated.count(Channel::Canary, Weight::from_ppm(ppm), Rating::Good);
    }
    rated.count(Channel::Canary, Weight::from_ppm(1), Rating::Bad);
    assert_eq!(rated.evidence().len(), RatingsByWeight::MAX_WEIGHTS);
    assert_eq!(
        rated.evidence()[&Weight::from_ppm(1)].canary,
        RatingCounts { total: 2, adverse: 1 }
    );
    assert_eq!(rated.excluded().canary.total, 2_000 - 1_024);
    assert_eq!(rated.total(Channel::Canary).total, 2_001);
}

#[test]
fn a_sixty_fifth_event_is_rejected_and_duplicates_count_once() {
    let names = |count: usize| {
        let name = |number| format!("event-{}", number % count).parse().unwrap();
        Ratings::try_new((0..2 * count).map(name))
    };
    assert_eq!(names(64).unwrap().events().len(), 64);
    let message = "a canary counts at most 64 events of the application";
    assert_eq!(names(65).unwrap_err().to_string(), message);
}
