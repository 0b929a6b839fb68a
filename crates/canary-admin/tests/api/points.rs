use std::time::Duration;

use canary_admin::{Access, Admin};
use canary_controller::{Actor, Controller, store::MemoryStore};
use tokio::net::TcpListener;
use tower_canary::CanaryOptions;

use crate::support::{Call, PLAN, Shop, Time};

#[tokio::test]
async fn points_show_the_calls_and_findings_of_each_second() {
    let (shop, time) = (Shop::new(CanaryOptions::new()), Time::default());
    let controller = Controller::new(MemoryStore::new()).clock(time.clock());
    let controller = controller.interval(Duration::from_millis(20));
    let rollout = shop.add(&controller, PLAN);
    let admin = Admin::new(Access::loopback());
    admin.watch(&controller);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let served = tokio::spawn(admin.clone().serve_on(listener));

    rollout.start(Actor::person("ada"), "").await.unwrap();
    rollout.set_weight(Actor::person("ada"), "50%".parse().unwrap(), "").await.unwrap();
    let get = async |path: &str| Call::new("GET", path).send(addr).await.json();
    let points = async |step: u32| get(&format!("/canaries/shop/points?step={step}")).await;
    for second in 1..=20 {
        shop.calls(40).await;
        time.advance(Duration::from_secs(1));
        while points(1).await["at_ms"].as_array().unwrap().len() < second {}
    }
    let seconds = points(1).await;
    assert_eq!(seconds["weight_ppm"][19], 500_000);
    let rate = |channel: &str| seconds["calls_per_second"][channel][19].as_f64().unwrap();
    assert!((rate("stable") + rate("canary") - 40.0).abs() < 1e-3);
    assert_eq!(seconds["failure_rate"]["canary"][19], 0.0);
    assert!(seconds["p99_ms"]["stable"][19].as_f64().unwrap() > 0.0);
    assert_eq!(seconds["findings"]["failures"]["good"].as_array().unwrap().len(), 20);

    assert_eq!(points(10).await["at_ms"].as_array().unwrap().len(), 2);
    let since = seconds["at_ms"][17].as_i64().unwrap();
    let rest = get(&format!("/canaries/shop/points?step=1&since={since}")).await;
    assert_eq!(rest["at_ms"].as_array().unwrap().len(), 2);

    let view = get("/canaries/shop").await;
    let share = view["observed_share"].as_f64().unwrap();
    // 400 calls: it is outside of this range with a probability below 1 in 10^7.
    assert!((0.35..=0.65).contains(&share), "{share}");
    let rate = |channel: &str| view["channels"][channel]["calls_per_second"].as_f64().unwrap();
    assert!((rate("stable") + rate("canary") - 40.0).abs() < 1e-3);
    admin.stop();
    served.await.unwrap().unwrap();
}
