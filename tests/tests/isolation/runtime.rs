use std::{
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use axum::{Router, extract::Path, routing::get};
use canary_tests::{
    Client, Server,
    deployment::{Releases, client, serve},
    echo::proto::{Ask, End},
    final_counts,
    timeout::complete,
};
use http::StatusCode;
use tokio::runtime::{Builder, Runtime};
use tonic::Code;
use tower_canary::{
    CanaryLayer, CanaryOptions, Channel, Fallback,
    axum::{AxumBody, RouterExt},
    runtime::OnRuntime,
    tonic::TonicBody,
};

use crate::{ALMOST_ALL, all_to_canary};

const WORKERS: usize = 2;

fn canary_runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().unwrap()
}

#[tokio::test]
async fn a_canary_that_blocks_its_runtime_fails_only_its_own_calls() {
    for beside in [false, true] {
        let runtime = canary_runtime();
        let (blocked, release) =
            (Arc::new(Barrier::new(WORKERS + 1)), Arc::new(Barrier::new(WORKERS + 1)));
        let v1 = Router::new().route("/{action}/{id}", get(async || "stable"));
        let v2 = {
            let (blocked, release) = (Arc::clone(&blocked), Arc::clone(&release));
            Router::new().route(
                "/{action}/{id}",
                get(async move |Path((action, id)): Path<(String, u32)>| {
                    if action == "block" {
                        blocked.wait();
                        release.wait();
                    }
                    format!("canary {id}")
                }),
            )
        };
        let options = all_to_canary(CanaryOptions::new())
            .canary_is_router()
            .fallback(Fallback::axum())
            .time_limit(Channel::Canary, Duration::from_millis(250));
        let v2 = OnRuntime::new(runtime.handle().clone(), v2.with_state(()));
        let layer = CanaryLayer::with_options("blocking", AxumBody::new(v2), options);
        let canary = layer.handle();
        canary.set_weight(ALMOST_ALL).unwrap();
        let app = if beside { v1.canary(layer) } else { v1.layer(layer) };
        let server = Server::of_router(app);
        let client = Client::http2(&server);
        // The first call of each thread is slow in a build without optimization.
        while complete(client.get("/fine/7")).await.body != "canary 7" {}

        let blocking: Vec<_> = (0..WORKERS)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.get("/block/7").await })
            })
            .collect();
        complete(tokio::task::spawn_blocking(move || blocked.wait())).await.unwrap();
        for (version, client) in Client::of_each_version(&server) {
            for _ in 0..2 {
                // The canary has no free thread, and stable responds.
                let answer = complete(client.get("/fine/7")).await;
                assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "stable"), "{version}");
            }
        }
        for call in blocking {
            assert_eq!(complete(call).await.unwrap().body, "stable");
        }
        let counts = final_counts(&canary).await;
        let canary = &counts.evidence.canary;
        assert_eq!([canary.failure, canary.timed_out], [canary.fell_back; 2]);
        assert!(canary.fell_back >= 4 + WORKERS as u64);
        thread::spawn(move || release.wait());
        runtime.shutdown_background();
    }
}

#[tokio::test]
async fn tonic_services_run_on_a_separate_runtime_with_trailers_and_panics() {
    let runtime = canary_runtime();
    let releases = Releases::new();
    let v2 = OnRuntime::new(runtime.handle().clone(), releases.routes(Channel::Canary));
    let options = all_to_canary(CanaryOptions::new());
    let layer = CanaryLayer::with_options("echo", TonicBody::new(v2), options);
    let canary = layer.handle();
    canary.set_weight(ALMOST_ALL).unwrap();
    let server = serve(releases.routes(Channel::Stable), layer).await;
    let mut client = client(&server).await;

    let answer = complete(client.unary(Ask::default())).await.unwrap().into_inner();
    assert_eq!(answer.release, "v2");
    let code = Code::NotFound as u32;
    let failing = Ask { answers: 2, end: End::Fail.into(), code, ..Ask::default() };
    let mut answers = complete(client.expand(failing)).await.unwrap().into_inner();
    assert!(complete(answers.message()).await.unwrap().is_some());
    assert!(complete(answers.message()).await.unwrap().is_some());
    assert_eq!(complete(answers.message()).await.unwrap_err().code(), Code::NotFound);
    for answers in [0, 1] {
        let panicking = Ask { answers, end: End::Panic.into(), ..Ask::default() };
        let status = match answers {
            0 => complete(client.unary(panicking)).await.unwrap_err(),
            _ => {
                let mut stream = complete(client.expand(panicking)).await.unwrap().into_inner();
                assert!(complete(stream.message()).await.unwrap().is_some());
                complete(stream.message()).await.unwrap_err()
            }
        };
        assert_eq!(status.code(), Code::Internal);
    }
    let counts = final_counts(&canary).await.evidence.canary;
    assert_eq!([counts.success, counts.failure, counts.panicked], [2, 2, 2]);

    // A cancelled call is aborted on the canary's runtime.
    let call = tokio::spawn({
        let mut client = client.clone();
        async move { client.unary(Ask { end: End::Wait.into(), ..Ask::default() }).await }
    });
    complete(async {
        while canary.open(Channel::Canary) == 0 {
            tokio::task::yield_now().await
        }
    })
    .await;
    call.abort();
    assert_eq!(final_counts(&canary).await.evidence.canary.cancelled, 1);
    runtime.shutdown_background();
}
