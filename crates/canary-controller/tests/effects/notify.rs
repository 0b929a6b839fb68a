use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use canary_controller::{
    notify::{Notification, Notifier, QUEUE_CAPACITY, audit, slack_body},
    webhook::{Backoff, SendFuture, WebhookClient},
};
use canary_rollout::Plan;
use futures_util::future::join_all;
use http::{HeaderMap, Request, Response};
use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};
use tracing::{Dispatch, subscriber::NoSubscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::{
    fixtures::{event, notification, raising},
    scripted_transport::scripted,
    support::{client, hang, soon},
    webhook_server::{Received, WebhookServer, reply},
};

fn plan(receivers: &[(&str, &str)]) -> Plan {
    let webhook = |url: &str| json!({ "url": url, "retries": 1, "timeout": "10s" });
    let notify: BTreeMap<&str, Value> =
        receivers.iter().map(|(name, url)| (*name, json!({ "webhook": webhook(url) }))).collect();
    let plan = json!({ "steps": [{ "weight": "1%" }], "notify": notify });
    Plan::from_json(&plan.to_string()).unwrap()
}

fn registered(client: WebhookClient, plan: &Plan) -> Notifier {
    let notifier = Notifier::new(client);
    notifier.register(&"checkout".parse().unwrap(), plan).unwrap();
    notifier
}

fn number(received: &Received) -> u64 {
    received.json()["event"]["number"].as_u64().unwrap()
}

#[tokio::test]
async fn events_arrive_in_order_despite_retries() {
    let mut receiver =
        WebhookServer::start(
            |number| async move { reply(if number % 3 == 0 { 503 } else { 200 }, "") },
        )
        .await;
    let notifier = registered(client(), &plan(&[("ops", &receiver.url)]));
    for number in 1..=20 {
        notifier.notify("ops", notification(number));
    }
    assert_eq!(soon(notifier.shutdown(Duration::from_secs(50))).await, 0);
    let mut numbers = Vec::new();
    while numbers.last() != Some(&20) {
        numbers.push(number(&receiver.next().await));
    }
    assert!(numbers.is_sorted() && numbers.len() > 20, "{numbers:?}");
    numbers.dedup();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_receiver_that_hangs_does_not_delay_others() {
    let mut fine = WebhookServer::of_status(200).await;
    let mut stuck = WebhookServer::start(|_| hang()).await;
    let notifier = registered(client(), &plan(&[("fine", &fine.url), ("stuck", &stuck.url)]));
    notifier.notify("stuck", notification(1));
    notifier.notify("fine", notification(1));
    assert_eq!(number(&stuck.next().await), 1);
    assert_eq!(number(&fine.next().await), 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_the_oldest_events_and_reports_their_number() {
    let (release, log) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (own_release, own_log) = (Arc::clone(&release), Arc::clone(&log));
    let transport = move |request: Request<bytes::Bytes>, _: usize| -> SendFuture<'static> {
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let sent = (body["event"]["number"].as_u64().unwrap(), body["dropped"].as_u64().unwrap());
        own_log.lock().unwrap().push(sent);
        let release = Arc::clone(&own_release);
        Box::pin(async move {
            release.acquire().await.unwrap().forget();
            Ok(Response::new(bytes::Bytes::new()))
        })
    };
    let notifier = registered(WebhookClient::new(transport), &plan(&[("ops", "http://a.example")]));
    notifier.notify("ops", notification(1));
    while log.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let begin = Instant::now();
    for number in 2..=100 {
        notifier.notify("ops", notification(number));
    }
    assert_eq!(begin.elapsed(), Duration::ZERO);
    let deliveries = notifier.deliveries(&"checkout".parse().unwrap(), "ops").unwrap();
    assert_eq!(deliveries.dropped, 35);
    assert_eq!(deliveries.waiting, QUEUE_CAPACITY + 1);
    release.add_permits(1_000);
    assert_eq!(notifier.shutdown(Duration::from_secs(1)).await, 0);
    let sent = log.lock().unwrap().clone();
    assert_eq!(sent[..3], [(1, 0), (37, 35), (38, 0)]);
    assert_eq!(sent.len(), 1 + QUEUE_CAPACITY);
}

#[tokio::test]
async fn a_rejected_event_is_counted_and_reported_with_the_next_one() {
    let mut receiver =
        WebhookServer::start(|number| async move { reply([400, 200][number.min(1)], "") }).await;
    let notifier = registered(client(), &plan(&[("ops", &receiver.url)]));
    notifier.notify("ops", notification(1));
    notifier.notify("ops", notification(2));
    let [first, second] = [receiver.next().await, receiver.next().await];
    assert_eq!((number(&first), first.json()["dropped"].as_u64()), (1, Some(0)));
    assert_eq!((number(&second), second.json()["dropped"].as_u64()), (2, Some(1)));
    let deliveries = async || {
        loop {
            let it = notifier.deliveries(&"checkout".parse().unwrap(), "ops").unwrap();
            if it.waiting == 0 {
                return (it.delivered, it.failed, it.dropped);
            }
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(soon(deliveries()).await, (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_after_its_grace_period() {
    let (transport, log) = scripted(|_| (0, HeaderMap::new()));
    let notifier = registered(WebhookClient::new(transport), &plan(&[("ops", "http://a.example")]));
    for number in 1..=3 {
        notifier.notify("ops", notification(number));
    }
    let begin = Instant::now();
    assert_eq!(notifier.shutdown(Duration::from_secs(5)).await, 3);
    assert!((5_000..5_010).contains(&begin.elapsed().as_millis()));
    notifier.notify("ops", notification(4));
    tokio::time::sleep(Duration::from_secs(3_600)).await; // Returns at once: time is paused.
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn removed_receivers_leave_no_task_behind() {
    let (transport, _log) = scripted(|_| (200, HeaderMap::new()));
    let notifier = registered(WebhookClient::new(transport), &plan(&[("ops", "http://a.example")]));
    let begin = Instant::now();
    notifier
        .register(&"checkout".parse().unwrap(), &plan(&[("chat", "http://a.example")]))
        .unwrap();
    notifier.unregister(&"checkout".parse().unwrap());
    // A task that does not end would use the whole grace period.
    assert_eq!(notifier.shutdown(Duration::from_secs(3_600)).await, 0);
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn dropping_a_notifier_cancels_its_requests() {
    struct DropGuard(mpsc::UnboundedSender<()>);
    impl Drop for DropGuard {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (sender, mut ended) = mpsc::unbounded_channel();
    let mut receiver = WebhookServer::start(move |_| {
        let ended = DropGuard(sender.clone());
        async move {
            let _ended = ended;
            hang().await
        }
    })
    .await;
    let notifier = registered(client(), &plan(&[("ops", &receiver.url)]));
    notifier.notify("ops", notification(1));
    receiver.next().await;
    drop(notifier);
    soon(ended.recv()).await.unwrap();
}

#[tokio::test]
async fn a_new_plan_keeps_the_queue_and_its_order() {
    let release = Arc::new(Semaphore::new(0));
    let own = Arc::clone(&release);
    let mut before = WebhookServer::start(move |_| {
        let release = Arc::clone(&own);
        async move {
            release.acquire().await.unwrap().forget();
            reply(200, "")
        }
    })
    .await;
    let mut after = WebhookServer::of_status(200).await;
    let name = "checkout".parse().unwrap();
    let notifier = registered(client(), &plan(&[("ops", &before.url)]));
    notifier.notify("ops", notification(1));
    notifier.notify("ops", notification(2));
    assert_eq!(number(&before.next().await), 1);
    notifier.register(&name, &plan(&[("ops", &after.url)])).unwrap();
    notifier.notify("ops", notification(3));
    assert_eq!(after.unread(), 0);
    release.add_permits(2);
    assert_eq!(number(&before.next().await), 2);
    assert_eq!(number(&after.next().await), 3);

    // A removed receiver gets the queued events, and no later ones.
    notifier.notify("ops", notification(4));
    notifier.unregister(&name);
    notifier.notify("ops", notification(5));
    assert_eq!(number(&after.next().await), 4);
    assert_eq!(soon(notifier.shutdown(Duration::from_secs(50))).await, 0);
    assert_eq!(after.unread(), 0);
}

#[tokio::test]
async fn a_receiver_still_gets_events_after_its_transport_panicked() {
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let transport = move |_: Request<bytes::Bytes>, _: usize| -> SendFuture<'static> {
        let number = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        assert!(number > 1, "no network");
        Box::pin(async { Ok(Response::new(bytes::Bytes::new())) })
    };
    let at_once = Backoff::new(Duration::ZERO, Duration::ZERO);
    let client = WebhookClient::new(transport).backoff(at_once);
    let notifier = registered(client, &plan(&[("ops", "http://a.example")]));
    notifier.notify("ops", notification(1));
    notifier.notify("ops", notification(2));
    let deliveries = async || {
        loop {
            let it = notifier.deliveries(&"checkout".parse().unwrap(), "ops").unwrap();
            if it.waiting == 0 {
                return (it.delivered, it.failed);
            }
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(soon(deliveries()).await, (1, 1));
}

#[tokio::test]
async fn each_canary_has_its_own_queues() {
    let receivers = join_all((0..3).map(|_| WebhookServer::of_status(200))).await;
    let notifier = Notifier::new(client());
    for (index, receiver) in receivers.iter().enumerate() {
        let name = format!("canary-{index}").parse().unwrap();
        notifier.register(&name, &plan(&[("ops", &receiver.url)])).unwrap();
        let mut notification = notification(index as u64 + 1);
        notification.canary = name;
        notifier.notify("ops", notification);
    }
    for (index, mut receiver) in receivers.into_iter().enumerate() {
        assert_eq!(receiver.next().await.json()["canary"], format!("canary-{index}"));
    }
}

#[test]
fn the_id_of_an_event_depends_on_the_event_only() {
    assert_eq!(notification(17).id(), "checkout-17-1795510800000");
}

#[test]
fn a_reason_cannot_mention_chat_users() {
    let why = "<!channel> a & b > c\n*bold*";
    let notification = Notification::new(&raising(), event(json!({ "reason": why })));
    let body: Value = serde_json::from_str(&slack_body(&notification, 0)).unwrap();
    let text = body["text"].as_str().unwrap();
    assert!(text.contains("\nReason: &lt;!channel&gt; a &amp; b &gt; c *bold*\n"), "{text}");
}

/// Mattermost, Rocket.Chat and Discord mention for a plain `@`.
#[test]
fn a_reason_cannot_mention_users_of_compatible_services() {
    let why =
        "@channel @here @everyone @all ada@x [safe](http://evil) \u{202E}txt\u{2028}Weight: 1%";
    let notification = Notification::new(&raising(), event(json!({ "reason": why })));
    let body: Value = serde_json::from_str(&slack_body(&notification, 0)).unwrap();
    let text = body["text"].as_str().unwrap();
    for part in ["@channel", "@here", "@everyone", "@all", "](", "\u{202E}", "\u{2028}"] {
        assert!(!text.contains(part), "{part:?} in {text}");
    }
    assert!(text.contains("@\u{200B}channel @\u{200B}here"), "{text}");
}

#[test]
fn a_name_cannot_look_like_a_field_of_the_log() {
    let name = "x kind=\"promoted\" weight=100%";
    let [event] = audited(|| {
        let changes = json!({ "kind": "resumed", "by": { "person": name } });
        audit(&Notification::new(&raising(), event(changes)));
    });
    assert_eq!(event["who"], name, "a text field, which subscribers quote");
    assert!(!event["message"].contains(['=', '"']), "{}", event["message"]);
}

#[test]
fn long_reasons_are_cut_in_messages() {
    let long = "<".repeat(100_000);
    let changes = json!({ "reason": long, "evidence": long, "by": { "person": long } });
    let notification = Notification::new(&raising(), event(changes));
    let text = slack_body(&notification, 3);
    assert!(text.len() < 10_000, "{}", text.len());
    assert!(text.contains("&lt;…") && text.ends_with(r#"could not be delivered."}"#), "{text}");
}

#[test]
fn a_message_names_the_approver() {
    let mut rollout = serde_json::to_value(raising()).unwrap();
    rollout["plan"]["gates"]["managers"]["kind"]["approval"] = json!("<release managers>");
    let rollout = serde_json::from_value(rollout).unwrap();
    let asked = |gate: &str| event(json!({ "kind": "gate_asked", "gate": gate, "reason": "" }));
    let slack = slack_body(&Notification::new(&rollout, asked("managers")), 0);
    assert!(slack.contains(r"Waiting for: &lt;release managers&gt;"), "{slack}");
    let json: Value =
        serde_json::from_str(&Notification::new(&rollout, asked("managers")).to_json(0)).unwrap();
    assert_eq!(json["approval"], "<release managers>");
    assert_eq!(Notification::new(&rollout, asked("deploys")).approval, None);
}

#[test]
fn a_message_links_to_the_approval_that_it_asks_for() {
    let page = "https://ops.example/canary/".parse().unwrap();
    let asked = |gate: &str| event(json!({ "kind": "gate_asked", "gate": gate, "reason": "" }));
    let notification = |gate: &str| Notification::new(&raising(), asked(gate)).with_page(&page);
    let link = "https://ops.example/canary/#/checkout/approve/managers";
    let slack = slack_body(&notification("managers"), 0);
    assert!(slack.contains(&format!("<{link}|Approve or reject>")), "{slack}");
    let json: Value = serde_json::from_str(&notification("managers").to_json(0)).unwrap();
    assert_eq!(json["page"], link);
    // An operator need not answer this gate.
    let json: Value = serde_json::from_str(&notification("deploys").to_json(0)).unwrap();
    assert_eq!(json["page"], "https://ops.example/canary/#/checkout");
    let without = Notification::new(&raising(), asked("managers")).to_json(0);
    assert!(!without.contains("page"), "{without}");
}

#[test]
fn a_plan_without_its_secret_is_rejected_and_changes_nothing() {
    let mut plan = serde_json::to_value(plan(&[("ops", "http://a.example")])).unwrap();
    plan["notify"]["ops"]["webhook"]["secret_env"] = json!("UNSET");
    let plan = serde_json::from_value(plan).unwrap();
    let notifier = Notifier::new(client());
    let error = notifier.register(&"checkout".parse().unwrap(), &plan).unwrap_err();
    let expected = "notify.ops.webhook.secret_env: the environment variable UNSET is not set";
    assert_eq!(error.to_string(), expected);
    assert_eq!(notifier.deliveries(&"checkout".parse().unwrap(), "ops"), None);
}

#[test]
fn every_event_is_emitted_as_a_tracing_event() {
    let [rolled_back, resumed] = audited(|| {
        audit(&notification(17));
        let changes = json!({ "kind": "resumed", "by": { "person": "anna" }, "evidence": "" });
        audit(&Notification::new(&raising(), event(changes)));
    });
    let expect = |seen: &BTreeMap<String, String>, fields: &[(&str, &str)]| {
        for (name, value) in fields {
            assert_eq!(seen.get(*name).map(String::as_str), Some(*value), "{name}");
        }
    };
    expect(
        &rolled_back,
        &[
            ("level", "WARN"),
            ("canary", "checkout"),
            ("stable_release", "v1"),
            ("canary_release", "v2"),
            ("number", "17"),
            ("at", "2026-11-24T09:00:00Z"),
            ("by", "judge"),
            ("who", "the judge"),
            ("kind", "rolled_back"),
            ("reason", "failures of the canary are above the margin"),
            ("verdict", "degraded"),
            ("evidence", "canary fails 5.1% of 1,204 calls, stable 0.1% of 119,310"),
            ("phase", "rolled back"),
            ("weight", "0%"),
            ("message", "checkout: the judge rolled back, weight 0%"),
        ],
    );
    expect(&resumed, &[("level", "INFO"), ("by", "person"), ("who", "anna"), ("kind", "resumed")]);
}

/// Returns the fields of the events with the target `canary::audit` that a function emits.
fn audited<const N: usize>(emit: impl FnOnce()) -> [BTreeMap<String, String>; N] {
    LazyLock::force(&SECOND_SUBSCRIBER);
    let seen = AuditEvents::default();
    let subscriber = tracing_subscriber::registry().with(seen.clone());
    tracing::subscriber::with_default(subscriber, emit);
    seen.0.lock().unwrap().clone().try_into().unwrap()
}

/// With a single subscriber, tracing asks only the thread that is the first to reach an event whether
/// anyone wants it. A test without a subscriber would silence it for all.
static SECOND_SUBSCRIBER: LazyLock<Dispatch> =
    LazyLock::new(|| Dispatch::new(NoSubscriber::default()));

/// The fields of all events with the target `canary::audit`.
#[derive(Clone, Default)]
struct AuditEvents(Arc<Mutex<Vec<BTreeMap<String, String>>>>);

impl<S: tracing::Subscriber> Layer<S> for AuditEvents {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        struct FieldVisitor(BTreeMap<String, String>);
        impl tracing::field::Visit for FieldVisitor {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0.insert(field.name().to_owned(), format!("{value:?}"));
            }
            fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
                self.0.insert(field.name().to_owned(), value.to_owned());
            }
        }
        if event.metadata().target() != "canary::audit" {
            return;
        }
        let level = event.metadata().level().to_string();
        let mut fields = FieldVisitor(BTreeMap::from([("level".to_owned(), level)]));
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }
}
