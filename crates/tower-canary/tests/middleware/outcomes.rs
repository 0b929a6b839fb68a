//! Which responses are failures, whatever their status line says, and which show nothing.

use std::{task::Poll, time::Duration};

use http::{HeaderName, Method, Request, StatusCode, header};
use http_body::Body as _;
use tokio_test::{assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt};
use tower_canary::{
    CanaryHandle, CanaryLayer, CanaryOptions, CanaryService, Channel, Tags, Weight,
    classify::Protocol, counts::ChannelCounts, select::Condition,
};

use crate::support::{
    ALMOST_ALL, OnPoll, ScriptedBody, ScriptedService,
    Step::{self, Data, End, Trailers},
    counts, grpc_request, wait_for_deadline,
};

type Scripted = CanaryService<ScriptedService, ScriptedService>;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

fn canary(options: CanaryOptions, service: ScriptedService) -> (CanaryHandle, Scripted) {
    let layer = CanaryLayer::with_options("outcomes", service.clone(), options);
    (layer.handle(), layer.layer(service))
}

/// Makes one call of each channel, reads the response as servers do, and returns the counts.
fn both(
    options: impl Fn() -> CanaryOptions,
    request: &Request<()>,
    service: &ScriptedService,
) -> [ChannelCounts; 2] {
    [Weight::ZERO, Weight::FULL].map(|weight| {
        let (handle, mut service) = canary(options(), service.clone());
        handle.set_weight(weight).unwrap();
        read(&mut service, request.clone());
        let counts = counts(&handle).evidence;
        let counts = if weight == Weight::ZERO { counts.stable } else { counts.canary };
        assert_eq!([counts.picked, counts.ended()], [1, 1]);
        counts
    })
}

/// Calls a service, and polls the body of its response until its end.
fn read(service: &mut Scripted, request: Request<()>) {
    let response = assert_ready_ok!(task::spawn(service.call(request)).poll());
    let mut body = task::spawn(response.into_body());
    while !body.is_end_stream() {
        let polled = body.enter(|cx, body| body.poll_frame(cx));
        if !matches!(polled, Poll::Ready(Some(Ok(_)))) {
            break;
        }
    }
}

#[track_caller]
fn assert_outcome(name: &str, counts: &[ChannelCounts; 2], expected: &str) {
    for counts in counts {
        let outcome = match [counts.success, counts.client_made, counts.failure] {
            [1, 0, 0] => "success",
            [1, 1, 0] => "client-made",
            [0, 0, 1] => "failure",
            _ => "cancelled",
        };
        assert_eq!(outcome, expected, "{name}");
    }
}

fn with_length(length: &'static str, steps: &[Step]) -> ScriptedService {
    let body = ScriptedBody::new(steps.iter().copied());
    ScriptedService::new().header(header::CONTENT_LENGTH, length).body(body)
}

fn of_method(method: Method) -> Request<()> {
    Request::builder().method(method).body(()).unwrap()
}

#[test]
fn a_body_that_does_not_have_its_content_length_is_a_failure() {
    let get = of_method(Method::GET);
    for (name, request, service, outcome) in [
        ("complete", &get, with_length("2", &[Data("ab"), End]), "success"),
        ("short", &get, with_length("3", &[Data("ab"), End]), "failure"),
        ("short, in parts", &get, with_length("5", &[Data("ab"), Data("cd"), End]), "failure"),
        ("short, with trailers", &get, with_length("3", &[Data("ab"), Trailers("0")]), "failure"),
        ("without any byte", &get, with_length("1", &[End]), "failure"),
        ("long", &get, with_length("1", &[Data("ab"), End]), "failure"),
        ("grpc, short", &grpc_request(), with_length("3", &[Data("ab"), Trailers("0")]), "failure"),
        (
            "grpc, complete",
            &grpc_request(),
            with_length("2", &[Data("ab"), Trailers("0")]),
            "success",
        ),
        ("no number", &get, with_length("many", &[Data("ab"), End]), "failure"),
        ("signed", &get, with_length("+2", &[Data("ab"), End]), "failure"),
    ] {
        assert_outcome(name, &both(CanaryOptions::new, request, &service), outcome);
    }
    let announced = ScriptedService::new()
        .body(ScriptedBody::new([Data("abc"), End]).length(7).announces_end());
    let name = "the server announces the exact size hint";
    assert_outcome(name, &both(CanaryOptions::new, &get, &announced), "failure");
}

#[test]
fn a_response_without_a_body_may_have_any_content_length() {
    let service = || ScriptedService::new().header(header::CONTENT_LENGTH, "20");
    for (method, status, outcome) in [
        (Method::HEAD, 200, "success"),
        (Method::GET, 204, "success"),
        (Method::GET, 304, "success"),
        (Method::CONNECT, 200, "success"),
        // The server announces 20 bytes, and the body is empty.
        (Method::GET, 200, "failure"),
        (Method::POST, 201, "failure"),
    ] {
        let service = service().status(StatusCode::from_u16(status).unwrap());
        let name = format!("{method} {status}");
        assert_outcome(&name, &both(CanaryOptions::new, &of_method(method), &service), outcome);
    }
}

#[test]
fn a_status_that_blames_the_service_or_cannot_be_sent_is_a_failure() {
    for (status, outcome) in [
        (100, "failure"),
        (102, "failure"),
        (103, "failure"),
        (199, "failure"),
        (101, "success"),
        (200, "success"),
        (401, "success"),
        (404, "client-made"),
        (405, "client-made"),
        // The request has no body, so the timeout is the service's own.
        (408, "failure"),
        (500, "failure"),
        (599, "failure"),
        (600, "failure"),
        (999, "failure"),
    ] {
        let service = ScriptedService::new().status(StatusCode::from_u16(status).unwrap());
        let counts = both(CanaryOptions::new, &of_method(Method::GET), &service);
        assert_outcome(&status.to_string(), &counts, outcome);
    }
}

#[test]
fn a_timeout_is_the_callers_if_the_body_of_its_request_may_be_missing() {
    let service = ScriptedService::new().status(StatusCode::REQUEST_TIMEOUT);
    for (header, value, outcome) in [
        ("content-length", "0", "failure"),
        ("content-length", "5", "client-made"),
        ("transfer-encoding", "chunked", "client-made"),
    ] {
        let request = Request::post("/").header(header, value).body(()).unwrap();
        let counts = both(CanaryOptions::new, &request, &service);
        assert_outcome(value, &counts, outcome);
    }
}

#[test]
fn a_response_that_falls_back_is_one_that_counts_as_a_failure() {
    for (name, canary, falls_back) in [
        ("600", ScriptedService::new().status(StatusCode::from_u16(600).unwrap()), true),
        ("103", ScriptedService::new().status(StatusCode::from_u16(103).unwrap()), true),
        ("408", ScriptedService::new().status(StatusCode::REQUEST_TIMEOUT), true),
        ("empty", ScriptedService::new().header(header::CONTENT_LENGTH, "20"), true),
        ("404", ScriptedService::new().status(StatusCode::NOT_FOUND), false),
    ] {
        let fallback = tower_canary::Fallback::of_clones::<()>();
        let options = CanaryOptions::new().fallback(fallback);
        let layer = CanaryLayer::with_options("fallback", canary, options);
        layer.handle().set_weight(ALMOST_ALL).unwrap();
        let mut service = layer.layer(ScriptedService::new());
        read(&mut service, of_method(Method::GET));
        let counts = counts(&layer.handle()).evidence.canary;
        let expected = u64::from(falls_back);
        assert_eq!([counts.failure, counts.fell_back], [expected; 2], "{name}");
    }
}

#[test]
fn a_caller_cannot_make_the_calls_of_an_http_service_grpc() {
    let html = || ScriptedService::new().header(header::CONTENT_TYPE, "text/html");
    // The test double responds with the content type of the request. This one has its own.
    let service = html().own_content_type();
    for content_type in ["application/grpc", "application/grpc+proto", "APPLICATION/GRPC;x=y"] {
        let request = Request::builder()
            .header(header::CONTENT_TYPE, content_type)
            .header("te", "trailers")
            .header("grpc-timeout", "1n")
            .body(())
            .unwrap();
        for (status, outcome) in [(200, "success"), (400, "success"), (404, "client-made")] {
            let service = service.clone().status(StatusCode::from_u16(status).unwrap());
            let counts = both(CanaryOptions::new, &request, &service);
            assert_outcome(&format!("{content_type} {status}"), &counts, outcome);
        }
    }
}

#[test]
fn the_options_can_fix_the_protocol() {
    let grpc = || CanaryOptions::new().protocol(Protocol::Grpc);
    let http = || CanaryOptions::new().protocol(Protocol::Http);
    let page = ScriptedService::new().header(header::CONTENT_TYPE, "text/html").own_content_type();
    let plain = of_method(Method::POST);
    for (status, outcome) in [
        // A page with status 200 is no response to a gRPC call.
        (200, "failure"),
        (400, "failure"),
        (401, "success"),
        (403, "success"),
        (429, "failure"),
        (503, "failure"),
        // `UNIMPLEMENTED`, and stable has not responded yet.
        (404, "failure"),
    ] {
        let service = page.clone().status(StatusCode::from_u16(status).unwrap());
        assert_outcome(&status.to_string(), &both(grpc, &plain, &service), outcome);
    }
    let failed = ScriptedService::new().header(GRPC_STATUS, "13");
    assert_outcome("grpc", &both(grpc, &plain, &failed), "failure");
    assert_outcome("http", &both(http, &grpc_request(), &failed), "success");
}

#[test]
fn a_status_is_read_as_grpcs_clients_read_it() {
    for (status, outcome) in [
        ("0", "success"),
        ("5", "success"),
        ("+0", "failure"),
        ("00", "failure"),
        ("05", "failure"),
    ] {
        let service = ScriptedService::new().header(GRPC_STATUS, status);
        let counts = both(CanaryOptions::new, &grpc_request(), &service);
        assert_outcome(&format!("head {status}"), &counts, outcome);
        let service = ScriptedService::new().body(ScriptedBody::new([Trailers(status)]));
        let counts = both(CanaryOptions::new, &grpc_request(), &service);
        assert_outcome(&format!("trailers {status}"), &counts, outcome);
    }
}

fn of_path(path: &str) -> Request<()> {
    let (mut head, ()) = grpc_request().into_parts();
    head.uri = path.parse().unwrap();
    Request::from_parts(head, ())
}

#[test]
fn an_unimplemented_method_is_the_canarys_failure_only_if_stable_serves_it() {
    for (in_head, stable) in [
        (true, ScriptedService::new().header(GRPC_STATUS, "0")),
        (false, ScriptedService::new().body(ScriptedBody::new([Data("a"), Trailers("0")]))),
    ] {
        let lacks_all = ScriptedService::new();
        let lacks_all = match in_head {
            true => lacks_all.header(GRPC_STATUS, "12"),
            false => lacks_all.body(ScriptedBody::new([Trailers("12")])),
        };
        let layer = CanaryLayer::new("unimplemented", lacks_all);
        let mut service = layer.layer(stable);
        let mut expected = [0, 0];
        for (weight, path, outcome) in [
            // Stable has not responded yet, so nothing is known.
            (Weight::FULL, "/s.S/Served", [1, 0]),
            (Weight::ZERO, "/s.S/Served", [0, 0]),
            (Weight::FULL, "/s.S/Served", [1, 0]),
            (Weight::FULL, "/s.S/Unknown", [0, 1]),
            (Weight::FULL, "/s.S/Served", [1, 0]),
        ] {
            layer.handle().set_weight(weight).unwrap();
            read(&mut service, of_path(path));
            expected = [expected[0] + outcome[0], expected[1] + outcome[1]];
            let canary = counts(&layer.handle()).evidence.canary;
            assert_eq!([canary.failure, canary.client_made], expected, "{path} at {weight}");
        }
    }
}

#[test]
fn the_canary_does_not_decide_which_methods_stable_serves() {
    let layer = CanaryLayer::new("new", ScriptedService::new().header(GRPC_STATUS, "0"));
    let mut service = layer.layer(ScriptedService::new().header(GRPC_STATUS, "12"));
    for (weight, expected) in
        [(Weight::ZERO, [1, 0]), (Weight::FULL, [1, 0]), (Weight::ZERO, [1, 1])]
    {
        layer.handle().set_weight(weight).unwrap();
        read(&mut service, of_path("/s.S/OnlyInCanary"));
        let stable = counts(&layer.handle()).evidence.stable;
        assert_eq!([stable.failure, stable.client_made], expected);
    }
}

#[test]
fn a_caller_that_leaves_after_it_saw_its_channel_is_counted_separately() {
    let body = || ScriptedService::new().body(ScriptedBody::new([Data("a")]));
    for (tags, told) in [
        (Tags::default(), 1),
        (Tags::none().release_header(), 1),
        (Tags::none().request_extension(), 0),
        (Tags::default().show_to(Condition::any().not()), 0),
    ] {
        for channel in Channel::ALL {
            let options = CanaryOptions::new().tags(tags.clone());
            let (handle, mut service) = canary(options, body());
            if channel == Channel::Canary {
                handle.promote().unwrap();
            }
            drop(service.call(Request::new(())));
            let response = assert_ready_ok!(task::spawn(service.call(Request::new(()))).poll());
            drop(response);
            let counts = counts(&handle).evidence[channel].clone();
            assert_eq!([counts.cancelled, counts.cancelled_after_tag], [2, told], "{channel}");
        }
    }
}

#[test]
fn a_deadline_counts_if_stable_usually_responds_to_the_method_in_time() {
    let hangs = |request: &mut Request<()>| request.extensions_mut().insert(OnPoll::Hang);
    for (served, left, failures) in
        [("/s.S/M", "/s.S/M", 1), ("/s.S/M", "/s.S/Other", 0), ("/", "/", 1)]
    {
        let stable = ScriptedService::new().header(GRPC_STATUS, "0").obey_requests();
        let (handle, mut service) = canary(CanaryOptions::new(), stable);
        read(&mut service, of_path(served));
        handle.set_weight(Weight::ZERO).unwrap();
        let mut request = of_path(left);
        hangs(&mut request);
        request.headers_mut().insert("grpc-timeout", "200m".parse().unwrap());
        let call = service.call(request);
        wait_for_deadline(Duration::from_millis(200));
        drop(call);
        let counts = counts(&handle).evidence.stable;
        assert_eq!([counts.failure, counts.cancelled], [failures, 1 - failures], "{left}");
    }
}

#[tokio::test]
async fn a_call_that_stable_repeats_has_a_latency_of_its_own() {
    let fallback = tower_canary::Fallback::of_clones::<()>();
    let options = CanaryOptions::new().fallback(fallback);
    let canary = tower::service_fn(|_: Request<()>| {
        wait_for_deadline(Duration::from_secs(2));
        std::future::ready(Err::<http::Response<ScriptedBody>, tower::BoxError>("broken".into()))
    });
    let layer = CanaryLayer::with_options("latency", canary, options);
    layer.handle().set_weight(ALMOST_ALL).unwrap();
    layer.layer(ScriptedService::new()).oneshot(Request::new(())).await.unwrap();
    let counts = counts(&layer.handle());
    let stable = &counts.excluded.stable;
    assert_eq!(stable.success, 1);
    for latencies in [&stable.head, &stable.end] {
        let slowest = latencies.quantile(1.0).unwrap();
        assert!(slowest.lower_edge().as_secs() < 1, "{slowest:?}");
    }
    let canary = counts.evidence.canary.end.quantile(1.0).unwrap();
    assert!(canary.lower_edge().as_secs() >= 1, "{canary:?}");
}
