//! Testers, who force their channel.

use std::convert::Infallible;

use http::{Request, Response, header};
use tower::{Layer, ServiceExt, service_fn};
use tower_canary::{
    Assignment, AssignmentReason, CanaryLayer, CanaryOptions, Channel, SplitMode, Weight,
    control::ControlExt as _,
    select::{Condition, Forced, Secret, Select},
};

use super::{Echo, FORCE, PolicyFixture, SECRET, echo, forced_request, get, secret, testers};
use crate::support::channel_of;

#[tokio::test]
async fn only_callers_with_the_secret_choose_their_channel() {
    let policy = Forced::by_header(FORCE, secret())
        .or_secret(Secret::try_new("the-next-secret-1234").unwrap())
        .or(Forced::by_cookie("canary-force", secret()));
    let fixture = PolicyFixture::new(policy, Weight::ZERO);
    for value in [&*format!("canary:{SECRET}"), "canary:the-next-secret-1234"] {
        let answer = fixture.assign(get("/", &[(FORCE, value)])).await;
        assert_eq!(answer, (Channel::Canary, AssignmentReason::Forced), "{value}");
    }
    let cookie = format!("a=b; canary-force=canary:{SECRET}");
    let answer = fixture.call(get("/", &[(header::COOKIE, &cookie)])).await;
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
        let answer = fixture.call(get("/", &[(FORCE, value)])).await;
        assert_eq!(answer.assignment.unwrap().reason(), AssignmentReason::Random, "{value}");
        assert!(!answer.headers.contains_key(FORCE), "handlers do not see failed attempts");
    }
    let counts = fixture.handle.counts().total();
    assert_eq!(counts.evidence.canary.picked, 0, "forced calls are excluded");
    assert_eq!(counts.excluded.canary.reasons[AssignmentReason::Forced], 3);
}

#[tokio::test]
async fn a_closure_can_decide_who_is_a_tester() {
    #[derive(Clone)]
    struct Employee;
    let policy = Forced::by_header_if(
        FORCE,
        Condition::when(|request| request.extensions().get::<Employee>().is_some()),
    );
    let fixture = PolicyFixture::new(policy, Weight::FULL);
    assert_eq!(fixture.assign(get("/", &[(FORCE, "stable")])).await.1, AssignmentReason::Random);
    let mut employee = get("/", &[(FORCE, "stable")]);
    employee.extensions_mut().insert(Employee);
    assert_eq!(fixture.assign(employee).await, (Channel::Stable, AssignmentReason::Forced));
}

#[tokio::test]
async fn handlers_of_bypassed_paths_do_not_see_the_secret() {
    let fixture = PolicyFixture::new(testers(), Weight::ZERO);
    let answer = fixture.call(get("/healthz", &[(FORCE, &format!("canary:{SECRET}"))])).await;
    assert!(answer.assignment.is_none());
    assert!(!answer.headers.contains_key(FORCE));
}

#[tokio::test]
async fn a_forced_call_that_fails_does_not_run_the_failure_hook() {
    let failing = Echo::new(service_fn(|_| async {
        Ok(Response::builder().status(500).body(String::new()).unwrap())
    }));
    let options = CanaryOptions::new().select(testers());
    let layer = CanaryLayer::with_options("shop", failing, options);
    layer.handle().on_canary_failure(|canary, _| canary.halt("it fails"));
    let response = layer.layer(echo()).oneshot(forced_request()).await.unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(layer.handle().mode(), SplitMode::Splitting);
    assert_eq!(layer.handle().counts().total().excluded.canary.failure, 1);
}

/// Each layer removes the header of its policy before the inner layer sees the request.
#[tokio::test]
async fn of_two_canaries_the_outer_one_takes_the_testers_header_and_tags_the_response() {
    let service = service_fn(|request: Request<()>| {
        assert!(!request.headers().contains_key(FORCE));
        let assignment = request.extensions().get::<Assignment>().unwrap();
        assert_eq!((assignment.canary(), assignment.channel()), ("inner", Channel::Stable));
        std::future::ready(Ok::<_, Infallible>(Response::new(String::new())))
    });
    let options = || CanaryOptions::new().select(testers());
    let inner = CanaryLayer::with_options("inner", service, options());
    let split = inner.layer(service);
    let outer = CanaryLayer::with_options("outer", split.clone(), options());
    let response = outer.layer(split).oneshot(forced_request()).await.unwrap();
    assert_eq!(channel_of(&response), "canary");
    assert_eq!(outer.handle().counts().total().excluded.canary.picked, 1);
    let inner = inner.handle().counts().total();
    assert_eq!((inner.evidence.stable.picked, inner.excluded.canary.picked), (1, 0));
}
