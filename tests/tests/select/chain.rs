//! A user's calls through four services: axum, tonic, axum and axum.

use std::{pin::Pin, task};

use axum::{Router, body::Body, extract::State, routing::get};
use canary_tests::{
    Answer, Client, Server,
    deployment::{release, serve},
    echo::proto::{
        self, Ask,
        echo_client::EchoClient,
        echo_server::{Echo, EchoServer},
    },
    final_counts,
    task_server::TaskServer,
};
use futures_util::Stream;
use http::{HeaderMap, HeaderName, Request};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tonic::{Response, Status, Streaming, service::Routes, transport::Endpoint};
use tower::{Layer as _, Service as _, ServiceExt as _};
use tower_canary::{
    Assignment, AssignmentReason, CanaryHandle, CanaryLayer, CanaryOptions, Channel, Propagate,
    PropagateLayer, Weight,
    axum::RouterExt as _,
    select::{Condition, Propagated, Select, Sticky},
};

use crate::shop::{BAGGAGE, HALF, USER, assignment_of, channel_of_key, get_with};

type GrpcClient = EchoClient<Propagate<tonic::transport::Channel>>;
type HttpClient = Propagate<legacy::Client<HttpConnector, Body>>;

/// A chain of services. Each has a canary named `shop` at 50%.
struct Chain {
    edge: Server,
    handles: [CanaryHandle; 4],
    _inner: (TaskServer, Server, Server),
}

impl Chain {
    async fn start() -> Self {
        let from_services = || Propagated::from_callers(Condition::any());

        let (last_layer, last) = layer(last(Channel::Canary), from_services());
        let last_server = Server::of_router(self::last(Channel::Stable).canary(last_layer));

        let client = Client::http1(&last_server);
        let (third_layer, third) = layer(third(Channel::Canary, &client), from_services());
        let app = self::third(Channel::Stable, &client).canary(third_layer);
        let third_server = Server::of_router(app);

        let next = format!("http://{}/", third_server.address());
        let canary = Relay::routes(Channel::Canary, next.clone());
        let (second_layer, second) = layer(canary, from_services());
        let stable = Relay::routes(Channel::Stable, next);
        let second_server = serve(stable, second_layer).await;

        let endpoint = Endpoint::from_shared(second_server.url("")).unwrap();
        let client = EchoClient::new(PropagateLayer.layer(endpoint.connect_lazy()));
        let policy = Sticky::by_header(USER);
        let (edge_layer, edge) = layer(edge(Channel::Canary, client.clone()), policy);
        let edge_server = Server::of_router(self::edge(Channel::Stable, client).canary(edge_layer));

        Self {
            edge: edge_server,
            handles: [edge, second, third, last],
            _inner: (second_server, third_server, last_server),
        }
    }
}

fn layer<C: 'static>(canary: C, policy: impl Select) -> (CanaryLayer<C>, CanaryHandle) {
    let options = CanaryOptions::new().canary_release("v2").select(policy);
    let layer = CanaryLayer::with_options("shop", canary, options);
    let handle = layer.handle();
    handle.set_weight(HALF).unwrap();
    (layer, handle)
}

/// The first service, which calls the second with tonic's generated client.
fn edge(channel: Channel, client: GrpcClient) -> Router {
    let handler = async move |State(mut client): State<GrpcClient>,
                              assignment: Assignment,
                              headers: HeaderMap| {
        let mut request = tonic::Request::new(Ask::default());
        for baggage in headers.get_all(BAGGAGE) {
            // Propagators of traces do the same.
            let value = baggage.to_str().unwrap().parse().unwrap();
            request.metadata_mut().append("baggage", value);
        }
        request.extensions_mut().insert(assignment.clone());
        let answer = client.unary(request).await.unwrap().into_inner();
        let baggage: Vec<_> = headers.get_all(BAGGAGE).iter().collect();
        format!(
            "{} {}\n{} {}\nbaggage: {baggage:?}\n",
            assignment.channel(),
            assignment.reason(),
            release(channel),
            answer.text
        )
    };
    Router::new().route("/", get(handler)).with_state(client)
}

/// The second service, which calls the third with hyper-util's client.
#[derive(Clone)]
struct Relay {
    channel: Channel,
    client: HttpClient,
    next: String,
}

impl Relay {
    fn routes(channel: Channel, next: String) -> Routes {
        let client = legacy::Client::builder(TokioExecutor::new()).build_http();
        let client = PropagateLayer.layer(client);
        Routes::new(EchoServer::new(Self { channel, client, next })).prepare()
    }
}

type NoAnswers = Pin<Box<dyn Stream<Item = Result<proto::Answer, Status>> + Send>>;

#[tonic::async_trait]
impl Echo for Relay {
    type ExpandStream = NoAnswers;
    type ChatStream = NoAnswers;

    async fn unary(&self, request: tonic::Request<Ask>) -> Result<Response<proto::Answer>, Status> {
        let assignment = request.extensions().get::<Assignment>().unwrap().clone();
        let mut next = Request::get(&self.next).body(Body::empty()).unwrap();
        next.extensions_mut().insert(assignment.clone());
        let mut client = self.client.clone();
        let response = client.ready().await.unwrap().call(next).await.unwrap();
        let body = axum::body::to_bytes(Body::new(response.into_body()), usize::MAX).await.unwrap();
        let text = format!("{} {}", release(self.channel), String::from_utf8_lossy(&body));
        let channel = assignment.channel().to_string();
        Ok(Response::new(proto::Answer { text, channel, release: release(self.channel).into() }))
    }

    async fn collect(
        &self,
        _: tonic::Request<Streaming<Ask>>,
    ) -> Result<Response<proto::Answer>, Status> {
        Err(Status::unimplemented("only unary calls are relayed"))
    }

    async fn expand(&self, _: tonic::Request<Ask>) -> Result<Response<NoAnswers>, Status> {
        Err(Status::unimplemented("only unary calls are relayed"))
    }

    async fn chat(&self, _: tonic::Request<Streaming<Ask>>) -> Result<Response<NoAnswers>, Status> {
        Err(Status::unimplemented("only unary calls are relayed"))
    }
}

/// The third service, which calls the last with a client that, like reqwest's, is not a Tower
/// service.
fn third(channel: Channel, client: &Client) -> Router {
    let client = client.clone();
    let handler = async move |assignment: Assignment| {
        let mut request = Request::get("/").body(Body::empty()).unwrap();
        assignment.propagate(request.headers_mut());
        let answer = client.ask(request).await;
        format!("{} {}", release(channel), answer.body)
    };
    Router::new().route("/", get(handler))
}

fn last(channel: Channel) -> Router {
    // The layer removes its member, so handlers do not see it.
    let handler = async move |headers: HeaderMap| {
        assert!(!headers.contains_key(BAGGAGE), "{headers:?}");
        release(channel)
    };
    Router::new().route("/", get(handler))
}

/// Returns the release of each service.
fn releases(answer: &Answer) -> Vec<&str> {
    answer.body.lines().nth(1).unwrap().split(' ').collect()
}

#[tokio::test]
async fn one_users_chain_stays_on_one_channel() {
    const USERS: u64 = 300;
    let chain = Chain::start().await;
    let client = Client::http1(&chain.edge);
    let mut on_canary = 0;
    for number in 0..USERS {
        let user = format!("user-{number}");
        let answer = get_with(&client, "/", &[(USER, &user)]).await;
        let channel = channel_of_key("shop:v2", &user, HALF);
        assert_eq!(assignment_of(&answer), (channel, "sticky"));
        assert_eq!(releases(&answer), [release(channel); 4], "{user}");
        on_canary += u64::from(channel == Channel::Canary);
    }
    assert!(on_canary > USERS / 3 && on_canary < USERS * 2 / 3, "{on_canary}");
    for inner in &chain.handles[1..] {
        let counts = final_counts(inner).await;
        assert_eq!(counts.excluded.stable.reasons[AssignmentReason::Propagated], USERS - on_canary);
        assert_eq!(counts.excluded.canary.reasons[AssignmentReason::Propagated], on_canary);
        assert_eq!(counts.evidence.stable.picked + counts.evidence.canary.picked, 0);
    }
}

#[tokio::test]
async fn the_edge_ignores_and_removes_the_baggage_of_outsiders() {
    let chain = Chain::start().await;
    for number in 0..40 {
        let user = format!("user-{number}");
        let channel = channel_of_key("shop:v2", &user, HALF);
        let other = if channel == Channel::Canary { "stable" } else { "canary" };
        let forged = format!("a=b,canary.shop={other};p=q,canary.stock={other}");
        let repeated = format!("canary.shop={other}");
        let headers = [(USER, &*user), (BAGGAGE, &*forged), (BAGGAGE, &*repeated)];
        for (version, client) in Client::of_each_version(&chain.edge) {
            let answer = get_with(&client, "/", &headers).await;
            assert_eq!(assignment_of(&answer), (channel, "sticky"), "{version}");
            assert_eq!(releases(&answer), [release(channel); 4], "{version}, {user}");
            assert!(answer.body.ends_with("baggage: [\"a=b\"]\n"), "{}", answer.body);
        }
    }
}

/// A service at weight zero uses stable, and so do the services behind it.
#[tokio::test]
async fn a_rollback_in_a_service_sends_the_rest_of_the_chain_to_stable() {
    let chain = Chain::start().await;
    let client = Client::http1(&chain.edge);
    chain.handles[0].set_weight(Weight::FULL).unwrap();
    chain.handles[2].roll_back();
    for number in 0..20 {
        let answer = get_with(&client, "/", &[(USER, &format!("user-{number}"))]).await;
        assert_eq!(releases(&answer), ["v2", "v2", "v1", "v1"]);
    }
}

/// Services and outsiders use the same port, and a closure distinguishes them.
#[tokio::test]
async fn only_the_baggage_of_trusted_callers_decides() {
    const TOKEN: HeaderName = HeaderName::from_static("x-internal-token");
    let policy = Propagated::from_callers(Condition::when(|request| {
        request.header(&TOKEN).is_some_and(|token| token == b"known to services only")
    }));
    let (layer, handle) = layer(crate::shop::version(), policy);
    handle.set_weight(Weight::from_ppm(1)).unwrap();
    let server = Server::of_router(crate::shop::version().canary(layer));
    for (_, client) in Client::of_each_version(&server) {
        let baggage = (BAGGAGE, "canary.shop=canary,a=b,canary.stock=canary");
        let inside = [(TOKEN, "known to services only"), baggage.clone()];
        let answer = get_with(&client, "/", &inside).await;
        assert_eq!(assignment_of(&answer), (Channel::Canary, "propagated"));
        assert_eq!(crate::shop::seen(&answer, &BAGGAGE), ["a=b,canary.stock=canary"]);
        for token in ["", "guessed"] {
            let answer = get_with(&client, "/", &[(TOKEN, token), baggage.clone()]).await;
            assert_eq!(assignment_of(&answer), (Channel::Stable, "random"));
            assert_eq!(crate::shop::seen(&answer, &BAGGAGE), ["a=b"]);
        }
    }
}

/// The layer propagates the channel that served the call.
#[tokio::test]
async fn a_call_that_spills_sends_the_rest_of_the_chain_to_stable() {
    #[derive(Clone)]
    struct NeverReady(Router);

    impl tower::Service<Request<Body>> for NeverReady {
        type Response = axum::response::Response;
        type Error = std::convert::Infallible;
        type Future = <Router as tower::Service<Request<Body>>>::Future;

        fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Self::Error>> {
            task::Poll::Pending
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            self.0.call(request)
        }
    }

    let (behind_layer, behind) =
        layer(last(Channel::Canary), Propagated::from_callers(Condition::any()));
    let behind_server = Server::of_router(last(Channel::Stable).canary(behind_layer));
    let client = Client::http1(&behind_server);
    let canary = NeverReady(third(Channel::Canary, &client));
    let (front_layer, front) = layer(canary, |_: &tower_canary::select::Incoming<'_>| {
        Some(tower_canary::select::Selection::always(Channel::Canary))
    });
    let app = front_layer.layer(third(Channel::Stable, &client));
    let front_server = Server::of_router(Router::new().fallback_service(app));

    let answer = Client::http1(&front_server).get("/").await;
    assert_eq!(answer.body, "v1 v1");
    assert_eq!(final_counts(&front).await.excluded.stable.reasons[AssignmentReason::Spilled], 1);
    assert_eq!(
        final_counts(&behind).await.excluded.stable.reasons[AssignmentReason::Propagated],
        1
    );
}
