//! The gRPC service `canary.v1.Control`, with health and reflection.

mod command;
mod convert;
mod public_stream;
mod service;
mod status;
mod watch;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use http::header;
use tonic::{service::Routes, transport::server::TcpConnectInfo};
use tower_http::csrf::{CsrfLayer, ProtectionError};

use self::{proto::control_server::ControlServer, service::ControlService};
use crate::{
    access::{authenticate, guard},
    problem::{ApiError, Kind},
    router::{catch_panics, foreign_origin},
    shared::Shared,
};

/// The messages and the server of `proto/canary/v1/control.proto`.
#[allow(
    missing_docs,
    unnameable_types,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::nursery,
    clippy::pedantic,
    clippy::restriction,
    reason = "it is generated"
)]
mod proto {
    tonic::include_proto!("canary.v1");
}

/// The definitions of all services, for reflection.
const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/control.bin"));

/// Creates the routes. A call passes the layers from the last one to the first.
pub(crate) fn routes(shared: &Arc<Shared>) -> Routes {
    let control = ControlServer::new(ControlService::new(Arc::clone(shared)))
        .max_decoding_message_size(MAX_MESSAGE_BYTES);
    let (health, health_server) = tonic_health::server::health_reporter();
    // No other task has the reporter yet, so it is ready at once.
    let _ = health.set_serving::<ControlServer<ControlService>>().now_or_never();
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    const COMPILED: &str = "the descriptors are compiled";
    let routes = Routes::new(control)
        .add_service(health_server)
        .add_service(reflection().build_v1().expect(COMPILED))
        // Many clients know the older version only.
        .add_service(reflection().build_v1alpha().expect(COMPILED));
    let router = routes
        .into_axum_router()
        // An application that merges the routes has its own.
        .reset_fallback()
        // Within the authentication, so that the audit log names the operator.
        .layer(catch_panics())
        .layer(middleware::from_fn_with_state(Arc::clone(shared), authenticate_control))
        .layer(
            CsrfLayer::new()
                .with_rejection_response(|error: ProtectionError| foreign_origin(&error)),
        )
        .layer(middleware::from_fn_with_state(Arc::clone(shared), guard))
        .layer(middleware::from_fn(check_content_type))
        .layer(middleware::from_fn(name_peer))
        .layer(catch_panics())
        .layer(middleware::from_fn_with_state(Arc::clone(shared), status::translate));
    Routes::from(router)
}

/// Health and reflection have no data of rollouts, as `healthz` and `openapi.json` of the HTTP API.
async fn authenticate_control(
    shared: State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    match request.uri().path() {
        path if path.starts_with("/canary.v1.Control/") => {
            authenticate(shared, request, next).await
        }
        // Never limited, because an orchestrator ends a process that does not answer.
        "/grpc.health.v1.Health/Check" => next.run(request).await,
        _ => public_stream::limit(shared, request, next).await,
    }
}

/// Refuses the media types that a website can send without being asked first.
async fn check_content_type(request: Request, next: Next) -> Response {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type == GRPC || content_type.strip_prefix(GRPC).is_some_and(|it| it.starts_with('+'))
    {
        return next.run(request).await;
    }
    let error = ApiError::new(Kind::MediaType, "the call is not gRPC");
    error.field("content-type", content_type, GRPC).into_response()
}

/// Makes the address of the caller known if tonic serves the routes, as axum does.
async fn name_peer(mut request: Request, next: Next) -> Response {
    let extensions = request.extensions_mut();
    if extensions.get::<ConnectInfo<SocketAddr>>().is_none() {
        let peer = extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
        if let Some(peer) = peer {
            extensions.insert(ConnectInfo(peer));
        }
    }
    next.run(request).await
}

const GRPC: &str = "application/grpc";

/// As much as the body of an HTTP request.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;
