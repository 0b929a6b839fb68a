//! Users' feedback through the provided route, inside and outside of the layer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{Router, body::Body, routing::get};
use canary_tests::{Answer, Client, Server};
use http::{HeaderName, Request, StatusCode, header};
use serde_json::{Value, json};
use tower_canary::{
    Assignment, CanaryHandle, CanaryLayer, CanaryOptions, Channel, Rating, Weight,
    axum::{RouterExt as _, feedback, feedback_inside},
    control::ControlExt,
    counts::RatingCounts,
    feedback::FeedbackOptions,
    select::{Forced, Secret, Select as _, Sticky},
};

/// A replica of a shop whose pages contain receipts. `/feedback` is outside of the layer, and
/// `/inside` behind it.
struct Shop {
    client: Client,
    canary: CanaryHandle,
    _server: Server,
}

impl Shop {
    fn new(feedback: FeedbackOptions) -> Self {
        Self::named("shop", feedback)
    }

    fn signed() -> Self {
        Self::new(FeedbackOptions::new().signed(&secret()))
    }

    fn named(name: &str, options: FeedbackOptions) -> Self {
        let page = async |assignment: Assignment| assignment.receipt().to_string();
        let version =
            || Router::new().route("/page", get(page)).route("/inside", feedback_inside());
        let testers = Forced::by_header(FORCE, secret());
        let options = CanaryOptions::new()
            .canary_release("v2")
            .select(testers.or(Sticky::by_header(USER)))
            .feedback(options);
        let layer = CanaryLayer::with_options(name, version(), options);
        let canary = layer.handle();
        let app = version().layer(layer).route("/feedback", feedback(canary.clone()));
        let server = Server::of_router(app);
        let client = Client::http1(&server);
        Self { client, canary, _server: server }
    }

    /// Requests the page for a user, and returns the serving channel and the receipt.
    async fn page(&self, user: &str) -> (Channel, String) {
        let request = Request::get("/page").header(USER, user).body(Body::empty()).unwrap();
        let answer = self.client.ask(request).await;
        (answer.channel().unwrap(), answer.body)
    }

    async fn post(&self, path: &str, user: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post(path)
            .header(USER, user)
            .header(header::CONTENT_TYPE, "application/json; charset=utf-8");
        self.client.ask(request.body(body.into()).unwrap()).await
    }

    async fn rate_bad(&self, receipt: &str) -> Answer {
        let body = json!({ "rating": "bad", "receipt": receipt }).to_string();
        self.post("/feedback", "guest", body).await
    }

    fn bad(&self, channel: Channel, weight: Weight) -> u64 {
        let ratings = self.canary.counts().ratings.feedback;
        ratings.evidence().get(&weight).map_or(0, |rated| rated[channel].rated(Rating::Bad))
    }

    fn ratings(&self) -> u64 {
        let ratings = self.canary.counts().ratings.feedback;
        Channel::ALL.into_iter().map(|channel| ratings.total(channel).total).sum()
    }

    /// Finds a user whom stable serves at `low` and the canary serves at `high`.
    async fn user_that_moves(&self, low: Weight, high: Weight) -> String {
        for user in (0..1_000).map(|number| format!("user-{number}")) {
            let mut served = Vec::new();
            for weight in [low, high] {
                self.canary.set_weight(weight).unwrap();
                served.push(self.page(&user).await.0);
            }
            if served == [Channel::Stable, Channel::Canary] {
                return user;
            }
        }
        panic!("no user moved from stable to the canary");
    }
}

#[track_caller]
fn assert_problem(answer: &Answer, status: StatusCode) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/problem+json");
    let problem: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["status"], status.as_u16());
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
}

fn secret() -> Secret {
    Secret::try_new("6f1d0c5a9e784b3f8d2e71c4a5b60938").unwrap()
}

const USER: HeaderName = HeaderName::from_static("x-user");
const FORCE: HeaderName = HeaderName::from_static("x-force");
const LOW: Weight = Weight::from_percent(10);
const HIGH: Weight = Weight::from_percent(90);

#[tokio::test]
async fn a_rating_after_a_weight_increase_counts_for_the_channel_that_served_the_page() {
    for path in ["/feedback", "/inside"] {
        let shop = Shop::signed();
        let user = shop.user_that_moves(LOW, HIGH).await;
        shop.canary.set_weight(LOW).unwrap();
        let (_, receipt) = shop.page(&user).await;
        shop.canary.set_weight(HIGH).unwrap();

        // Behind the layer, the canary serves the rating itself.
        let body = json!({ "rating": "bad", "receipt": receipt }).to_string();
        let answer = shop.post(path, &user, body).await;
        let served_by = (path == "/inside").then_some(Channel::Canary);
        assert_eq!((answer.status, answer.channel()), (StatusCode::NO_CONTENT, served_by));
        assert_eq!(answer.body, "");
        assert_eq!(shop.bad(Channel::Stable, LOW), 1, "{path}");
        assert_eq!(shop.ratings(), 1, "{path}");
    }
}

#[tokio::test]
async fn a_receipt_is_valid_at_another_replica() {
    let (one, other) = (Shop::signed(), Shop::signed());
    one.canary.set_weight(Weight::FULL).unwrap();
    let (channel, receipt) = one.page("ann").await;
    assert_eq!(channel, Channel::Canary);
    assert_eq!(other.rate_bad(&receipt).await.status, StatusCode::NO_CONTENT);
    assert_eq!((one.ratings(), other.bad(Channel::Canary, Weight::FULL)), (0, 1));
}

#[tokio::test]
async fn forged_replayed_truncated_and_foreign_receipts_are_refused_with_different_statuses() {
    let shop = Shop::signed();
    shop.canary.set_weight(LOW).unwrap();
    let (_, receipt) = shop.page("ann").await;
    let (_, unsigned) = Shop::new(FeedbackOptions::new().unsigned()).page("ann").await;
    let search = Shop::named("search", FeedbackOptions::new().signed(&secret()));
    let (_, foreign) = search.page("ann").await;
    let mut forged = receipt.clone().into_bytes();
    forged[40] = if forged[40] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();

    for (text, status) in [
        (&forged[..], StatusCode::FORBIDDEN),
        (&unsigned[..], StatusCode::FORBIDDEN),
        (&format!("{receipt}A")[..], StatusCode::BAD_REQUEST),
        ("", StatusCode::BAD_REQUEST),
        (&foreign[..], StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        assert_problem(&shop.rate_bad(text).await, status);
    }
    for length in 0..receipt.len() {
        // A truncated signed receipt can look like an unsigned one.
        let status = shop.rate_bad(&receipt[..length]).await.status;
        let looks_unsigned = length == 38 && status == StatusCode::FORBIDDEN;
        assert!(looks_unsigned || status == StatusCode::BAD_REQUEST, "{length}: {status}");
    }
    assert_eq!(shop.ratings(), 0);

    assert_eq!(shop.rate_bad(&receipt).await.status, StatusCode::NO_CONTENT);
    assert_problem(&shop.rate_bad(&receipt).await, StatusCode::CONFLICT);
    assert_eq!(shop.ratings(), 1);

    let (_, earlier) = shop.page("bob").await;
    shop.canary.set_salt("shop:v2, second attempt");
    assert_problem(&shop.rate_bad(&earlier).await, StatusCode::GONE);
}

#[tokio::test]
async fn a_receipt_expires() {
    let elapsed = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&elapsed);
    let now = SystemTime::now();
    let options = FeedbackOptions::new().max_age(Duration::from_secs(60));
    let shop =
        Shop::new(options.clock(move || now + Duration::from_secs(clock.load(Ordering::Relaxed))));
    let receipts = [shop.page("ann").await.1, shop.page("ann").await.1];
    elapsed.store(60, Ordering::Relaxed);
    assert_eq!(shop.rate_bad(&receipts[0]).await.status, StatusCode::NO_CONTENT);
    elapsed.store(61, Ordering::Relaxed);
    assert_problem(&shop.rate_bad(&receipts[1]).await, StatusCode::GONE);
}

#[tokio::test]
async fn without_a_receipt_only_a_sticky_call_behind_the_layer_is_rated() {
    const GOOD: &str = r#"{"rating": "good"}"#;
    let shop = Shop::new(FeedbackOptions::new().unsigned());
    shop.canary.set_weight(LOW).unwrap();
    let answer = shop.post("/inside", "ann", GOOD).await;
    let channel = answer.channel().unwrap();
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let rated = shop.canary.counts().ratings.feedback.evidence()[&LOW][channel];
    assert_eq!(rated, RatingCounts { total: 1, adverse: 0 });

    assert_problem(&shop.post("/feedback", "ann", GOOD).await, StatusCode::UNPROCESSABLE_ENTITY);
    let json = Request::post("/inside").header(header::CONTENT_TYPE, "application/json");
    let without_key = shop.client.ask(json.body(GOOD.into()).unwrap()).await;
    assert_problem(&without_key, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(shop.ratings(), 1);
    // Any caller could repeat such a rating, so it does not count if receipts are signed.
    for signed in [Shop::signed(), Shop::new(FeedbackOptions::new())] {
        assert_problem(
            &signed.post("/inside", "ann", GOOD).await,
            StatusCode::UNPROCESSABLE_ENTITY,
        );
        assert_eq!(signed.ratings(), 0);
    }
}

#[tokio::test]
async fn ratings_by_testers_are_excluded() {
    let shop = Shop::signed();
    // At weight zero, no receipt of the canary counts as evidence.
    shop.canary.set_weight(LOW).unwrap();
    let force = format!("canary:{}", "6f1d0c5a9e784b3f8d2e71c4a5b60938");
    let page = Request::get("/page").header(FORCE, force).body(Body::empty()).unwrap();
    let receipt = shop.client.ask(page).await.body;
    assert_eq!(shop.rate_bad(&receipt).await.status, StatusCode::NO_CONTENT);
    let ratings = shop.canary.counts().ratings.feedback;
    assert_eq!((ratings.excluded().canary.adverse, ratings.evidence().len()), (1, 0));
}

#[tokio::test]
async fn an_invalid_body_is_refused_and_not_echoed() {
    let shop = Shop::new(FeedbackOptions::new());
    for body in [
        "",
        "<script>",
        r#""<script>""#,
        r#"{"rating": "<script>"}"#,
        r#"{"rating": "good", "<script>": 1}"#,
        r#"{"rating": "good", "rating": "bad"}"#,
        r#"{"rating": "good", "receipt": 7}"#,
        r#"{"rating": "good", "receipt": "<script>"}"#,
    ] {
        let answer = shop.post("/inside", "ann", body).await;
        assert_problem(&answer, StatusCode::BAD_REQUEST);
        assert!(!answer.body.contains("script"), "{}", answer.body);
    }
    let long = format!(r#"{{"rating": "good"{}}}"#, " ".repeat(1_024));
    assert_problem(&shop.post("/inside", "ann", long).await, StatusCode::PAYLOAD_TOO_LARGE);
    let form = Request::post("/inside")
        .header(USER, "ann")
        .header(header::CONTENT_TYPE, "text/plain")
        .body(Body::from(r#"{"rating": "good"}"#));
    assert_problem(&shop.client.ask(form.unwrap()).await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let answer = shop.client.get("/feedback").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(shop.ratings(), 0);
}

#[tokio::test]
async fn json_may_begin_with_a_byte_order_mark_and_escape_any_character() {
    let shop = Shop::signed();
    let (_, receipt) = shop.page("alice").await;
    let escaped: String =
        receipt.chars().map(|char| format!("\\u{:04x}", u32::from(char))).collect();
    let body = format!("\u{feff}{{\"rating\": \"bad\", \"receipt\": \"{escaped}\"}}");
    let answer = shop.post("/feedback", "guest", body).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.body);
    assert_eq!(shop.ratings(), 1);
}

#[tokio::test]
async fn an_assignment_of_another_canary_is_not_rated() {
    let inner = CanaryLayer::new("inner", ()).handle();
    let options = || CanaryOptions::new().select(Sticky::by_header(USER));
    let v1 = Router::new().route("/feedback", feedback(inner.clone()));
    let outer = CanaryLayer::with_options("outer", Router::new(), options());
    let outer_handle = outer.handle();
    let server = Server::of_router(v1.canary(outer));
    let request = Request::post("/feedback")
        .header(USER, "ann")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(r#"{"rating": "bad"}"#));
    let answer = Client::http2(&server).ask(request.unwrap()).await;
    assert_problem(&answer, StatusCode::UNPROCESSABLE_ENTITY);
    for canary in [inner, outer_handle] {
        assert_eq!(canary.counts().ratings, Default::default());
    }
}

#[tokio::test]
async fn each_of_many_receipts_is_counted_once() {
    // This clock advances by a second per page.
    let pages = AtomicU64::new(0);
    let clock = move || {
        let second = pages.fetch_add(1, Ordering::Relaxed);
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second)
    };
    let options = FeedbackOptions::new().remember(50).max_age(Duration::from_secs(1024));
    let shop = Shop::new(options.clock(clock));
    let mut receipts = Vec::new();
    for _ in 0..500 {
        let (_, receipt) = shop.page("ann").await;
        assert_eq!(shop.rate_bad(&receipt).await.status, StatusCode::NO_CONTENT);
        receipts.push(receipt);
    }
    for receipt in receipts {
        let status = shop.rate_bad(&receipt).await.status;
        assert!(matches!(status, StatusCode::CONFLICT | StatusCode::GONE), "{status}");
    }
    assert_eq!(shop.ratings(), 500);
}

#[tokio::test]
async fn by_default_only_the_issuing_process_accepts_a_receipt() {
    let (one, other) = (Shop::new(FeedbackOptions::new()), Shop::new(FeedbackOptions::new()));
    let (_, receipt) = one.page("ann").await;
    assert_problem(&other.rate_bad(&receipt).await, StatusCode::FORBIDDEN);
    assert_eq!(one.rate_bad(&receipt).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_flood_of_ratings_is_refused_rather_than_an_earlier_receipt() {
    let elapsed = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&elapsed);
    let now = SystemTime::now();
    let options = FeedbackOptions::new()
        .remember(100)
        .clock(move || now + Duration::from_secs(clock.load(Ordering::Relaxed)));
    let shop = Shop::new(options);
    let (_, honest) = shop.page("ann").await;
    elapsed.store(3600, Ordering::Relaxed);
    let mut statuses = Vec::new();
    for _ in 0..150 {
        let (_, receipt) = shop.page("mallory").await;
        statuses.push(shop.rate_bad(&receipt).await.status);
    }
    assert_eq!(statuses[..100], [StatusCode::NO_CONTENT; 100]);
    assert_eq!(statuses[100..], [StatusCode::GONE; 50]);
    elapsed.store(7200, Ordering::Relaxed);
    let (_, later) = shop.page("bob").await;
    for receipt in [honest, later] {
        assert_eq!(shop.rate_bad(&receipt).await.status, StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn a_slow_body_is_refused() {
    let options = FeedbackOptions::new().body_time_limit(Duration::from_millis(50));
    let shop = Shop::new(options);
    for path in ["/feedback", "/inside"] {
        let body =
            Body::from_stream(futures_util::stream::pending::<Result<&str, std::io::Error>>());
        assert_problem(&shop.post(path, "ann", body).await, StatusCode::REQUEST_TIMEOUT);
    }
}
