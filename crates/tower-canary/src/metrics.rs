//! Publishes the counts through the [`metrics`](https://docs.rs/metrics) facade.
//!
//! A canary has its own counters and copies them to the facade. So a call costs the same with
//! metrics as without, and nothing is lost if a recorder is installed after the layer was built, or
//! if it drops idle series. The application determines *when* the counts are copied:
//!
//! - Before each scrape: call
//!   [`CanaryHandle::publish_metrics`](crate::CanaryHandle::publish_metrics) in the handler of
//!   `/metrics`, before the recorder renders. With several canaries or a mirror, call
//!   [`publish_all`].
//! - At an interval, for recorders that push or have their own listener: start a [`Publisher`].
//!
//! Each change of the weight or the mode also publishes, except for latencies.
//!
//! A new recorder gets all latencies since the start. Each publication adds at most 100,000 samples
//! per bucket, because exporters keep samples individually until their next upkeep. Recorders are
//! identified by their address: a recorder at the address of an earlier one, as in tests, gets only
//! new samples.
//!
//! ```
//! use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
//! use tower_canary::{CanaryLayer, metrics::buckets};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let prometheus = PrometheusBuilder::new()
//!     .set_buckets_for_metric(Matcher::Prefix("canary_".to_owned()), &buckets())?
//!     .install_recorder()?;
//!
//! # let v2 = tower::service_fn(|_: http::Request<()>| async {
//! #     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
//! # });
//! let canary = CanaryLayer::new("checkout", v2).handle();
//! let metrics = move || {
//!     canary.publish_metrics();
//!     prometheus.run_upkeep();
//!     prometheus.render()
//! };
//! assert!(metrics().contains(r#"canary_weight_ratio{canary="checkout"} 0"#));
//! # Ok(())
//! # }
//! ```
//!
//! # Notes on Prometheus
//!
//! - Without buckets the exporter renders a histogram as a summary, whose quantiles cannot be
//!   aggregated over replicas. Set [`buckets`], as above.
//! - The application must call the exporter's `run_upkeep`. Otherwise samples stay in memory until
//!   the next scrape.
//!
//! # Canaries of the same name
//!
//! Series are identified by the name of the canary. If a canary is dropped and another one with the
//! same name is created, for example in a reload, counters continue from their last values. While
//! two canaries of the same name exist, only the older one is published.

pub(crate) mod publish;
mod publisher;
mod table;

use canary_core::LatencyBucket;

pub(crate) use self::publish::{MetricsSubset, publish};
pub use self::{
    publish::publish_all,
    publisher::Publisher,
    table::{Metric, MetricKind, TABLE},
};

/// Returns the upper edges, in seconds, of the buckets in which latencies are counted.
///
/// A histogram with these buckets is exact. In other buckets, a sample counts as the midpoint of
/// its bucket here.
#[must_use]
pub fn buckets() -> Vec<f64> {
    LatencyBucket::all()
        .filter_map(LatencyBucket::upper_edge)
        .map(|edge| edge.as_secs_f64())
        .collect()
}
