//! Rules, closures, and the channel of each kind of selection at each weight.

use http::{HeaderName, Method};
use tower_canary::{
    AssignmentReason, Channel, Weight,
    select::{Condition, Incoming, Select as _, Selection, Sticky},
};

use super::{PolicyFixture, USER, get, one_key_of_each};
use crate::support::HALF;

const DO: HeaderName = HeaderName::from_static("x-do");

#[tokio::test]
async fn the_first_rule_that_matches_wins() {
    let policy = Condition::path_prefix("/admin")
        .never()
        .or(Condition::header(HeaderName::from_static("x-beta"), "yes").always())
        .or(Condition::path("/checkout")
            .and(Condition::method(Method::GET))
            .then(Sticky::by_header(USER)))
        .or(Condition::has_header(USER).not().at_weight())
        .or(Condition::any().never());
    let fixture = PolicyFixture::new(policy, HALF);
    let beta = HeaderName::from_static("x-beta");
    let [_, on_canary] = one_key_of_each("shop:v2");
    for (request, expected) in [
        (get("/admin/users", &[(beta.clone(), "yes")]), (Channel::Stable, AssignmentReason::Rule)),
        (get("/admin", &[(beta.clone(), "yes")]), (Channel::Stable, AssignmentReason::Rule)),
        (
            get("/administrator", &[(beta.clone(), "yes")]),
            (Channel::Canary, AssignmentReason::Rule),
        ),
        (
            get("/", &[(beta.clone(), "no"), (beta, "yes")]),
            (Channel::Canary, AssignmentReason::Rule),
        ),
        (get("/checkout", &[(USER, &on_canary)]), (Channel::Canary, AssignmentReason::Sticky)),
        (get("/checkout/1", &[(USER, &on_canary)]), (Channel::Stable, AssignmentReason::Rule)),
    ] {
        let uri = request.uri().clone();
        assert_eq!(fixture.assign(request).await, expected, "{uri}");
    }
    assert_eq!(fixture.assign(get("/", &[])).await.1, AssignmentReason::Random);
    let counts = fixture.handle.counts().total();
    assert_eq!(counts.excluded.stable.reasons[AssignmentReason::Rule], 3);
    assert_eq!(counts.excluded.canary.reasons[AssignmentReason::Rule], 2);
    assert_eq!(counts.evidence.canary.reasons[AssignmentReason::Sticky], 1);
    assert_eq!(counts.evidence.canary.picked, counts.evidence.canary.reasons.total());
}

#[tokio::test]
async fn a_closure_is_a_policy() {
    #[derive(Clone)]
    struct Pilot;
    let policy = |request: &Incoming<'_>| {
        request.extensions().get::<Pilot>()?;
        Some(Selection::always(Channel::Canary))
    };
    let fixture = PolicyFixture::new(policy, Weight::from_ppm(1));
    let mut pilot = get("/", &[]);
    pilot.extensions_mut().insert(Pilot);
    assert_eq!(fixture.assign(pilot).await, (Channel::Canary, AssignmentReason::Rule));
    assert_eq!(fixture.assign(get("/", &[])).await.1, AssignmentReason::Random);
}

#[tokio::test]
async fn each_selection_has_its_channel_at_each_weight() {
    use Channel::{Canary, Stable};

    fn policy(request: &Incoming<'_>) -> Option<Selection> {
        Some(match request.header(&DO)? {
            b"always" => Selection::always(Canary),
            b"never" => Selection::always(Stable),
            b"forced" => Selection::forced(Canary),
            b"forced-stable" => Selection::forced(Stable),
            b"propagated" => Selection::propagated(Canary),
            b"propagated-stable" => Selection::propagated(Stable),
            _ => return None,
        })
    }
    let fixture = PolicyFixture::new(policy, Weight::ZERO);
    let table = [
        // zero, some, full, halted
        ("always", [Stable, Canary, Canary, Stable]),
        ("never", [Stable, Stable, Stable, Stable]),
        ("forced", [Canary, Canary, Canary, Stable]),
        ("forced-stable", [Stable, Stable, Stable, Stable]),
        ("propagated", [Stable, Canary, Canary, Stable]),
        ("propagated-stable", [Stable, Stable, Stable, Stable]),
    ];
    for step in 0..4 {
        match step {
            0 => fixture.handle.set_weight(Weight::ZERO).unwrap(),
            1 => fixture.handle.set_weight(Weight::from_ppm(1)).unwrap(),
            2 => fixture.handle.promote().unwrap(),
            _ => fixture.handle.halt("enough"),
        }
        for (policy, channels) in table {
            let request = get("/", &[(DO, policy)]);
            assert_eq!(fixture.assign(request).await.0, channels[step], "{policy} at step {step}");
        }
    }
    fixture.handle.lift_halt();
    let forced = get("/", &[(DO, "forced")]);
    assert_eq!(fixture.assign(forced).await.0, Canary, "after the halt is lifted");
}
