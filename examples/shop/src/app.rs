//! The router of the process: both versions behind the canary layer, metrics and control routes.

use axum::{Router, routing::get};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tower_canary::{CanaryHandle, CanaryLayer, axum::RouterExt as _, metrics::buckets};

use crate::{
    control,
    rollout::{self, Rollout},
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
    rollout: Option<&Rollout>,
) -> Router {
    let handle = canary.handle();
    let metrics = metrics_route(handle.clone(), prometheus);
    let controls = match rollout {
        Some(rollout) => {
            let admin = rollout.admin().router();
            rollout::routes(rollout.handle()).nest_service("/canary", admin)
        }
        None => control::router(handle),
    };
    v1.canary(canary).merge(metrics).merge(controls)
}

fn metrics_route(canary: CanaryHandle, prometheus: PrometheusHandle) -> Router {
    let render = move || async move {
        canary.publish_metrics();
        prometheus.run_upkeep();
        prometheus.render()
    };
    Router::new().route("/metrics", get(render))
}
