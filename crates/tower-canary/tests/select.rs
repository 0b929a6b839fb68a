//! Who gets the canary, by the policies of `tower_canary::select`.
#![allow(clippy::unwrap_used)]

use std::{
    convert::Infallible,
    process::{Command, Stdio},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use proptest::prelude::*;
use tower::{Layer, ServiceExt, service_fn};
use tower_canary::{
    Assignment, AssignmentReason, Bucket, CanaryHandle, CanaryLayer, CanaryOptions, Channel,
    Weight,
    control::ControlExt,
    select::{
        Condition, Forced, Incoming, Propagated, Secret, Select, Selection, Sticky, StickyKey,
    },
};

const USER: HeaderName = HeaderName::from_static("x-user-id");
const FORCE: HeaderName = HeaderName::from_static("x-canary-force");
const DO: HeaderName = HeaderName::from_static("x-do");
const SECRET: &str = "0b2f7c65a41d4f1e9c3d";
const HALF: Weight = Weight::from_percent(50);

/// A canary whose services answer with the headers that they saw.
struct Shop {
    handle: CanaryHandle,
    layer: CanaryLayer<Echo>,
}

type Echo = tower::util::BoxCloneSyncService<Request<()>, Response<String>, Infallible>;

fn echo() -> Echo {
    Echo::new(service_fn(|request: Request<()>| async move {
        let assignment = request.extensions().get::<Assignment>().cloned();
        let mut response = Response::new(String::new());
        for (name, value) in request.headers() {
            response.headers_mut().append(name, value.clone());
        }
        if let Some(assignment) = assignment {
            response.extensions_mut().insert(assignment);
        }
        Ok(response)
    }))
}

impl Shop {
    fn new(policy: impl Select, weight: Weight) -> Self {
        let options = CanaryOptions::new().canary_release("v2").select(policy);
        let layer = CanaryLayer::with_options("shop", echo(), options);
        let handle = layer.handle();
        handle.set_weight(weight).unwrap();
        Self { handle, layer }
    }

    async fn call(&self, request: Request<()>) -> Answer {
        let response = self.layer.layer(echo()).oneshot(request).await.unwrap();
        Answer {
            assignment: response.extensions().get().cloned(),
            headers: response.headers().clone(),
        }
    }

    async fn assign(&self, request: Request<()>) -> (Channel, AssignmentReason) {
        let assignment = self.call(request).await.assignment.unwrap();
        (assignment.channel(), assignment.reason())
    }
}

struct Answer {
    assignment: Option<Assignment>,
    headers: HeaderMap,
}

fn get(path: &str, headers: &[(HeaderName, &str)]) -> Request<()> {
    let mut request = Request::get(path).body(()).unwrap();
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        request.headers_mut().append(name, value);
    }
    request
}

fn of_user(user: &str) -> Request<()> {
    get("/", &[(USER, user)])
}

// --- sticky

#[tokio::test]
async fn a_key_is_on_the_channel_that_the_published_formula_says() {
    let shop = Shop::new(Sticky::by_header(USER), HALF);
    assert_eq!(shop.handle.salt(), "shop:v2");
    for number in 0..100 {
        let user = format!("user-{number}");
        let is_canary = HALF.admits(StickyKey::new("shop:v2", &user).bucket());
        let expected = if is_canary { Channel::Canary } else { Channel::Stable };
        for _ in 0..2 {
            assert_eq!(shop.assign(of_user(&user)).await, (expected, AssignmentReason::Sticky));
        }
    }
}

const VECTORS: [(&str, &str, u64, u32); 12] = [
    ("", "", 0xe934_a84a_db05_2768, 910_959),
    ("checkout:1", "", 0x3eb7_5642_69c1_0a86, 244_984),
    ("checkout:1", "a", 0x984c_e2ad_5862_30c3, 594_923),
    ("checkout:1", "user-1", 0xbe64_50c3_656b_097e, 743_718),
    ("checkout:1", "user-2", 0x8de6_a807_e77c_b673, 554_300),
    ("checkout:1", "user-1000000", 0x98a4_2157_3f8a_ec93, 596_254),
    ("checkout:2", "user-1", 0x7de8_3d20_bdc8_7b75, 491_824),
    ("search:1", "user-1", 0xd9bd_85f0_0225_b754, 850_548),
    ("checkout:1", "550e8400-e29b-41d4-a716-446655440000", 0x453c_d80e_f950_fa6b, 270_459),
    ("checkout:1", "Zoë Ångström", 0xf381_a90d_4c32_a269, 951_197),
    ("checkout:1", "日本語", 0x5ed1_a310_0c28_c1c7, 370_386),
    (
        "checkout:1",
        "0123456789abcdef0123456789abcdef0123456789abcdef",
        0x496c_42d6_92fc_57b0,
        286_808,
    ),
];

#[test]
fn the_published_vectors_hold_and_stand_in_the_docs() {
    let docs = include_str!("../docs/sticky-in-other-languages.md");
    for (salt, key, hash, bucket) in VECTORS {
        let sticky = StickyKey::new(salt, key);
        assert_eq!(sticky.hash(), hash, "{salt} {key}");
        assert_eq!(sticky.bucket().index(), bucket, "{salt} {key}");
        assert!(docs.contains(&format!("`{hash:016x}` | {bucket} |")), "{salt} {key}");
    }
}

/// A second implementation, in Python and from the hash's specification, comes to the same channels.
#[test]
fn python_comes_to_the_same_assignment() {
    let keys: Vec<String> =
        (0..2_000).map(|number| format!("{number}-{}", "k".repeat(number % 70))).collect();
    let mut python = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sticky.py"))
        .arg("shop:v2")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is installed; `tests/run` does so");
    std::io::Write::write_all(python.stdin.as_mut().unwrap(), keys.join("\n").as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    let buckets = String::from_utf8(output.stdout).unwrap();
    let ours: Vec<String> = keys
        .iter()
        .map(|key| StickyKey::new("shop:v2", key).bucket().index().to_string())
        .collect();
    assert_eq!(buckets.lines().collect::<Vec<_>>(), ours);
}

/// Ten million keys over a thousand bins. The statistic is chi-square with 999 degrees of freedom, of
/// which the middle 99.99 % lie between 834 and 1,183.
#[test]
fn keys_are_uniform_over_the_buckets() {
    let mut bins = vec![0_u64; 1_000];
    for number in 0_u32..10_000_000 {
        let bucket = StickyKey::new("shop:v2", number.to_string()).bucket();
        bins[bucket.index() as usize / 1_000] += 1;
    }
    let expected = 10_000.0;
    #[expect(clippy::cast_precision_loss, reason = "some 10^4")]
    let chi_square: f64 =
        bins.iter().map(|seen| (*seen as f64 - expected).powi(2) / expected).sum();
    assert!((834.0..1_183.0).contains(&chi_square), "{chi_square}");
}

/// Of 10 % twice, the share on both canaries is 1 %, give or take: 1,000,000 keys, 5 sigma are 0.05 %.
#[test]
fn who_gets_one_canary_says_nothing_about_another() {
    let ten_percent = Weight::from_percent(10);
    for (one, other) in [("shop:v2", "shop:v3"), ("shop:v2", "search:v2"), ("a", "b")] {
        let is_on = |salt: &str, key: &str| ten_percent.admits(StickyKey::new(salt, key).bucket());
        let on_both = (0..1_000_000)
            .map(|number| format!("user-{number}"))
            .filter(|key| is_on(one, key) && is_on(other, key))
            .count();
        assert!((9_500..10_500).contains(&on_both), "{on_both} for {one} and {other}");
    }
}

proptest! {
    #[test]
    fn raising_the_weight_only_adds_keys(key: Vec<u8>, low in 0..=1_000_000_u32, high in 0..=1_000_000_u32) {
        let (low, high) = (low.min(high), low.max(high));
        let bucket = StickyKey::new("shop:v2", &key).bucket();
        let admits = |ppm| Weight::from_ppm(ppm).admits(bucket);
        prop_assert!(!admits(low) || admits(high));
    }

    /// Whatever is in the headers, the call is answered, and what names no key is drawn.
    #[test]
    fn no_header_or_cookie_can_break_an_assignment(
        users in prop::collection::vec(header_bytes(), 0..3),
        cookies in prop::collection::vec(header_bytes(), 0..4),
        baggage in prop::collection::vec(header_bytes(), 0..4),
        force in prop::collection::vec(header_bytes(), 0..3),
    ) {
        let policy = Forced::by_header(FORCE, secret())
            .or(Forced::by_cookie("force", secret()))
            .or(Propagated::from_callers(|_| true))
            .or(Sticky::by_header(USER).or_cookie("session"));
        #[cfg(feature = "cookie")]
        let policy = policy.or(Sticky::by_issued(tower_canary::select::IssuedCookie::new("id").signed(&long_secret())));
        let shop = Shop::new(policy, HALF);
        let mut request = Request::new(());
        for (name, values) in [(USER, &users), (header::COOKIE, &cookies), (HeaderName::from_static("baggage"), &baggage), (FORCE, &force)] {
            for value in values {
                if let Ok(value) = HeaderValue::from_bytes(value) {
                    request.headers_mut().append(&name, value);
                }
            }
        }
        let answer = tokio_test::block_on(shop.call(request));
        let reason = answer.assignment.unwrap().reason();
        prop_assert!(reason != AssignmentReason::Forced, "nobody guesses the secret");
        prop_assert!(!answer.headers.contains_key(FORCE));
    }
}

proptest! {
    /// Whatever baggage a request has, the decision gets through it, and what others wrote stays.
    #[test]
    fn a_decision_gets_through_any_baggage(
        values in prop::collection::vec(header_bytes(), 0..6),
        is_canary: bool,
    ) {
        let channel = if is_canary { Channel::Canary } else { Channel::Stable };
        let here = Shop::new(move |_: &Incoming<'_>| Some(Selection::always(channel)), HALF);
        let sent = tokio_test::block_on(here.call(get("/", &[]))).assignment.unwrap();
        let baggage = HeaderName::from_static("baggage");
        let mut request = Request::new(());
        for value in &values {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                request.headers_mut().append(&baggage, value);
            }
        }
        let members = |headers: &HeaderMap| -> Vec<Vec<u8>> {
            let values = headers.get_all(&baggage).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
            values
                .map(|member| member.trim_ascii().to_vec())
                .filter(|member| !member.is_empty() && !member.starts_with(b"canary.shop"))
                .collect()
        };
        let others = members(request.headers());
        sent.propagate(request.headers_mut());

        let there = Shop::new(Propagated::from_callers(|_| true), HALF);
        let answer = tokio_test::block_on(there.call(request));
        let assignment = answer.assignment.unwrap();
        prop_assert_eq!((assignment.channel(), assignment.reason()), (channel, AssignmentReason::Propagated));
        prop_assert_eq!(members(&answer.headers), others);
    }
}

/// Arbitrary bytes, and what looks like something.
fn header_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        "(session|force|id|canary.shop|a)[ =;,:\"]{0,3}(canary|stable|[a-z0-9=;,\"% ]{0,40})(;[a-z= ]{0,9}){0,3}"
            .prop_map(String::into_bytes),
    ]
}

fn secret() -> Secret {
    Secret::try_new(SECRET).unwrap()
}

#[cfg(feature = "cookie")]
fn long_secret() -> Secret {
    Secret::try_new("T5u6Wd0mQ3pZ8sYxVbNfGhJkLrEaC2i7").unwrap()
}

#[tokio::test]
async fn the_first_place_with_a_key_counts() {
    let shop = Shop::new(Sticky::by_header(USER).or_cookie("session"), HALF);
    let [on_stable, on_canary] = one_key_of_each("shop:v2");
    let both = get("/", &[(USER, &on_canary), (header::COOKIE, &format!("session={on_stable}"))]);
    assert_eq!(shop.assign(both).await, (Channel::Canary, AssignmentReason::Sticky));
    let cookie = get("/", &[(header::COOKIE, &format!("a=b; session={on_stable}"))]);
    assert_eq!(shop.assign(cookie).await, (Channel::Stable, AssignmentReason::Sticky));
    assert_eq!(shop.assign(get("/", &[])).await.1, AssignmentReason::Random);
}

/// A visitor's cookie names one channel and the user's id the other: the login is when it changes.
#[tokio::test]
async fn an_identity_may_change_the_channel_at_login_and_only_then() {
    let shop = Shop::new(Sticky::by_header(USER).or_cookie("visitor"), HALF);
    let [on_stable, on_canary] = one_key_of_each("shop:v2");
    let cookie = format!("visitor={on_canary}");
    for _ in 0..3 {
        let visitor = get("/", &[(header::COOKIE, &cookie)]);
        assert_eq!(shop.assign(visitor).await.0, Channel::Canary);
    }
    for _ in 0..3 {
        let user = get("/", &[(header::COOKIE, &cookie), (USER, &on_stable)]);
        assert_eq!(shop.assign(user).await.0, Channel::Stable);
    }
}

#[tokio::test]
async fn what_is_no_key_counts_as_absent() {
    let shop = Shop::new(Sticky::by_header(USER), HALF);
    let long = "k".repeat(StickyKey::MAX_LENGTH + 1);
    for request in
        [of_user(""), of_user(&long), get("/", &[(USER, "one"), (USER, "two")]), get("/", &[])]
    {
        assert_eq!(shop.assign(request).await.1, AssignmentReason::Random);
    }
    assert_eq!(shop.assign(of_user(&long[1..])).await.1, AssignmentReason::Sticky);
    let beside = [(USER, "one"), (header::VIA, "one"), (header::VIA, "two")];
    assert_eq!(shop.assign(get("/", &beside)).await.1, AssignmentReason::Sticky);
    assert_eq!(shop.assign(of_user("Zo\u{eb}")).await.1, AssignmentReason::Sticky);
    let mut latin_1 = get("/", &[]);
    latin_1.headers_mut().insert(USER, HeaderValue::from_bytes(b"Zo\xeb").unwrap());
    assert_eq!(shop.assign(latin_1).await.1, AssignmentReason::Sticky);
}

#[tokio::test]
async fn who_has_no_key_can_be_kept_on_stable() {
    let shop = Shop::new(Sticky::by_header(USER).or_stable(), Weight::FULL);
    assert_eq!(shop.assign(get("/", &[])).await, (Channel::Stable, AssignmentReason::Rule));
    assert_eq!(shop.assign(of_user("u")).await, (Channel::Canary, AssignmentReason::Sticky));
}

#[tokio::test]
async fn another_salt_gives_the_canary_to_other_keys() {
    let shop = Shop::new(Sticky::by_header(USER), HALF);
    let [on_stable, _] = one_key_of_each("shop:v2");
    assert_eq!(shop.assign(of_user(&on_stable)).await.0, Channel::Stable);
    let salt = (0..).map(|retry| format!("shop:v2:{retry}"));
    let salt = salt
        .filter(|salt| HALF.admits(StickyKey::new(salt, &on_stable).bucket()))
        .find(|salt| salt != "shop:v2")
        .unwrap();
    shop.handle.set_salt(&salt);
    assert_eq!(shop.handle.salt(), salt);
    assert_eq!(shop.handle.weight(), HALF);
    assert_eq!(shop.assign(of_user(&on_stable)).await.0, Channel::Canary);
}

#[tokio::test]
async fn a_sticky_call_that_spills_counts_as_spilled_and_as_stables() {
    let never_ready = tower_test::mock::pair::<Request<()>, Response<String>>().0;
    let options = CanaryOptions::new().select(Sticky::by_header(USER));
    let layer = CanaryLayer::with_options("shop", never_ready, options);
    let handle = layer.handle();
    handle.set_weight(HALF).unwrap();
    let [_, on_canary] = one_key_of_each("shop:");
    let stable = service_fn(|_| async { Ok::<_, tower::BoxError>(Response::new(String::new())) });
    for _ in 0..3 {
        layer.layer(stable).oneshot(of_user(&on_canary)).await.unwrap();
    }
    let counts = handle.counts().total();
    assert_eq!(counts.excluded.stable.reasons[AssignmentReason::Spilled], 3);
    assert_eq!(counts.evidence.canary.spilled, 3);
}

/// At a weight of 50 %, a key of stable's and one of the canary's.
fn one_key_of_each(salt: &str) -> [String; 2] {
    [false, true].map(|is_canary| {
        let mut keys = (0..).map(|number| format!("user-{number}"));
        keys.find(|key| HALF.admits(StickyKey::new(salt, key).bucket()) == is_canary).unwrap()
    })
}

// --- issued cookies

#[cfg(feature = "cookie")]
mod issued {
    use std::time::Duration;

    use tower_canary::select::IssuedCookie;

    use super::*;

    fn shop(cookie: IssuedCookie) -> Shop {
        Shop::new(Sticky::by_issued(cookie), HALF)
    }

    /// The response's cookie as a client sends it back.
    fn issued(answer: &Answer) -> Option<String> {
        let cookie = answer.headers.get(header::SET_COOKIE)?.to_str().unwrap();
        Some(cookie.split(';').next().unwrap().to_owned())
    }

    #[tokio::test]
    async fn a_caller_without_a_cookie_gets_one_that_keeps_the_channel() {
        for cookie in [IssuedCookie::new("id"), IssuedCookie::new("id").signed(&long_secret())] {
            let shop = shop(cookie);
            for _ in 0..20 {
                let first = shop.call(get("/", &[])).await;
                let channel = first.assignment.as_ref().unwrap().channel();
                assert_eq!(first.assignment.as_ref().unwrap().reason(), AssignmentReason::Sticky);
                assert_eq!(first.headers[header::CACHE_CONTROL], "private");
                let sent = issued(&first).unwrap();
                let again = shop.call(get("/", &[(header::COOKIE, &sent)])).await;
                assert_eq!(again.assignment.as_ref().unwrap().channel(), channel);
                assert_eq!(issued(&again), None, "it is issued once");
                assert!(!again.headers.contains_key(header::CACHE_CONTROL));
            }
        }
    }

    #[tokio::test]
    async fn the_cookie_says_what_was_asked() {
        let plain = shop(IssuedCookie::new("id")).call(get("/", &[])).await;
        let plain = plain.headers[header::SET_COOKIE].to_str().unwrap().to_owned();
        assert!(plain.starts_with("id="), "{plain}");
        for part in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=2592000"] {
            assert!(plain.contains(part), "{part} in {plain}");
        }
        assert!(!plain.contains("Secure"), "{plain}");
        let cookie = IssuedCookie::new("id").same_site_none().max_age(Duration::from_secs(60));
        let asked = shop(cookie).call(get("/", &[])).await;
        let asked = asked.headers[header::SET_COOKIE].to_str().unwrap().to_owned();
        for part in ["Secure", "SameSite=None", "Max-Age=60"] {
            assert!(asked.contains(part), "{part} in {asked}");
        }
    }

    #[tokio::test]
    async fn a_cookie_that_we_did_not_sign_is_replaced() {
        let shop = shop(IssuedCookie::new("id").signed(&long_secret()));
        let sent = issued(&shop.call(get("/", &[])).await).unwrap();
        let mut forged = sent.clone().into_bytes();
        let last = forged.last_mut().unwrap();
        *last = if *last == b'0' { b'1' } else { b'0' };
        let forged = String::from_utf8(forged).unwrap();
        for (cookie, is_replaced) in
            [(&*sent, false), (&*forged, true), ("id=mine", true), ("id=", true)]
        {
            let answer = shop.call(get("/", &[(header::COOKIE, cookie)])).await;
            assert_eq!(issued(&answer).is_some(), is_replaced, "{cookie}");
        }
    }

    #[test]
    #[should_panic(expected = "the name of a cookie is letters")]
    fn a_name_that_no_cookie_can_have_is_refused() {
        let _ = IssuedCookie::new("my id");
    }

    #[tokio::test]
    async fn a_name_that_browsers_take_over_https_only_makes_a_secure_cookie() {
        for name in ["__Host-id", "__secure-id"] {
            let answer = shop(IssuedCookie::new(name)).call(get("/", &[])).await;
            let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
            assert!(cookie.contains("; Secure") && cookie.contains("Path=/"), "{cookie}");
        }
    }

    #[test]
    #[should_panic(expected = "the shortest life is a second")]
    fn a_life_that_deletes_the_cookie_is_refused() {
        let _ = IssuedCookie::new("id").max_age(Duration::from_millis(999));
    }

    #[test]
    #[should_panic(expected = "the longest life is a year")]
    fn a_life_that_browsers_do_not_grant_is_refused() {
        let _ = IssuedCookie::new("id").max_age(Duration::from_secs(400 * 24 * 60 * 60));
    }
}

// --- rules

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
    let shop = Shop::new(policy, HALF);
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
        assert_eq!(shop.assign(request).await, expected, "{uri}");
    }
    assert_eq!(shop.assign(get("/", &[])).await.1, AssignmentReason::Random);
    let counts = shop.handle.counts().total();
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
    let shop = Shop::new(policy, Weight::from_ppm(1));
    let mut pilot = get("/", &[]);
    pilot.extensions_mut().insert(Pilot);
    assert_eq!(shop.assign(pilot).await, (Channel::Canary, AssignmentReason::Rule));
    assert_eq!(shop.assign(get("/", &[])).await.1, AssignmentReason::Random);
}

// --- what weights mean for each

#[tokio::test]
async fn each_policy_does_at_each_weight_what_the_table_says() {
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
    let shop = Shop::new(policy, Weight::ZERO);
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
            0 => shop.handle.set_weight(Weight::ZERO).unwrap(),
            1 => shop.handle.set_weight(Weight::from_ppm(1)).unwrap(),
            2 => shop.handle.promote().unwrap(),
            _ => shop.handle.halt("enough"),
        }
        for (what, channels) in table {
            let request = get("/", &[(DO, what)]);
            assert_eq!(shop.assign(request).await.0, channels[step], "{what} at step {step}");
        }
    }
    shop.handle.lift_halt();
    let forced = get("/", &[(DO, "forced")]);
    assert_eq!(shop.assign(forced).await.0, Canary, "after the halt is released");
}

// --- forced

#[tokio::test]
async fn only_who_knows_the_secret_is_forced() {
    let policy = Forced::by_header(FORCE, secret())
        .or_secret(Secret::try_new("the-next-secret-1234").unwrap())
        .or(Forced::by_cookie("canary-force", secret()));
    let shop = Shop::new(policy, Weight::ZERO);
    for value in [&*format!("canary:{SECRET}"), "canary:the-next-secret-1234"] {
        let answer = shop.assign(get("/", &[(FORCE, value)])).await;
        assert_eq!(answer, (Channel::Canary, AssignmentReason::Forced), "{value}");
    }
    let cookie = format!("a=b; canary-force=canary:{SECRET}");
    let answer = shop.call(get("/", &[(header::COOKIE, &cookie)])).await;
    assert_eq!(answer.assignment.unwrap().channel(), Channel::Canary);
    assert_eq!(answer.headers[header::COOKIE], "a=b", "handlers do not see the secret");
    for value in [
        "canary",
        "canary:",
        "canary:wrong-wrong-wrong-wr",
        &format!("canary:{SECRET}x"),
        &format!("canary:{}", &SECRET[1..]),
        &format!("Canary:{SECRET}"),
        SECRET,
        "",
    ] {
        let answer = shop.call(get("/", &[(FORCE, value)])).await;
        assert_eq!(answer.assignment.unwrap().reason(), AssignmentReason::Random, "{value}");
        assert!(!answer.headers.contains_key(FORCE), "handlers do not see attempts either");
    }
    let counts = shop.handle.counts().total();
    assert_eq!(counts.evidence.canary.picked, 0, "forced calls are no evidence");
    assert_eq!(counts.excluded.canary.reasons[AssignmentReason::Forced], 3);
}

#[tokio::test]
async fn a_check_of_the_callers_own_can_admit_testers() {
    #[derive(Clone)]
    struct Employee;
    let policy =
        Forced::by_header_if(FORCE, |request| request.extensions().get::<Employee>().is_some());
    let shop = Shop::new(policy, Weight::FULL);
    assert_eq!(shop.assign(get("/", &[(FORCE, "stable")])).await.1, AssignmentReason::Random);
    let mut employee = get("/", &[(FORCE, "stable")]);
    employee.extensions_mut().insert(Employee);
    assert_eq!(shop.assign(employee).await, (Channel::Stable, AssignmentReason::Forced));
}

#[tokio::test]
async fn bypassed_paths_do_not_see_the_secret_either() {
    let shop = Shop::new(Forced::by_header(FORCE, secret()), Weight::ZERO);
    let answer = shop.call(get("/healthz", &[(FORCE, &format!("canary:{SECRET}"))])).await;
    assert!(answer.assignment.is_none());
    assert!(!answer.headers.contains_key(FORCE));
}

#[tokio::test]
async fn a_forced_call_that_fails_is_no_news_to_the_hook() {
    let failing = Echo::new(service_fn(|_| async {
        Ok(Response::builder().status(500).body(String::new()).unwrap())
    }));
    let options = CanaryOptions::new().select(Forced::by_header(FORCE, secret()));
    let layer = CanaryLayer::with_options("shop", failing, options);
    layer.handle().on_canary_failure(|canary, _| canary.halt("it fails"));
    let forced = get("/", &[(FORCE, &format!("canary:{SECRET}"))]);
    let response = layer.layer(echo()).oneshot(forced).await.unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(layer.handle().mode(), tower_canary::SplitMode::Splitting);
    assert_eq!(layer.handle().counts().total().excluded.canary.failure, 1);
}

// --- propagated

#[tokio::test]
async fn the_baggage_of_trusted_callers_decides_and_nobody_elses() {
    #[derive(Clone)]
    struct Trusted;
    let baggage = HeaderName::from_static("baggage");
    let policy =
        Propagated::from_callers(|request| request.extensions().get::<Trusted>().is_some());
    let shop = Shop::new(policy, Weight::from_ppm(1));
    let request = || get("/", &[(baggage.clone(), "a=b,canary.shop=canary")]);
    let outsider = shop.call(request()).await;
    assert_eq!(outsider.assignment.unwrap().reason(), AssignmentReason::Random);
    assert_eq!(outsider.headers[&baggage], "a=b");
    let mut insider = request();
    insider.extensions_mut().insert(Trusted);
    let answer = shop.call(insider).await;
    let assignment = answer.assignment.unwrap();
    assert_eq!(
        (assignment.channel(), assignment.reason()),
        (Channel::Canary, AssignmentReason::Propagated)
    );
    assert_eq!(answer.headers[&baggage], "a=b");

    let mut outgoing = HeaderMap::new();
    outgoing.insert(&baggage, HeaderValue::from_static("a=b"));
    assignment.propagate(&mut outgoing);
    let values: Vec<_> = outgoing.get_all(&baggage).iter().collect();
    assert_eq!(values, ["canary.shop=canary", "a=b"]);
}

#[test]
fn a_bucket_is_the_hashs_upper_part() {
    assert_eq!(
        StickyKey::new("a", "b").bucket(),
        Bucket::from_hash(StickyKey::new("a", "b").hash())
    );
}
