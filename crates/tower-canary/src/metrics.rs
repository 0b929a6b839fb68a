//! Publishes the counts through the [`metrics`](https://docs.rs/metrics) facade.
//!
//! The counters of a canary are its own; the facade gets copies of them. So nothing is lost when a recorder
//! is installed after the layer was built, or forgets what was idle for long, and a call costs the same
//! with metrics as without. What has to be said is *when* to copy:
//!
//! - before a scrape is answered: [`CanaryHandle::publish_metrics`](crate::CanaryHandle::publish_metrics)
//!   in the handler of `/metrics`, before the recorder renders, or [`publish_all`] if there are
//!   several canaries or a mirror;
//! - from time to time, for recorders that push or have a listener of their own: [`Publisher`].
//!
//! Each change of the weight or mode publishes too, all but the latencies.
//!
//! A recorder that comes late gets the latencies from the start, some 100,000 of a bucket with each
//! publication, since exporters keep them one by one until their next upkeep. Recorders are told apart by
//! their address: one that takes the place of another in memory, as in tests, gets what is new.
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
//! # Two traps of Prometheus
//!
//! Without buckets the exporter renders a histogram as a summary, whose quantiles cannot be added up over
//! replicas: set [`buckets`], as above. And somebody must call the exporter's `run_upkeep`, or samples
//! stay in memory until the next scrape.
//!
//! # Names are unique
//!
//! A series belongs to a canary's name. When a canary is dropped and another of the same name made (a
//! reload), counters go on from where they were. While two of the same name are alive, only the older is
//! published.

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

/// The upper edges, in seconds, of the buckets in which latencies are counted.
///
/// With these as buckets of a histogram its counts are exact; with any others, samples fall to one side
/// of an edge by the middle of the bucket they were counted in.
#[must_use]
pub fn buckets() -> Vec<f64> {
    LatencyBucket::all()
        .filter_map(LatencyBucket::upper_edge)
        .map(|edge| edge.as_secs_f64())
        .collect()
}
