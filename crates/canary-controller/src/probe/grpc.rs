use std::task::{Context, Poll};

use canary_rollout::plan::GrpcHealthProbe;
use http::{Response, Uri};
use tonic::{
    Code, Status,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tower_service::Service;

use super::{
    PROBE_HEADER,
    body::ProbeBody,
    target::{ProbeFuture, ProbeTarget},
};
use crate::{BoxError, USER_AGENT, error_chain};

/// Runs a gRPC health probe. The error is the reason of the failure.
pub(super) async fn probe(target: ProbeTarget, health: GrpcHealthProbe) -> Result<(), String> {
    let name = name(&health);
    let mut request = tonic::Request::new(HealthCheckRequest { service: health.service });
    request.metadata_mut().insert(PROBE_HEADER, MetadataValue::from_static("1"));
    let response = match target.url.clone() {
        None => {
            let origin = Uri::from_static("http://canary");
            HealthClient::with_origin(InProcess(target), origin).check(request).await
        }
        Some(url) => {
            let channel = connect(url).await;
            let channel = channel.map_err(|error| format!("{name} got no response: {error}"))?;
            HealthClient::new(channel).check(request).await
        }
    };
    let status = response.map_err(|status| failed(&name, &status))?.into_inner().status();
    match status {
        ServingStatus::Serving => Ok(()),
        other => Err(format!("{name} is {}, expected SERVING", other.as_str_name())),
    }
}

/// Returns the probe's name in messages, such as `health of "shop.Cart"`.
pub(super) fn name(GrpcHealthProbe { service, .. }: &GrpcHealthProbe) -> String {
    if service.is_empty() {
        "health of the server".to_owned()
    } else {
        format!("health of {service:?}")
    }
}

fn failed(name: &str, status: &Status) -> String {
    match status.code() {
        Code::Unimplemented => {
            format!("{name} is unknown: the canary does not implement grpc.health.v1.Health")
        }
        Code::NotFound => format!("{name} is unknown: the health service has no such service"),
        code => {
            let reason = match std::error::Error::source(status) {
                Some(cause) => error_chain::with_causes(cause),
                None => status.message().to_owned(),
            };
            format!("{name} got {code:?}, expected SERVING: {reason}")
        }
    }
}

async fn connect(url: Uri) -> Result<Channel, String> {
    let endpoint = Endpoint::from(url).user_agent(USER_AGENT);
    #[cfg(feature = "webhook")]
    let endpoint = endpoint.and_then(|endpoint| {
        let is_https = endpoint.uri().scheme_str() == Some("https");
        let tls = tonic::transport::ClientTlsConfig::new().with_enabled_roots();
        if is_https { endpoint.tls_config(tls) } else { Ok(endpoint) }
    });
    let endpoint = endpoint.map_err(|error| error_chain::with_causes(&error))?;
    endpoint.connect().await.map_err(|error| error_chain::with_causes(&error))
}

/// Adapts the canary to the service type of the health client.
#[derive(Clone)]
struct InProcess(ProbeTarget);

impl Service<http::Request<tonic::body::Body>> for InProcess {
    type Response = Response<ProbeBody>;
    type Error = BoxError;
    type Future = ProbeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // `call` waits for the target to be ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> ProbeFuture {
        self.0.call(request.map(ProbeBody::new))
    }
}
