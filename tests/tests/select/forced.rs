//! Testers choose their channel, also at weight zero, but not during a halt.

use canary_tests::{
    Client,
    deployment::{Mount, release},
    echo::proto::Ask,
    final_counts,
};
use http::{HeaderName, header};
use tonic::{Request, metadata::MetadataValue};
use tower_canary::{
    AssignmentReason, CanaryOptions, Channel, Weight,
    select::{Forced, Select as _},
};

use crate::shop::{FORCE, SECRET, Shop, assignment_of, get_with, secret, seen};

#[tokio::test]
async fn testers_get_the_canary_at_weight_zero_and_after_a_rollback_but_not_during_a_halt() {
    let testers = Forced::by_header(FORCE, secret()).or(Forced::by_cookie("force", secret()));
    let shop = Shop::open(testers);
    let header = format!("canary:{SECRET}");
    let cookie = format!("a=b; force=canary:{SECRET}; c=d");
    let all = Client::of_each_version(&shop.server);
    let mut forced = 0;
    for (step, expected) in [
        ("weight zero", Channel::Canary),
        ("rolled back", Channel::Canary),
        ("halted", Channel::Stable),
        ("halt lifted", Channel::Canary),
    ] {
        match step {
            "rolled back" => {
                shop.handle.set_weight(Weight::FULL).unwrap();
                shop.handle.roll_back();
            }
            "halted" => shop.handle.halt("bad totals"),
            "halt lifted" => shop.handle.lift_halt(),
            _ => {}
        }
        for (version, client) in &all {
            for headers in [(FORCE, &*header), (header::COOKIE, &*cookie)] {
                let answer = get_with(client, "/", &[headers]).await;
                assert_eq!(assignment_of(&answer), (expected, "forced"), "{step}, {version}");
                forced += u64::from(expected == Channel::Canary);
            }
            assert_eq!(
                assignment_of(&get_with(client, "/", &[]).await),
                (Channel::Stable, "random")
            );
        }
    }
    let counts = final_counts(&shop.handle).await;
    assert_eq!(counts.evidence.canary.picked, 0, "forced calls are excluded");
    assert_eq!(counts.excluded.canary.reasons[AssignmentReason::Forced], forced);
}

#[tokio::test]
async fn no_handler_sees_a_valid_or_invalid_secret() {
    let testers = Forced::by_header(FORCE, secret()).or(Forced::by_cookie("force", secret()));
    let shop = Shop::open(testers);
    for (_, client) in Client::of_each_version(&shop.server) {
        for (value, reason) in [
            (format!("canary:{SECRET}"), "forced"),
            (format!("stable:{SECRET}"), "forced"),
            (format!("canary:{SECRET}0"), "random"),
            (format!("canary:{}", &SECRET[1..]), "random"),
            ("canary".to_owned(), "random"),
            (SECRET.to_owned(), "random"),
        ] {
            let by_header = get_with(&client, "/", &[(FORCE, &value)]).await;
            let cookies = [
                (header::COOKIE, &*format!("a=b; force={value}")),
                (header::COOKIE, &*format!("force={value}")),
                (header::COOKIE, "c=d"),
            ];
            let by_cookie = get_with(&client, "/", &cookies).await;
            for answer in [&by_header, &by_cookie] {
                assert_eq!(assignment_of(answer).1, reason, "{value}");
                assert!(!answer.body.contains(&SECRET[1..]), "{}", answer.body);
                assert_eq!(seen(answer, &FORCE), [""; 0]);
            }
            let cookies = seen(&by_cookie, &header::COOKIE).join("; ");
            assert_eq!(cookies, "a=b; c=d", "other cookies are kept");
        }
        // A repeated header is ignored and removed.
        let right = format!("canary:{SECRET}");
        let answer = get_with(&client, "/", &[(FORCE, &right), (FORCE, &right)]).await;
        assert_eq!(assignment_of(&answer), (Channel::Stable, "random"));
        assert_eq!(seen(&answer, &FORCE), [""; 0]);
    }
}

/// The service returns the metadata `x-ask` as `x-answer`, so a visible secret would be in the
/// response.
#[tokio::test]
async fn testers_of_a_grpc_service_choose_by_metadata_at_every_mount_point() {
    for mount in Mount::ALL {
        let testers = Forced::by_header(HeaderName::from_static("x-ask"), secret());
        let deployment = mount.start_with(CanaryOptions::new().select(testers)).await;
        let mut client = deployment.client().await;
        for (is_halted, secret, expected) in [
            (false, SECRET, Channel::Canary),
            (false, "wrong-wrong-wrong-wr", Channel::Stable),
            (true, SECRET, Channel::Stable),
        ] {
            if is_halted {
                deployment.handle().halt("bad totals");
            }
            let mut request = Request::new(Ask::default());
            let value = MetadataValue::try_from(format!("canary:{secret}")).unwrap();
            request.metadata_mut().insert("x-ask", value);
            let answer = client.unary(request).await.unwrap();
            assert!(answer.metadata().get("x-answer").is_none(), "{mount:?}: {answer:?}");
            let answer = answer.into_inner();
            let served_by = [&*answer.channel, &*answer.release];
            assert_eq!(served_by, [expected.as_str(), release(expected)], "{mount:?}, {secret}");
        }
        let counts = final_counts(deployment.handle()).await;
        assert_eq!(counts.evidence.canary.picked, 0, "{mount:?}");
        assert_eq!(counts.excluded.canary.reasons[AssignmentReason::Forced], 1, "{mount:?}");
    }
}
