//! Decisions that callers propagate in W3C baggage.

use http::{HeaderMap, HeaderValue, Request};
use proptest::prelude::*;
use tower_canary::{
    AssignmentReason, Channel, Weight,
    select::{Condition, Incoming, Propagated, Selection},
};

use super::{BAGGAGE, PolicyFixture, get, untrusted_headers::header_bytes};
use crate::support::HALF;

#[tokio::test]
async fn only_the_baggage_of_trusted_callers_decides() {
    #[derive(Clone)]
    struct Trusted;
    let policy = Propagated::from_callers(Condition::when(|request| {
        request.extensions().get::<Trusted>().is_some()
    }));
    let fixture = PolicyFixture::new(policy, Weight::from_ppm(1));
    let request = || get("/", &[(BAGGAGE, "a=b,canary.shop=canary")]);
    let outsider = fixture.call(request()).await;
    assert_eq!(outsider.assignment.unwrap().reason(), AssignmentReason::Random);
    assert_eq!(outsider.headers[BAGGAGE], "a=b");
    let mut insider = request();
    insider.extensions_mut().insert(Trusted);
    let answer = fixture.call(insider).await;
    let assignment = answer.assignment.unwrap();
    assert_eq!(
        (assignment.channel(), assignment.reason()),
        (Channel::Canary, AssignmentReason::Propagated)
    );
    assert_eq!(answer.headers[BAGGAGE], "a=b");

    let mut outgoing = HeaderMap::new();
    outgoing.insert(BAGGAGE, HeaderValue::from_static("a=b"));
    assignment.propagate(&mut outgoing);
    let values: Vec<_> = outgoing.get_all(BAGGAGE).iter().collect();
    assert_eq!(values, ["canary.shop=canary", "a=b"]);
}

proptest! {
    /// The members of others stay in the baggage.
    #[test]
    fn a_decision_is_propagated_through_any_baggage(
        values in prop::collection::vec(header_bytes(), 0..6),
        is_canary: bool,
    ) {
        let channel = if is_canary { Channel::Canary } else { Channel::Stable };
        let here = PolicyFixture::new(move |_: &Incoming<'_>| Some(Selection::always(channel)), HALF);
        let sent = tokio_test::block_on(here.call(get("/", &[]))).assignment.unwrap();
        let mut request = Request::new(());
        for value in &values {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                request.headers_mut().append(BAGGAGE, value);
            }
        }
        let members = |headers: &HeaderMap| -> Vec<Vec<u8>> {
            let values = headers.get_all(BAGGAGE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
            values
                .map(|member| member.trim_ascii().to_vec())
                .filter(|member| !member.is_empty() && !member.starts_with(b"canary.shop"))
                .collect()
        };
        let others = members(request.headers());
        sent.propagate(request.headers_mut());

        let there = PolicyFixture::new(Propagated::from_callers(Condition::any()), HALF);
        let answer = tokio_test::block_on(there.call(request));
        let assignment = answer.assignment.unwrap();
        prop_assert_eq!((assignment.channel(), assignment.reason()), (channel, AssignmentReason::Propagated));
        prop_assert_eq!(members(&answer.headers), others);
    }
}
