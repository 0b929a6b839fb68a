//! Sticky assignment by a key.

use std::process::{Command, Stdio};

use http::{HeaderValue, header};
use proptest::prelude::*;
use tower::{Layer, ServiceExt};
use tower_canary::{
    AssignmentReason, Bucket, CanaryLayer, CanaryOptions, Channel, Weight,
    control::ControlExt as _,
    select::{Sticky, StickyHash, StickyKey},
};

use super::{PolicyFixture, USER, get, of_user, one_key_of_each};
use crate::support::{HALF, Readiness, ScriptedService};

#[tokio::test]
async fn a_key_is_assigned_by_the_published_formula() {
    let fixture = PolicyFixture::new(Sticky::by_header(USER), HALF);
    assert_eq!(fixture.handle.salt(), "shop:v2");
    for number in 0..100 {
        let user = format!("user-{number}");
        let is_canary = HALF.admits(StickyKey::new("shop:v2", &user).bucket());
        let expected = if is_canary { Channel::Canary } else { Channel::Stable };
        for _ in 0..2 {
            assert_eq!(fixture.assign(of_user(&user)).await, (expected, AssignmentReason::Sticky));
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
fn the_published_vectors_hold_and_are_in_the_docs() {
    let docs = include_str!("../../../docs/sticky-in-other-languages.md");
    for (salt, key, hash, bucket) in VECTORS {
        let sticky = StickyKey::new(salt, key);
        assert_eq!(sticky.hash(), hash, "{salt} {key}");
        assert_eq!(sticky.bucket().index(), bucket, "{salt} {key}");
        assert!(docs.contains(&format!("`{hash:016x}` | {bucket} |")), "{salt} {key}");
    }
}

/// The Python script implements the hash from its specification.
#[test]
fn a_second_implementation_in_python_assigns_the_same_buckets() {
    let keys: Vec<String> =
        (0..2_000).map(|number| format!("{number}-{}", "k".repeat(number % 70))).collect();
    let mut python = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/middleware/select/sticky.py"))
        .arg("shop:v2")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 must be installed");
    std::io::Write::write_all(python.stdin.as_mut().unwrap(), keys.join("\n").as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    let buckets = String::from_utf8(output.stdout).unwrap();
    let expected: Vec<String> = keys
        .iter()
        .map(|key| StickyKey::new("shop:v2", key).bucket().index().to_string())
        .collect();
    assert_eq!(buckets.lines().collect::<Vec<_>>(), expected);
}

/// Ten million keys in a thousand bins. The statistic is chi-square distributed with 999 degrees of
/// freedom, and the middle 99.99% of that distribution lies between 834 and 1,183.
#[test]
fn keys_are_uniform_over_the_buckets() {
    let mut bins = vec![0_u64; 1_000];
    for number in 0_u32..10_000_000 {
        let bucket = StickyKey::new("shop:v2", number.to_string()).bucket();
        bins[bucket.index() as usize / 1_000] += 1;
    }
    let expected = 10_000.0;
    #[expect(clippy::cast_precision_loss, reason = "about 10^4")]
    let chi_square: f64 =
        bins.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum();
    assert!((834.0..1_183.0).contains(&chi_square), "{chi_square}");
}

/// The expected share on two canaries of 10% each is 1%. With 1,000,000 keys, five standard
/// deviations are 0.05%.
#[test]
fn assignments_of_two_canaries_are_independent() {
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
}

#[tokio::test]
async fn the_first_source_with_a_key_decides() {
    let fixture = PolicyFixture::new(Sticky::by_header(USER).or_cookie("session"), HALF);
    let [on_stable, on_canary] = one_key_of_each("shop:v2");
    let both = get("/", &[(USER, &on_canary), (header::COOKIE, &format!("session={on_stable}"))]);
    assert_eq!(fixture.assign(both).await, (Channel::Canary, AssignmentReason::Sticky));
    let cookie = get("/", &[(header::COOKIE, &format!("a=b; session={on_stable}"))]);
    assert_eq!(fixture.assign(cookie).await, (Channel::Stable, AssignmentReason::Sticky));
    assert_eq!(fixture.assign(get("/", &[])).await.1, AssignmentReason::Random);
}

/// The visitor's cookie maps to one channel and the user's id to the other.
#[tokio::test]
async fn the_channel_changes_only_at_login() {
    let fixture = PolicyFixture::new(Sticky::by_header(USER).or_cookie("visitor"), HALF);
    let [on_stable, on_canary] = one_key_of_each("shop:v2");
    let cookie = format!("visitor={on_canary}");
    for _ in 0..3 {
        let visitor = get("/", &[(header::COOKIE, &cookie)]);
        assert_eq!(fixture.assign(visitor).await.0, Channel::Canary);
    }
    for _ in 0..3 {
        let user = get("/", &[(header::COOKIE, &cookie), (USER, &on_stable)]);
        assert_eq!(fixture.assign(user).await.0, Channel::Stable);
    }
}

#[tokio::test]
async fn an_invalid_key_counts_as_missing() {
    let fixture = PolicyFixture::new(Sticky::by_header(USER), HALF);
    let long = "k".repeat(StickyKey::MAX_LENGTH + 1);
    for request in
        [of_user(""), of_user(&long), get("/", &[(USER, "one"), (USER, "two")]), get("/", &[])]
    {
        assert_eq!(fixture.assign(request).await.1, AssignmentReason::Random);
    }
    assert_eq!(fixture.assign(of_user(&long[1..])).await.1, AssignmentReason::Sticky);
    let beside = [(USER, "one"), (header::VIA, "one"), (header::VIA, "two")];
    assert_eq!(fixture.assign(get("/", &beside)).await.1, AssignmentReason::Sticky);
    assert_eq!(fixture.assign(of_user("Zo\u{eb}")).await.1, AssignmentReason::Sticky);
    let mut latin_1 = get("/", &[]);
    latin_1.headers_mut().insert(USER, HeaderValue::from_bytes(b"Zo\xeb").unwrap());
    assert_eq!(fixture.assign(latin_1).await.1, AssignmentReason::Sticky);
}

#[tokio::test]
async fn callers_without_a_key_can_stay_on_stable() {
    let fixture = PolicyFixture::new(Sticky::by_header(USER).or_stable(), Weight::FULL);
    assert_eq!(fixture.assign(get("/", &[])).await, (Channel::Stable, AssignmentReason::Rule));
    assert_eq!(fixture.assign(of_user("u")).await, (Channel::Canary, AssignmentReason::Sticky));
}

#[tokio::test]
async fn a_new_salt_assigns_the_keys_again() {
    let fixture = PolicyFixture::new(Sticky::by_header(USER), HALF);
    let [on_stable, _] = one_key_of_each("shop:v2");
    assert_eq!(fixture.assign(of_user(&on_stable)).await.0, Channel::Stable);
    let salt = (0..).map(|retry| format!("shop:v2:{retry}"));
    let salt = salt
        .filter(|salt| HALF.admits(StickyKey::new(salt, &on_stable).bucket()))
        .find(|salt| salt != "shop:v2")
        .unwrap();
    fixture.handle.set_salt(&salt);
    assert_eq!(fixture.handle.salt(), salt);
    assert_eq!(fixture.handle.weight(), HALF);
    assert_eq!(fixture.assign(of_user(&on_stable)).await.0, Channel::Canary);
}

#[test]
fn the_keyed_hash_is_siphash_2_4() {
    // The reference vector of SipHash: the bytes 0 to 14, hashed with the key of bytes 0 to 15.
    let secret = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
    let key: Vec<u8> = (1..15).collect();
    assert_eq!(StickyKey::with_secret(secret, "", key).hash(), 0xa129_ca61_49be_45e5);
}

#[tokio::test]
async fn callers_cannot_compute_the_channel_of_a_key_if_the_hash_has_a_secret() {
    let secret = "6b1d0c5a9e784b3f8d2e71c4a5b60938".parse().unwrap();
    let options = CanaryOptions::new()
        .canary_release("v2")
        .select(Sticky::by_header(USER))
        .sticky_hash(StickyHash::with_secret(secret));
    let fixture = PolicyFixture::with_options(options, HALF);
    let mut as_computed = 0;
    for number in 0..200 {
        let user = format!("user-{number}");
        let channel = fixture.assign(of_user(&user)).await.0;
        let key = StickyKey::with_secret(secret, "shop:v2", &user);
        assert_eq!(fixture.handle.sticky_key(&user), key);
        assert_eq!(HALF.admits(key.bucket()), channel == Channel::Canary);
        let published = HALF.admits(StickyKey::new(&fixture.handle.salt(), &user).bucket());
        as_computed += u32::from(published == (channel == Channel::Canary));
    }
    assert!((60..140).contains(&as_computed), "{as_computed} of 200");
}

#[tokio::test]
async fn a_controller_sets_the_secret_unless_the_options_choose_the_hash() {
    let secret = "6b1d0c5a9e784b3f8d2e71c4a5b60938".parse().unwrap();
    let other = "00000000000000000000000000000001".parse().unwrap();
    let key_with = |hash: StickyHash| {
        let options = CanaryOptions::new().select(Sticky::by_header(USER)).sticky_hash(hash);
        let handle = PolicyFixture::with_options(options, HALF).handle;
        handle.set_sticky_secret(secret);
        handle.set_salt("shop:1");
        handle.sticky_key("ada")
    };
    let expected = StickyKey::with_secret(secret, "shop:1", "ada");
    assert_eq!(key_with(StickyHash::from_controller()), expected);
    let expected = StickyKey::with_secret(other, "shop:1", "ada");
    assert_eq!(key_with(StickyHash::with_secret(other)), expected);
    assert_eq!(key_with(StickyHash::published()), StickyKey::new("shop:1", "ada"));
}

#[tokio::test]
async fn a_sticky_call_that_spills_is_excluded_at_stable() {
    let never_ready = ScriptedService::new().readiness(Readiness::Pending);
    let options = CanaryOptions::new().select(Sticky::by_header(USER));
    let layer = CanaryLayer::with_options("shop", never_ready, options);
    let handle = layer.handle();
    handle.set_weight(HALF).unwrap();
    let [_, on_canary] = one_key_of_each("shop:");
    let stable = ScriptedService::new();
    for _ in 0..3 {
        layer.layer(stable.clone()).oneshot(of_user(&on_canary)).await.unwrap();
    }
    let counts = handle.counts().total();
    assert_eq!(counts.excluded.stable.reasons[AssignmentReason::Spilled], 3);
    assert_eq!(counts.evidence.canary.spilled, 3);
}

#[test]
fn the_bucket_is_computed_from_the_upper_bits_of_the_hash() {
    assert_eq!(
        StickyKey::new("a", "b").bucket(),
        Bucket::from_hash(StickyKey::new("a", "b").hash())
    );
}
