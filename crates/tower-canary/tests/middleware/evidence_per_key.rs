//! The bound on the part of the evidence that the calls of one key make.

use http::Method;
use tower_canary::{
    AssignmentReason, CanaryLayer, CanaryOptions, Channel,
    control::{ControlExt as _, KeySample},
    counts::ChannelCounts,
    select::Sticky,
};

use crate::{
    route_classes::{ClassFixture, USER, of_user, request, service},
    support::HALF,
};

/// Makes as many calls of one user as of 100 others together.
async fn busy_user(fixture: &ClassFixture) {
    for round in 0..2_000 {
        fixture.call(of_user("busy", false)).await;
        fixture.call(of_user(&format!("user-{}", round % 100), false)).await;
    }
}

#[tokio::test]
async fn the_calls_of_a_busy_user_are_a_twentieth_of_the_evidence() {
    let fixture = ClassFixture::new(Sticky::by_header(USER), HALF);
    let keys = fixture.handle.watch_keys(KeySample::ALL);
    busy_user(&fixture).await;
    let total = fixture.total();
    let sum = |count: fn(&ChannelCounts) -> u64| {
        [&total.evidence, &total.excluded].map(|it| count(&it.stable) + count(&it.canary))
    };
    let [evidence, excluded] = sum(|counts| counts.picked);
    let [_, capped] = sum(|counts| counts.reasons[AssignmentReason::Capped]);
    assert_eq!(evidence + excluded, 4_000);
    assert_eq!(capped, excluded);
    assert!((2_000..2_150).contains(&evidence), "{evidence}");

    let callers = fixture.handle.callers();
    assert_eq!((callers.calls(), callers.capped()), (4_000, capped));
    assert!((0.5..0.53).contains(&callers.largest_part().unwrap()), "{callers:?}");

    // A key that is capped still counts once where keys are counted.
    let _ = keys.take();
    fixture.call(of_user("busy", true)).await;
    let events = keys.take().events;
    assert_eq!(events[0].key, Some(fixture.handle.sticky_key("busy").hash()));
    assert!(events[0].activity.failed);
}

#[tokio::test]
async fn the_cap_depends_on_the_key_and_not_on_the_channel() {
    // With a caller key, the calls of one caller are assigned at random.
    let options =
        CanaryOptions::new().caller_key(|request| request.sticky_key(request.header(&USER)?));
    let fixture = ClassFixture::with_options(options, HALF);
    busy_user(&fixture).await;
    let total = fixture.total();
    let capped = |channel| total.excluded[channel].reasons[AssignmentReason::Capped];
    assert!(Channel::ALL.into_iter().all(|channel| capped(channel) > 700), "{total:?}");
    let evidence = &total.evidence;
    assert!(evidence.stable.picked.abs_diff(evidence.canary.picked) < 300, "{evidence:?}");
    assert!(!fixture.handle.may_be_sticky());
}

#[tokio::test]
async fn calls_without_a_key_are_never_capped_and_a_part_of_one_caps_none() {
    let policy = || Sticky::by_header(USER);
    let fixture = ClassFixture::new(policy(), HALF);
    for _ in 0..500 {
        fixture.call(request(Method::GET, "/")).await;
    }
    assert_eq!(fixture.handle.callers().calls(), 0);
    assert_eq!(fixture.handle.callers().largest_part(), None);

    let options = CanaryOptions::new().select(policy()).evidence_per_key(1.0);
    let unlimited = ClassFixture::with_options(options, HALF);
    busy_user(&unlimited).await;
    assert_eq!(unlimited.handle.callers().capped(), 0);
}

#[test]
#[should_panic(expected = "evidence per key is 1.5: expected a part above 0 and at most 1")]
fn a_part_above_one_is_refused() {
    let options = CanaryOptions::new().evidence_per_key(1.5);
    let _ = CanaryLayer::with_options("shop", service(), options);
}
