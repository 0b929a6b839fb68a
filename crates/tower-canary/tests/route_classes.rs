//! Classes of routes that are counted by themselves, and keys of which notes are taken.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, convert::Infallible};

use http::{HeaderName, Method, Request, Response, StatusCode};
use proptest::prelude::*;
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_canary::{
    CanaryHandle, CanaryLayer, CanaryOptions, Channel, Counts, RouteClasses, Weight,
    control::{ControlExt, KeyEvent, KeyEventKind, KeySample},
    select::{Condition, Select, Sticky, StickyKey},
};

const USER: HeaderName = HeaderName::from_static("x-user-id");
const FAIL: HeaderName = HeaderName::from_static("x-fail");
const HALF: Weight = Weight::from_percent(50);

type Service = BoxCloneSyncService<Request<()>, Response<String>, Infallible>;

/// Fails the calls that say so.
fn service() -> Service {
    Service::new(service_fn(|request: Request<()>| async move {
        let mut response = Response::new("answer".to_owned());
        if request.headers().contains_key(FAIL) {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        Ok(response)
    }))
}

/// Is never ready.
#[derive(Clone)]
struct Never;

impl tower::Service<Request<()>> for Never {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = std::future::Pending<Result<Response<String>, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Pending
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        std::future::pending()
    }
}

struct Shop {
    handle: CanaryHandle,
    layer: CanaryLayer<Service>,
}

impl Shop {
    fn new(policy: impl Select, weight: Weight) -> Self {
        Self::with_canary(service(), policy, weight)
    }

    fn with_canary(canary: Service, policy: impl Select, weight: Weight) -> Self {
        let classes = RouteClasses::new()
            .class("checkout", Condition::path_prefix("/checkout"))
            .class("writes", Condition::method(Method::POST));
        let options = CanaryOptions::new().select(policy).route_classes(classes);
        let layer = CanaryLayer::with_options("shop", canary, options);
        let handle = layer.handle();
        handle.set_weight(weight).unwrap();
        Self { handle, layer }
    }

    async fn call(&self, request: Request<()>) {
        let response = self.layer.layer(service()).oneshot(request).await.unwrap();
        http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
    }

    fn total(&self) -> Counts {
        self.handle.counts().total()
    }
}

fn request(method: Method, path: &str) -> Request<()> {
    Request::builder().method(method).uri(path).body(()).unwrap()
}

fn of_user(user: &str, fails: bool) -> Request<()> {
    let request = Request::get("/").header(USER, user);
    if fails { request.header(FAIL, "1") } else { request }.body(()).unwrap()
}

fn at_weight() -> impl Select {
    Condition::any().at_weight()
}

fn channel_of(shop: &Shop, key: StickyKey) -> Channel {
    match shop.handle.weight().admits(key.bucket()) {
        true => Channel::Canary,
        false => Channel::Stable,
    }
}

#[tokio::test]
async fn the_first_class_that_is_met_counts_the_call() {
    let shop = Shop::new(at_weight(), Weight::FULL);
    shop.call(request(Method::POST, "/checkout/pay")).await;
    shop.call(request(Method::POST, "/cart")).await;
    shop.call(request(Method::GET, "/")).await;

    let counts = shop.total();
    for class in ["checkout", "writes"] {
        let canary = &counts.classes[class].canary;
        assert_eq!((canary.picked, canary.success, canary.end.total()), (1, 1, 1), "{class}");
        assert_eq!(canary.head.total(), 1);
    }
    assert_eq!(counts.evidence.canary.success, 3);
}

#[tokio::test]
async fn classes_keep_their_weight() {
    let shop = Shop::new(at_weight(), Weight::ZERO);
    shop.call(request(Method::GET, "/checkout")).await;
    shop.handle.set_weight(Weight::FULL).unwrap();
    shop.call(request(Method::GET, "/checkout")).await;

    let of_checkout = shop.handle.counts().of_class("checkout");
    let at = |weight: Weight| {
        let epochs = of_checkout.epochs.iter().filter(|epoch| epoch.weight == weight);
        epochs.map(|it| it.counts.evidence.canary.picked).sum::<u64>()
    };
    assert_eq!((at(Weight::ZERO), at(Weight::FULL)), (0, 1));
    assert_eq!(of_checkout.total().evidence.stable.picked, 1);
}

#[tokio::test]
async fn calls_that_are_no_evidence_are_in_no_class() {
    let shop = Shop::new(Condition::any().always(), HALF);
    shop.call(request(Method::GET, "/checkout")).await;
    assert!(shop.total().classes.is_empty());
    assert_eq!(shop.total().excluded.canary.success, 1);
}

#[tokio::test]
async fn a_call_that_spills_is_the_canarys_in_its_class_and_key() {
    let everybody = Weight::from_ppm(999_999);
    let canary = Service::new(Never);
    let shop = Shop::with_canary(canary, Sticky::by_header(USER), everybody);
    let keys = shop.handle.watch_keys(KeySample::ALL);
    let mut request = of_user("ada", false);
    *request.uri_mut() = "/checkout".parse().unwrap();
    shop.call(request).await;

    let counts = shop.total();
    assert_eq!(counts.classes["checkout"].canary.spilled, 1);
    assert_eq!(counts.classes["checkout"].stable.picked, 0);
    let events = keys.take().events;
    let told: Vec<_> = events.iter().map(|event| (event.kind, event.channel)).collect();
    let canary = Channel::Canary;
    assert_eq!(told, [(KeyEventKind::Picked, canary), (KeyEventKind::Failed, canary)]);
    assert!(events.iter().all(|event| event.class.as_ref().unwrap().as_str() == "checkout"));
}

#[tokio::test]
async fn keys_of_both_channels_are_noted_with_what_happened_to_them() {
    let shop = Shop::new(Sticky::by_header(USER), HALF);
    shop.call(of_user("before", true)).await;
    let keys = shop.handle.watch_keys(KeySample::ALL);
    shop.call(request(Method::GET, "/")).await;
    for (user, fails) in [("ada", false), ("bob", true), ("bob", true), ("eve", true)] {
        shop.call(of_user(user, fails)).await;
    }
    drop(shop.layer.layer(service()).oneshot(of_user("dora", false)).await);

    let of = |event: &KeyEvent| (event.key, event.channel, event.kind);
    let noted: Vec<_> = keys.take().events.iter().map(of).collect();
    let expected: BTreeSet<_> = [
        ("ada", vec![KeyEventKind::Picked]),
        ("bob", vec![KeyEventKind::Picked, KeyEventKind::Failed]),
        ("eve", vec![KeyEventKind::Picked, KeyEventKind::Failed]),
        ("dora", vec![KeyEventKind::Picked, KeyEventKind::Cancelled]),
    ]
    .into_iter()
    .flat_map(|(user, kinds)| {
        let key = StickyKey::new(&shop.handle.salt(), user);
        let channel = channel_of(&shop, key);
        kinds.into_iter().map(move |kind| (key.hash(), channel, kind))
    })
    .collect();
    assert_eq!(noted.len(), expected.len());
    assert_eq!(noted.into_iter().collect::<BTreeSet<_>>(), expected);
}

#[tokio::test]
async fn a_call_is_noted_by_the_watch_of_its_time_only() {
    let shop = Shop::new(Sticky::by_header(USER), HALF);
    let first = shop.handle.watch_keys(KeySample::ALL);
    let open = shop.layer.layer(service()).oneshot(of_user("ada", true)).await.unwrap();
    let second = shop.handle.watch_keys(KeySample::ALL);
    drop(open);
    assert!(second.take().events.is_empty());
    assert_eq!(first.take().events.len(), 2);

    shop.handle.set_weight(Weight::FULL).unwrap();
    shop.call(of_user("ada", false)).await;
    assert_eq!(second.take().events.len(), 1, "a watch outlasts a change of the weight");
    shop.handle.unwatch_keys();
    shop.call(of_user("ada", false)).await;
    assert!(second.take().events.is_empty());
}

proptest! {
    #[test]
    fn classes_are_a_part_of_the_whole_at_any_weight_and_over_any_change(
        calls in prop::collection::vec((0_u32..4, any::<bool>(), prop::option::of(0_u32..=100)), 1..60)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let shop = Shop::new(at_weight(), HALF);
            let mut earlier = shop.handle.counts();
            let mut sum = Counts::default();
            for (path, fails, weight) in calls {
                if let Some(percent) = weight {
                    shop.handle.set_weight(Weight::from_percent(percent)).unwrap();
                }
                let path = ["/", "/checkout", "/cart", "/checkout/pay"][path as usize];
                let mut call = request(if fails { Method::POST } else { Method::GET }, path);
                if fails {
                    call.headers_mut().insert(FAIL, "1".parse().unwrap());
                }
                shop.call(call).await;
                let now = shop.handle.counts();
                sum.merge(&now.since(&earlier).unwrap().total());
                earlier = now;
            }
            let total = shop.total();
            assert_eq!(sum, total);
            for channel in Channel::ALL {
                let whole = &total.evidence[channel];
                let of = |count: fn(&tower_canary::ChannelCounts) -> u64| {
                    total.classes.values().map(|class| count(&class[channel])).sum::<u64>()
                };
                assert!(of(|it| it.picked) <= whole.picked);
                // Whatever failed was a write.
                assert_eq!(of(|it| it.failure), whole.failure);
                assert!(of(|it| it.end.total()) <= whole.end.total());
                let ended = total.classes.values().all(|it| it[channel].in_flight() == 0);
                assert!(ended);
            }
        });
    }
}
