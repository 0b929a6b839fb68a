//! Route classes, whose calls are counted separately.

use http::{HeaderName, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use tower::{BoxError, Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_canary::{
    CanaryHandle, CanaryLayer, CanaryOptions, Channel, RouteClasses, Weight,
    counts::{ChannelCounts, Counts},
    select::{Condition, Select},
};

use crate::support::{HALF, ScriptedBody};

pub(crate) const USER: HeaderName = HeaderName::from_static("x-user-id");
const FAIL: HeaderName = HeaderName::from_static("x-fail");

pub(crate) type Service = BoxCloneSyncService<Request<()>, Response<ScriptedBody>, BoxError>;

/// Responds with status 500 to requests with the header `x-fail`.
pub(crate) fn service() -> Service {
    Service::new(service_fn(|request: Request<()>| async move {
        let mut response = Response::new(ScriptedBody::from("answer"));
        if request.headers().contains_key(FAIL) {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        Ok(response)
    }))
}

/// A canary with the route classes `checkout` and `writes`.
pub(crate) struct ClassFixture {
    pub(crate) handle: CanaryHandle,
    pub(crate) layer: CanaryLayer<Service>,
}

impl ClassFixture {
    pub(crate) fn new(policy: impl Select, weight: Weight) -> Self {
        Self::with_canary(service(), policy, weight)
    }

    pub(crate) fn with_canary(canary: Service, policy: impl Select, weight: Weight) -> Self {
        let classes = RouteClasses::new()
            .class("checkout", Condition::path_prefix("/checkout"))
            .class("writes", Condition::method(Method::POST));
        Self::build(canary, CanaryOptions::new().select(policy).route_classes(classes), weight)
    }

    pub(crate) fn with_options(options: CanaryOptions, weight: Weight) -> Self {
        Self::build(service(), options, weight)
    }

    fn build(canary: Service, options: CanaryOptions, weight: Weight) -> Self {
        let layer = CanaryLayer::with_options("shop", canary, options);
        let handle = layer.handle();
        handle.set_weight(weight).unwrap();
        Self { handle, layer }
    }

    pub(crate) async fn call(&self, request: Request<()>) {
        let response = self.layer.layer(service()).oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
    }

    pub(crate) fn total(&self) -> Counts {
        self.handle.counts().total()
    }
}

pub(crate) fn request(method: Method, path: &str) -> Request<()> {
    Request::builder().method(method).uri(path).body(()).unwrap()
}

pub(crate) fn of_user(user: &str, fails: bool) -> Request<()> {
    let request = Request::get("/").header(USER, user);
    if fails { request.header(FAIL, "1") } else { request }.body(()).unwrap()
}

fn at_weight() -> impl Select {
    Condition::any().at_weight()
}

#[tokio::test]
async fn a_call_counts_in_the_first_class_that_matches() {
    let fixture = ClassFixture::new(at_weight(), Weight::FULL);
    fixture.call(request(Method::POST, "/checkout/pay")).await;
    fixture.call(request(Method::POST, "/cart")).await;
    fixture.call(request(Method::GET, "/")).await;

    let counts = fixture.total();
    for class in ["checkout", "writes"] {
        let canary = &counts.classes[class].canary;
        assert_eq!((canary.picked, canary.success, canary.end.total()), (1, 1, 1), "{class}");
        assert_eq!(canary.head.total(), 1);
    }
    assert_eq!(counts.evidence.canary.success, 3);
}

#[tokio::test]
async fn the_counts_of_a_class_are_kept_by_weight() {
    let fixture = ClassFixture::new(at_weight(), Weight::ZERO);
    fixture.call(request(Method::GET, "/checkout")).await;
    fixture.handle.set_weight(Weight::FULL).unwrap();
    fixture.call(request(Method::GET, "/checkout")).await;

    let checkout = fixture.handle.counts().of_class("checkout");
    let at = |weight: Weight| {
        let epochs = checkout.epochs.iter().filter(|epoch| epoch.weight == weight);
        epochs.map(|epoch| epoch.counts.evidence.canary.picked).sum::<u64>()
    };
    assert_eq!((at(Weight::ZERO), at(Weight::FULL)), (0, 1));
    assert_eq!(checkout.total().evidence.stable.picked, 1);
}

#[tokio::test]
async fn excluded_calls_are_in_no_class() {
    let fixture = ClassFixture::new(Condition::any().always(), HALF);
    fixture.call(request(Method::GET, "/checkout")).await;
    assert!(fixture.total().classes.is_empty());
    assert_eq!(fixture.total().excluded.canary.success, 1);
}

proptest! {
    #[test]
    fn the_counts_of_classes_are_part_of_the_total_across_weight_changes(
        calls in prop::collection::vec((0_u32..4, any::<bool>(), prop::option::of(0_u32..=100)), 1..60)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let fixture = ClassFixture::new(at_weight(), HALF);
            let mut earlier = fixture.handle.counts();
            let mut sum = Counts::default();
            for (path, fails, weight) in calls {
                if let Some(percent) = weight {
                    fixture.handle.set_weight(Weight::from_percent(percent)).unwrap();
                }
                let path = ["/", "/checkout", "/cart", "/checkout/pay"][path as usize];
                let mut call = request(if fails { Method::POST } else { Method::GET }, path);
                if fails {
                    call.headers_mut().insert(FAIL, "1".parse().unwrap());
                }
                fixture.call(call).await;
                let now = fixture.handle.counts();
                sum.merge(&now.since(&earlier).unwrap().total());
                earlier = now;
            }
            let total = fixture.total();
            assert_eq!(sum, total);
            for channel in Channel::ALL {
                let all = &total.evidence[channel];
                let of = |count: fn(&ChannelCounts) -> u64| {
                    total.classes.values().map(|class| count(&class[channel])).sum::<u64>()
                };
                assert!(of(|counts| counts.picked) <= all.picked);
                // Only writes fail, and each write is in a class.
                assert_eq!(of(|counts| counts.failure), all.failure);
                assert!(of(|counts| counts.end.total()) <= all.end.total());
                assert!(total.classes.values().all(|class| class[channel].in_flight() == 0));
            }
        });
    }
}
