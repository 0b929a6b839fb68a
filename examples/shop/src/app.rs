//! The router of the process: both versions behind the canary layer, metrics, and the API and page for operators.

use axum::{Router, routing::get};
use canary_admin::Admin;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tower_canary::{
    CanaryLayer,
    axum::RouterExt as _,
    metrics::{buckets, publish_all},
};

pub(crate) fn install_prometheus() -> anyhow::Result<PrometheusHandle> {
    let canary_metrics = Matcher::Prefix("canary_".to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(canary_metrics, &buckets())?;
    Ok(builder.install_recorder()?)
}

pub(crate) fn router(
    v1: Router,
    canary: CanaryLayer<Router>,
    prometheus: PrometheusHandle,
    admin: &Admin,
) -> Router {
    let metrics = metrics_route(prometheus);
    // The paths of gRPC begin with the name of the service, so it is not nested.
    let grpc_api = admin.grpc_routes().into_axum_router();
    v1.canary(canary).merge(metrics).merge(grpc_api).nest_service("/canary", admin.router())
}

fn metrics_route(prometheus: PrometheusHandle) -> Router {
    let render = move || async move {
        publish_all();
        prometheus.run_upkeep();
        prometheus.render()
    };
    // Both paths bypass the canary.
    Router::new().route("/metrics", get(render)).route("/healthz", get(async || ()))
}
