//! Hostile input for each parser that reads from outside: no panic, and nothing false is accepted.
//!
//! The inputs are pseudo-random and repeatable. The test suite runs a thousand for each parser. This
//! command runs a million:
//!
//! ```sh
//! CANARY_FUZZ_CASES=1000000 cargo test --release -p canary-tests --test fuzz
//! ```
#![expect(clippy::unwrap_used, reason = "test code")]

mod mutation;

use std::{convert::Infallible, time::Duration};

use canary_analysis::{Judge, JudgeState};
use canary_controller::webhook::{sign, verify};
use canary_core::{Verdict, Weight};
use canary_rollout::{Actor, Command, Order, Plan, Releases, Rollout, Tick, Timestamp};
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Request, Response, header};
use tower::{Layer, ServiceExt, service_fn};
use tower_canary::{
    Assignment, AssignmentReason, CanaryHandle, CanaryLayer, CanaryOptions, Rating,
    feedback::{FeedbackOptions, Receipt},
    select::{Condition, Forced, IssuedCookie, Propagated, Secret, Select, Sticky},
};

use self::mutation::fuzz;

const PLAN: &str = include_str!("../../../crates/canary-rollout/plans/checkout.toml");
const FORCE: HeaderName = HeaderName::from_static("x-force");
const USER: HeaderName = HeaderName::from_static("x-user-id");

fn secret() -> Secret {
    Secret::try_new("0f6b7c3d9a514e82b1d0c47e5a98f263").unwrap()
}

#[test]
fn plans_in_toml() {
    fuzz(&[PLAN.as_bytes()], |input| parses_to_itself(Plan::from_toml(&text(input)).ok()));
}

#[test]
fn plans_in_json() {
    let json = include_bytes!("../../../crates/canary-rollout/plans/checkout.json");
    fuzz(&[json], |input| parses_to_itself(Plan::from_json(&text(input)).ok()));
}

#[test]
fn plans_in_yaml() {
    let yaml = include_bytes!("../../../crates/canary-rollout/plans/checkout.yaml");
    fuzz(&[yaml], |input| parses_to_itself(Plan::from_yaml(&text(input)).ok()));
}

/// Found by a million inputs: a JSON parser that is wrong in the last digit changed stored plans.
#[test]
fn a_number_with_seventeen_digits_is_stored_exactly() {
    for (ratio, rate) in [("2.1844674407370954", "0.01"), ("2", "0.9007199254740993")] {
        let plan = Plan::from_toml(&format!(
            "steps = [{{ weight = '1%' }}]
             [[monitors]]
             measure = 'failures'
             margins.worse = {{ ratio = 1.5, rate = 0.002 }}
             margins.good = {{ ratio = {ratio}, rate = {rate} }}"
        ));
        parses_to_itself(Some(plan.unwrap()));
    }
}

fn parses_to_itself(plan: Option<Plan>) {
    let Some(plan) = plan else { return };
    let json = serde_json::to_string(&plan).unwrap();
    assert!(json.len() <= Plan::MAX_BYTES);
    assert_eq!(Plan::from_json(&json).unwrap(), plan);
}

fn text(input: &[u8]) -> String {
    String::from_utf8_lossy(input).into_owned()
}

#[test]
fn stored_rollouts() {
    let mut now: Timestamp = "2026-11-24T09:00:00Z".parse().unwrap();
    let releases = Releases { stable: "v1".parse().unwrap(), canary: "v2".parse().unwrap() };
    let plan =
        Plan::from_toml("steps = [{ weight = '1%' }, { weight = '10%' }]\nbake.duration = '1h'");
    let mut rollout = Rollout::new("shop".parse().unwrap(), releases, plan.unwrap());
    let order = |command| Order::new(command, Actor::person("ada"), "because");
    let commands = [
        Command::Start,
        Command::Pause,
        Command::SetWeight { weight: Weight::from_percent(5) },
        Command::Resume,
        Command::Promote,
        Command::PromoteFully,
        Command::RollBack,
        Command::Halt,
    ];
    let mut corpus = Vec::new();
    for command in &commands {
        corpus.push(serde_json::to_vec(&rollout).unwrap());
        rollout.command(now, &order(command.clone())).unwrap();
        now = now + Duration::from_secs(5);
        rollout.tick(now, &Tick::new(Verdict::Healthy, "fine").with_calls(200));
    }
    let corpus: Vec<&[u8]> = corpus.iter().map(Vec::as_slice).collect();
    fuzz(&corpus, |input| {
        let Ok(mut rollout) = serde_json::from_slice::<Rollout>(input) else { return };
        for verdict in [Verdict::Healthy, Verdict::Inconclusive, Verdict::Degraded] {
            for command in &commands {
                let _ = rollout.preview(now, command);
                let _ = rollout.command(now, &order(command.clone()));
                rollout.tick(now + Duration::from_secs(5), &Tick::new(verdict, "fine"));
            }
        }
        let _ = (rollout.pending(now).to_string(), rollout.in_force(), rollout.to_public_json());
        rollout.command(now, &order(Command::RollBack)).ok();
        assert!(rollout.weight() <= Weight::FULL);
    });
}

#[test]
fn stored_evidence() {
    let plan = Plan::from_toml("steps = [{ weight = '10%' }]").unwrap();
    let judge = plan.judge();
    let state = serde_json::to_vec(&judge.state()).unwrap();
    let monitors: Vec<_> = judge.monitors().cloned().collect();
    fuzz(&[&state], |input| {
        let Ok(state) = serde_json::from_slice::<JudgeState>(input) else { return };
        if let Ok(judge) = Judge::try_resume(plan.levels(), monitors.clone(), &state) {
            let _ = judge.judgment().to_string();
        }
    });
}

/// A layer with all policies, whose service answers with the headers of the request.
fn layer() -> (CanaryHandle, impl Fn(Request<()>) -> Option<Response<String>>) {
    let policy = Forced::by_header(FORCE, secret())
        .or(Forced::by_cookie("force", secret()))
        .or(Propagated::from_callers(Condition::any()))
        .or(Sticky::by_header(USER).or_cookie("session"))
        .or(Sticky::by_issued(IssuedCookie::new("id").signed(&secret())));
    let options =
        CanaryOptions::new().select(policy).feedback(FeedbackOptions::new().signed(&secret()));
    let echo = async |request: Request<()>| {
        let mut response = Response::new(String::new());
        let receipt = request.extensions().get::<Assignment>().map(|it| it.receipt().to_string());
        *response.body_mut() = receipt.unwrap_or_default();
        if let Some(reason) = request.extensions().get::<Assignment>().map(Assignment::reason) {
            response.extensions_mut().insert(reason);
        }
        response.headers_mut().extend(request.headers().clone());
        Ok::<_, Infallible>(response)
    };
    let layer = CanaryLayer::with_options("shop", service_fn(echo), options);
    let handle = layer.handle();
    handle.set_weight(Weight::from_percent(50)).unwrap();
    let service = layer.layer(service_fn(echo));
    let call = move |request: Request<()>| {
        let response = service.clone().oneshot(request).now_or_never()?.unwrap();
        let (head, body) = response.into_parts();
        let body = http_body_util::BodyExt::collect(body).now_or_never()?.unwrap().to_bytes();
        Some(Response::from_parts(head, String::from_utf8(body.to_vec()).unwrap()))
    };
    (handle, call)
}

/// Sends the input as the value of each of these headers.
fn fuzz_headers(names: &[HeaderName], corpus: &[&[u8]]) {
    let (_handle, call) = layer();
    fuzz(corpus, |input| {
        let Ok(value) = HeaderValue::from_bytes(input) else { return };
        let mut request = Request::new(());
        for name in names {
            request.headers_mut().append(name, value.clone());
        }
        let response = call(request).expect("the service does not wait");
        let reason = response.extensions().get::<AssignmentReason>();
        assert_ne!(reason, Some(&AssignmentReason::Forced), "the input has no secret");
    });
}

#[test]
fn cookies() {
    let corpus: [&[u8]; 3] = [
        b"force=canary; session=ada; id=abc",
        b"id=lXyTWvZ9kq0; session=\"a b\"; theme=dark",
        b"session=1; session=2;;=;force=",
    ];
    fuzz_headers(&[header::COOKIE], &corpus);
}

#[test]
fn baggage_keys_and_forced_headers() {
    let corpus: [&[u8]; 3] =
        [b"canary.shop=canary,userId=1", b"a=b;c=d , canary.shop = stable;x", b"%20=%zz,,="];
    fuzz_headers(&[HeaderName::from_static("baggage"), USER, FORCE], &corpus);
}

#[test]
fn grpc_headers() {
    let corpus: [&[u8]; 5] =
        [b"application/grpc", b"application/grpc-web+proto", b"10m", b"99999999H", b"14"];
    let names = ["content-type", "grpc-timeout", "grpc-status", "content-length", "te"];
    fuzz_headers(&names.map(HeaderName::from_static), &corpus);
}

#[test]
fn receipts() {
    let (handle, call) = layer();
    let issued: Vec<String> = (0..4).map(|_| call(Request::new(())).unwrap().into_body()).collect();
    assert!(issued.iter().all(|receipt| !receipt.is_empty()));
    let corpus: Vec<&[u8]> = issued.iter().map(String::as_bytes).collect();
    fuzz(&corpus, |input| {
        let text = text(input);
        let accepted = text
            .parse::<Receipt>()
            .is_ok_and(|receipt| handle.rate_receipt(&receipt, Rating::Bad).is_ok());
        assert!(!accepted || issued.contains(&text), "a forged receipt is accepted");
    });
}

#[test]
fn webhook_signatures() {
    let (secret, body) = (b"0123456789abcdef", b"{}");
    let good = format!("1000\nshop-1\n{}", sign(secret, 1_000, "shop-1", body));
    fuzz(&[good.as_bytes()], |input| {
        let text = text(input);
        let mut parts = text.splitn(3, '\n');
        let [timestamp, delivery, signature] = [(); 3].map(|()| parts.next().unwrap_or_default());
        let verified = verify(secret, timestamp, delivery, signature, body, 1_000);
        let is_same = text.eq_ignore_ascii_case(&good);
        assert!(verified.is_err() || is_same, "a forged signature is accepted");
    });
}
