//! Sticky assignment by a cookie that the layer issues.

use std::{convert::Infallible, future::ready, time::Duration};

use http::{Request, Response, StatusCode, header};
use tower::{Layer, ServiceExt, service_fn};
use tower_canary::{
    AssignmentReason, CanaryLayer, CanaryOptions, Channel, Fallback,
    select::{IssuedCookie, Sticky},
};

use super::{Answer, PolicyFixture, get, long_secret};
use crate::support::{ALMOST_ALL, HALF};

fn fixture(cookie: IssuedCookie) -> PolicyFixture {
    PolicyFixture::new(Sticky::by_issued(cookie), HALF)
}

/// Returns the issued cookie in the form in which a client sends it back.
fn issued(answer: &Answer) -> Option<String> {
    let cookie = answer.headers.get(header::SET_COOKIE)?.to_str().unwrap();
    Some(cookie.split(';').next().unwrap().to_owned())
}

#[tokio::test]
async fn a_caller_without_a_cookie_gets_one_that_keeps_the_channel() {
    for cookie in [IssuedCookie::new("id"), IssuedCookie::new("id").signed(&long_secret())] {
        let fixture = fixture(cookie);
        for _ in 0..20 {
            let first = fixture.call(get("/", &[])).await;
            let channel = first.assignment.as_ref().unwrap().channel();
            assert_eq!(first.assignment.as_ref().unwrap().reason(), AssignmentReason::Sticky);
            assert_eq!(first.headers[header::CACHE_CONTROL], "private");
            let sent = issued(&first).unwrap();
            let again = fixture.call(get("/", &[(header::COOKIE, &sent)])).await;
            assert_eq!(again.assignment.as_ref().unwrap().channel(), channel);
            assert_eq!(issued(&again), None, "the cookie is issued once");
            let is_private = again.headers.contains_key(header::CACHE_CONTROL);
            assert_eq!(is_private, channel == Channel::Canary);
        }
    }
}

#[tokio::test]
async fn the_cookie_has_the_requested_attributes() {
    let plain = fixture(IssuedCookie::new("id")).call(get("/", &[])).await;
    let plain = plain.headers[header::SET_COOKIE].to_str().unwrap().to_owned();
    assert!(plain.starts_with("id="), "{plain}");
    for part in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=2592000"] {
        assert!(plain.contains(part), "{part} in {plain}");
    }
    assert!(!plain.contains("Secure"), "{plain}");
    let cookie = IssuedCookie::new("id").same_site_none().max_age(Duration::from_secs(60));
    let custom = fixture(cookie).call(get("/", &[])).await;
    let custom = custom.headers[header::SET_COOKIE].to_str().unwrap().to_owned();
    for part in ["Secure", "SameSite=None", "Max-Age=60"] {
        assert!(custom.contains(part), "{part} in {custom}");
    }
}

#[tokio::test]
async fn a_cookie_with_an_invalid_signature_is_replaced() {
    let fixture = fixture(IssuedCookie::new("id").signed(&long_secret()));
    let sent = issued(&fixture.call(get("/", &[])).await).unwrap();
    let mut forged = sent.clone().into_bytes();
    let last = forged.last_mut().unwrap();
    *last = if *last == b'0' { b'1' } else { b'0' };
    let forged = String::from_utf8(forged).unwrap();
    for (cookie, is_replaced) in
        [(&*sent, false), (&*forged, true), ("id=mine", true), ("id=", true)]
    {
        let answer = fixture.call(get("/", &[(header::COOKIE, cookie)])).await;
        assert_eq!(issued(&answer).is_some(), is_replaced, "{cookie}");
    }
}

#[test]
#[should_panic(expected = "expected letters, digits and")]
fn an_invalid_cookie_name_is_refused() {
    let _ = IssuedCookie::new("my id");
}

#[tokio::test]
async fn a_name_with_a_secure_prefix_makes_a_secure_cookie() {
    for name in ["__Host-id", "__secure-id"] {
        let answer = fixture(IssuedCookie::new(name)).call(get("/", &[])).await;
        let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
        assert!(cookie.contains("; Secure") && cookie.contains("Path=/"), "{cookie}");
    }
}

#[test]
#[should_panic(expected = "expected at least a second")]
fn a_max_age_below_a_second_is_refused() {
    let _ = IssuedCookie::new("id").max_age(Duration::from_millis(999));
}

#[test]
#[should_panic(expected = "expected at most 365 days")]
fn a_max_age_above_a_year_is_refused() {
    let _ = IssuedCookie::new("id").max_age(Duration::from_secs(400 * 24 * 60 * 60));
}

#[tokio::test]
async fn a_call_that_falls_back_gets_one_cookie() {
    let respond = |status| {
        service_fn(move |_: Request<String>| {
            let mut response = Response::new(String::new());
            *response.status_mut() = status;
            ready(Ok::<_, Infallible>(response))
        })
    };
    let options = CanaryOptions::new()
        .select(Sticky::by_issued(IssuedCookie::new("id")))
        .fallback(Fallback::of_clones::<String>());
    let canary = respond(StatusCode::INTERNAL_SERVER_ERROR);
    let layer = CanaryLayer::with_options("shop", canary, options);
    layer.handle().set_weight(ALMOST_ALL).unwrap();
    let service = layer.layer(respond(StatusCode::OK));
    let response = service.oneshot(Request::new(String::new())).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(layer.handle().counts().total().excluded.stable.picked, 1, "it fell back");
    assert_eq!(response.headers().get_all(header::SET_COOKIE).iter().count(), 1);
}
