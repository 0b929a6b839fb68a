//! The metrics of mirrors.
//!
//! [`tower_canary::metrics::publish_all`] and [`Publisher`](tower_canary::metrics::Publisher)
//! publish every mirror of the process together with its canaries.
//! [`MirrorHandle::publish_metrics`](crate::MirrorHandle::publish_metrics) publishes one mirror.
//! The module [`tower_canary::metrics`] describes recorders, histogram buckets and the uniqueness
//! of names.
//!
//! ```
//! use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
//! use tower_canary::metrics::{buckets, publish_all};
//! use tower_canary_mirror::MirrorLayer;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let prometheus = PrometheusBuilder::new()
//!     .set_buckets_for_metric(Matcher::Prefix("canary_".to_owned()), &buckets())?
//!     .install_recorder()?;
//!
//! # let v2 = ();
//! let layer = MirrorLayer::new("shop", v2);
//! let metrics = move || {
//!     publish_all();
//!     prometheus.run_upkeep();
//!     prometheus.render()
//! };
//! assert!(metrics().contains(r#"canary_mirror_share_ratio{canary="shop"} 0"#));
//! # drop(layer);
//! # Ok(())
//! # }
//! ```

use std::{
    collections::BTreeMap,
    ptr,
    sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak},
};

use canary_core::{CanaryName, Channel, Latencies, PerChannel};
use tower_canary::{
    internal::{Writer, add_publisher, published_to},
    metrics::{Metric, MetricKind},
};

use crate::{
    findings::counts::{DropReason, MirrorCounts},
    mirror::Mirror,
};

/// All metrics that a mirror publishes.
pub const TABLE: &[Metric] =
    &[MIRRORED, MIRROR_DROPPED, MIRROR_IN_FLIGHT, MIRROR_SHARE, MIRROR_HEAD];

/// Publishes a new mirror and makes `publish_all` of `tower-canary` publish it as well.
pub(crate) fn register(mirror: &Arc<Mirror>) {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| add_publisher(publish_all));
    publish(mirror);
}

fn publish_all() {
    let owners: Vec<_> = series().values().filter_map(|series| series.owner.upgrade()).collect();
    for mirror in owners {
        publish(&mirror);
    }
}

/// Copies the counts of a mirror to the current recorder.
pub(crate) fn publish(mirror: &Arc<Mirror>) {
    let mut all = series();
    let series = all.entry(mirror.name.clone()).or_default();
    if !ptr::eq(series.owner.as_ptr(), Arc::as_ptr(mirror)) {
        if series.owner.strong_count() > 0 {
            return;
        }
        let counted = std::mem::take(&mut series.counted);
        series.before.merge(&counted);
        series.owner = Arc::downgrade(mirror);
    }
    series.counted = mirror.counts();
    let mut sum = series.before.clone();
    sum.merge(&series.counted);
    metrics::with_recorder(|recorder| {
        let writer = Writer { recorder, name: mirror.name.as_str() };
        let published = published_to(&mut series.recorders, recorder, || writer.describe(TABLE));
        writer.set(&MIRROR_SHARE, &[], mirror.share.get().ratio());
        #[expect(
            clippy::cast_precision_loss,
            reason = "the number of requests in flight stays far below 2^53"
        )]
        writer.set(&MIRROR_IN_FLIGHT, &[], series.counted.in_flight() as f64);
        write_counts(&writer, &sum);
        for channel in Channel::ALL {
            let label = [channel.as_str()];
            writer.sample(&MIRROR_HEAD, &label, &sum.head[channel], &mut published[channel]);
        }
    });
}

/// Writes all series, including those at zero.
fn write_counts(writer: &Writer<'_>, counts: &MirrorCounts) {
    for (result, total) in [
        ("matched", counts.matched - counts.matched_with_noise),
        ("noise", counts.matched_with_noise),
        ("mismatched", counts.mismatched),
        ("not_compared", counts.not_compared),
        ("failed", counts.failed),
        ("timed_out", counts.timed_out),
        ("dropped", counts.dropped.total()),
    ] {
        writer.count(&MIRRORED, &[result], total);
    }
    for reason in DropReason::ALL {
        writer.count(&MIRROR_DROPPED, &[reason.as_str()], counts.dropped[reason]);
    }
}

/// Returns the published state of all mirrors, by name.
fn series() -> MutexGuard<'static, BTreeMap<CanaryName, Series>> {
    static SERIES: Mutex<BTreeMap<CanaryName, Series>> = Mutex::new(BTreeMap::new());
    SERIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state of the series with one mirror name.
#[derive(Default)]
struct Series {
    owner: Weak<Mirror>,
    /// The counts of earlier mirrors of this name.
    before: MirrorCounts,
    /// The counts of the owner when it was last published.
    counted: MirrorCounts,
    /// The latencies that each recorder has received, by the recorder's address.
    recorders: Vec<(usize, PerChannel<Latencies>)>,
}

const MIRRORED: Metric = Metric {
    name: "canary_mirrored_total",
    kind: MetricKind::Counter,
    unit: "calls",
    labels: &["canary", "result"],
    help: "Mirrored requests, by result",
};
const MIRROR_DROPPED: Metric = Metric {
    name: "canary_mirror_dropped_total",
    kind: MetricKind::Counter,
    unit: "calls",
    labels: &["canary", "reason"],
    help: "Mirrored requests without a result of the canary, by reason",
};
const MIRROR_IN_FLIGHT: Metric = Metric {
    name: "canary_mirror_in_flight",
    kind: MetricKind::Gauge,
    unit: "calls",
    labels: &["canary"],
    help: "Mirrored requests that have no result yet",
};
const MIRROR_SHARE: Metric = Metric {
    name: "canary_mirror_share_ratio",
    kind: MetricKind::Gauge,
    unit: "ratio",
    labels: &["canary"],
    help: "Share of the eligible requests to mirror",
};
const MIRROR_HEAD: Metric = Metric {
    name: "canary_mirror_head_seconds",
    kind: MetricKind::Histogram,
    unit: "seconds",
    labels: &["canary", "channel"],
    help: "Time to the response head, of mirrored requests that both channels answered",
};
