use canary_api::{CanaryView, EventView};
use canary_controller::Phase;
use serde_json::Value;

use crate::support::{Shop, ada};

#[tokio::test]
async fn the_history_is_printed_oldest_first() {
    let shop = Shop::new().await;
    shop.begin(Phase::Running).await;
    shop.rollout.pause(ada(), "lunch").await.unwrap();
    let events = shop.ctl("events").run().await.expect(0).stdout;
    let lines: Vec<_> = events.lines().collect();
    assert!(lines[0].contains("ada started") && lines[0].contains(": go"), "{events}");
    assert!(lines.last().unwrap().contains("ada paused"), "{events}");
    assert!(lines.last().unwrap().contains(": lunch  [paused, 10%; "), "{events}");

    let views: Vec<EventView> = shop.ctl("events -o json").run().await.expect(0).json();
    assert_eq!(views.len(), lines.len());
    let first = views[0].id.as_ref().unwrap();
    let after: Vec<EventView> =
        shop.ctl(&format!("events shop -o json --after {first}")).run().await.expect(0).json();
    assert_eq!(after, views[1..]);
    let ended = shop.ctl("events --after 3").run().await.expect(1);
    assert!(ended.stderr.starts_with("error: after \"3\": "), "{ended:?}");
    assert!(ended.stderr.contains("expected an id such as"), "{ended:?}");
    let last: Vec<EventView> = shop.ctl("events -n 1 -o json").run().await.expect(0).json();
    assert_eq!(last, views[views.len() - 1..]);
}

#[tokio::test]
async fn times_are_local_for_people_and_utc_for_programs() {
    let shop = Shop::new().await;
    shop.begin(Phase::Running).await;
    for (zone, offset) in [("Asia/Tokyo", "+09:00  "), ("UTC", "Z  ")] {
        let events = shop.ctl("events -n 1").env("TZ", zone).run().await.expect(0).stdout;
        assert!(events[19..].starts_with(offset), "{events}");
        let json = shop.ctl("events -n 1 -o json").env("TZ", zone).run().await.expect(0);
        assert!(json.json::<Vec<EventView>>()[0].at.ends_with('Z'), "{json:?}");
    }
}

#[tokio::test]
async fn followed_events_survive_a_restart_without_loss_or_repetition() {
    let mut shop = Shop::new().await;
    shop.begin(Phase::Running).await;
    let mut events = shop.ctl("events -f -o json").start();
    events.prints("\"step_begun\"").await;
    shop.rollout.pause(ada(), "first").await.unwrap();
    events.prints("\"first\"").await;

    shop.stop().await;
    events.notes("not live: ").await;
    shop.start_again("v2").await;
    events.notes("live again").await;
    shop.rollout.resume(ada(), "second").await.unwrap();
    let second = events.prints("").await;
    assert!(second.contains("\"second\""), "{second}");
    let line: Value = serde_json::from_str(&second).unwrap();
    assert_eq!(line["kind"], "resumed");
}

#[tokio::test]
async fn without_a_terminal_watch_prints_a_line_per_event() {
    let shop = Shop::new().await;
    shop.begin(Phase::Running).await;
    let mut watch = shop.ctl("watch").start();
    watch.prints("shop: ").await;
    shop.rollout.pause(ada(), "lunch").await.unwrap();
    let line = watch.prints("").await;
    assert!(line.contains("ada paused") && line.contains(": lunch"), "{line}");
}

#[tokio::test]
async fn the_screen_is_printed_once() {
    let shop = Shop::new().await;
    shop.begin(Phase::Running).await;
    let once = shop.ctl("watch shop --once=90x20").run().await.expect(0).stdout;
    assert_eq!(once.lines().count(), 20, "{once}");
    for text in ["shop  v1 → v2", "localhost (operate)", "▶10%", "ada started", "q quit"] {
        assert!(once.contains(text), "{text}: {once}");
    }
    assert!(!once.contains('\u{1b}'), "{once}");
    let ctl = shop.ctl("watch --once").env("CLICOLOR_FORCE", "1");
    assert!(ctl.run().await.expect(0).stdout.contains("\u{1b}[94mv1"));
    let json = shop.ctl("watch --once -o json").run().await.expect(0).json::<CanaryView>();
    assert_eq!(json.name, "shop");
    let ended = shop.ctl("watch --once=0x9").run().await.expect(1);
    assert!(ended.stderr.contains("expected a size up to 500x500"), "{ended:?}");
}

#[tokio::test]
async fn a_decision_is_explained() {
    let shop = Shop::new().await;
    shop.begin(Phase::Running).await;
    shop.rollout.roll_back(ada(), "wrong totals").await.unwrap();
    let id = shop.rollout.status().rollout.latest().unwrap().to_string();
    let number = id.split('-').next().unwrap();
    for line in [format!("why {id}"), format!("why shop {number}")] {
        let why = shop.ctl(&line).run().await.expect(0).stdout;
        assert!(why.contains("ada rolled back"), "{why}");
        assert!(why.contains("reason    wrong totals"), "{why}");
        assert!(why.contains("after     rolled back, weight 0%"), "{why}");
    }
    let why = shop.ctl("why").run().await.expect(0).stdout;
    assert!(why.starts_with("shop: ") && why.contains("MONITOR"), "{why}");
    let json: Value = shop.ctl(&format!("why {id} -o json")).run().await.expect(0).json();
    assert_eq!(json["event"]["reason"], "wrong totals");
    let ended = shop.ctl("why 999").run().await.expect(1);
    assert!(ended.stderr.contains("event \"999\": not among the latest"), "{ended:?}");
}
