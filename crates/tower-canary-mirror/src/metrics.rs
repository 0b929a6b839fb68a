//! The metrics of mirrors.

use std::{
    collections::BTreeMap,
    ptr,
    sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak},
};

use canary_core::{CanaryName, Channel, Latencies, PerChannel};

use tower_canary::{
    internal::{Writer, published_to},
    metrics::{Metric, MetricKind},
};

use crate::{DropReason, MirrorCounts, state::Mirror};

/// All metrics that a mirror publishes.
pub const TABLE: &[Metric] =
    &[MIRRORED, MIRROR_DROPPED, MIRROR_IN_FLIGHT, MIRROR_SHARE, MIRROR_HEAD];

/// Publishes a new mirror, and lets `tower_canary::metrics::publish_all` publish it from now on.
pub(crate) fn register(mirror: &Arc<Mirror>) {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| tower_canary::internal::add_publisher(publish_all));
    publish(mirror);
}

fn publish_all() {
    let owners: Vec<_> = series().values().filter_map(|series| series.owner.upgrade()).collect();
    for mirror in owners {
        publish(&mirror);
    }
}

/// Copies the counts of a mirror to the recorder in force.
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
        #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 calls in flight")]
        writer.set(&MIRROR_IN_FLIGHT, &[], series.counted.in_flight() as f64);
        write_counts(&writer, &sum);
        for channel in Channel::ALL {
            let label = [channel.as_str()];
            writer.sample(&MIRROR_HEAD, &label, &sum.head[channel], &mut published[channel]);
        }
    });
}

/// Writes every series, those at zero among them.
fn write_counts(writer: &Writer<'_>, counts: &MirrorCounts) {
    for (result, total) in [
        ("matched", counts.matched - counts.matched_but_noise),
        ("noise", counts.matched_but_noise),
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

/// The series of all mirrors that were ever published, by name.
fn series() -> MutexGuard<'static, BTreeMap<CanaryName, Series>> {
    static SERIES: Mutex<BTreeMap<CanaryName, Series>> = Mutex::new(BTreeMap::new());
    SERIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What has been published under one name.
#[derive(Default)]
struct Series {
    owner: Weak<Mirror>,
    /// What earlier owners of the name counted.
    before: MirrorCounts,
    /// What the owner had counted when it was last published.
    counted: MirrorCounts,
    /// The latencies that each recorder has got, by the recorder's address.
    recorders: Vec<(usize, PerChannel<Latencies>)>,
}

const MIRRORED: Metric = Metric {
    name: "canary_mirrored_total",
    kind: MetricKind::Counter,
    unit: "calls",
    labels: &["canary", "result"],
    help: "Calls of stable that were copied to the canary, by what came of the copy",
};
const MIRROR_DROPPED: Metric = Metric {
    name: "canary_mirror_dropped_total",
    kind: MetricKind::Counter,
    unit: "calls",
    labels: &["canary", "reason"],
    help: "Copies that came to nothing, by the reason",
};
const MIRROR_IN_FLIGHT: Metric = Metric {
    name: "canary_mirror_in_flight",
    kind: MetricKind::Gauge,
    unit: "calls",
    labels: &["canary"],
    help: "Copies that are being made, wait, or are at the canary",
};
const MIRROR_SHARE: Metric = Metric {
    name: "canary_mirror_share_ratio",
    kind: MetricKind::Gauge,
    unit: "ratio",
    labels: &["canary"],
    help: "Share of calls that is to be copied, of those that may be",
};
const MIRROR_HEAD: Metric = Metric {
    name: "canary_mirror_head_seconds",
    kind: MetricKind::Histogram,
    unit: "seconds",
    labels: &["canary", "channel"],
    help: "Time to the head of the answer, of copied calls that both channels answered",
};
