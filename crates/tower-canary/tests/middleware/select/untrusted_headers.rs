//! Arbitrary bytes in the headers that policies read.

use http::{HeaderValue, Request, header};
use proptest::prelude::*;
#[cfg(feature = "cookie")]
use tower_canary::select::IssuedCookie;
use tower_canary::{
    AssignmentReason,
    select::{Condition, Forced, Propagated, Select, Sticky},
};

#[cfg(feature = "cookie")]
use super::long_secret;
use super::{BAGGAGE, FORCE, PolicyFixture, USER, secret};
use crate::support::HALF;

proptest! {
    /// The call is answered, and drawn at random if no header has a valid key.
    #[test]
    fn arbitrary_header_bytes_do_not_prevent_an_assignment(
        users in prop::collection::vec(header_bytes(), 0..3),
        cookies in prop::collection::vec(header_bytes(), 0..4),
        baggage in prop::collection::vec(header_bytes(), 0..4),
        force in prop::collection::vec(header_bytes(), 0..3),
    ) {
        let policy = Forced::by_header(FORCE, secret())
            .or(Forced::by_cookie("force", secret()))
            .or(Propagated::from_callers(Condition::any()))
            .or(Sticky::by_header(USER).or_cookie("session"));
        #[cfg(feature = "cookie")]
        let policy = policy.or(Sticky::by_issued(IssuedCookie::new("id").signed(&long_secret())));
        let fixture = PolicyFixture::new(policy, HALF);
        let mut request = Request::new(());
        for (name, values) in [(USER, &users), (header::COOKIE, &cookies), (BAGGAGE, &baggage), (FORCE, &force)] {
            for value in values {
                if let Ok(value) = HeaderValue::from_bytes(value) {
                    request.headers_mut().append(&name, value);
                }
            }
        }
        let answer = tokio_test::block_on(fixture.call(request));
        let reason = answer.assignment.unwrap().reason();
        prop_assert!(reason != AssignmentReason::Forced, "random bytes are not the secret");
        prop_assert!(!answer.headers.contains_key(FORCE));
    }
}

/// Generates arbitrary bytes and values that resemble valid ones.
pub(super) fn header_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        "(session|force|id|canary.shop|a)[ =;,:\"]{0,3}(canary|stable|[a-z0-9=;,\"% ]{0,40})(;[a-z= ]{0,9}){0,3}"
            .prop_map(String::into_bytes),
    ]
}
