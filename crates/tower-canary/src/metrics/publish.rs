use std::{
    collections::BTreeMap,
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use canary_core::{
    Age, AssignmentReason, CanaryName, Channel, Counts, EventName, Latencies, LatencyBucket,
    Outcome, PerChannel, Rating, Ratings, RatingsByWeight, Snapshot,
};
use metrics::{Key, Label, Level, Metadata, Recorder, Unit};

use crate::{
    config::canary_config::CanaryConfig,
    control::state::{ControlState, SplitMode},
    metrics::table::{
        ASSIGNED, CANCELLED_AFTER_TAG, CLIENT_MADE, DECISION_AGE, DURATION, EVENT_RATINGS,
        FELL_BACK, HEAD, IN_FLIGHT, LARGEST_KEY, MODE, Metric, MetricKind, PANICS, RATINGS,
        RELEASE, REQUESTS, SHARE, SHED, SPILLED, TABLE, TIMED_OUT, UNANSWERED, WEIGHT,
    },
};

/// Publishes the metrics of all canaries and mirrors of this process.
pub fn publish_all() {
    let owners: Vec<_> = series().values().filter_map(|series| series.owner.upgrade()).collect();
    for control in owners {
        publish(&control, MetricsSubset::All);
    }
    let publishers = publishers().clone();
    publishers.into_iter().for_each(|publish| publish());
}

/// Makes [`publish_all`] call `publish` as well.
pub fn add_publisher(publish: fn()) {
    publishers().push(publish);
}

fn publishers() -> MutexGuard<'static, Vec<fn()>> {
    static PUBLISHERS: Mutex<Vec<fn()>> = Mutex::new(Vec::new());
    PUBLISHERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The metrics to publish.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum MetricsSubset {
    All,
    /// Without latencies. There can be many samples, and a rollback must not wait for them.
    WithoutLatencies,
}

/// Copies the counts of a canary to the current recorder.
pub(crate) fn publish(control: &Arc<ControlState>, subset: MetricsSubset) {
    let mut all = series();
    let series = all.entry(control.config().name.clone()).or_default();
    if !series.is_owned_by(control) {
        if series.owner.strong_count() > 0 {
            return;
        }
        series.hand_over_to(control);
    }
    let snapshot = control.snapshot();
    series.counted = snapshot.total();
    let mut sum = series.before.clone();
    sum.merge(&series.counted);
    series.rated = snapshot.ratings.clone();
    let mut ratings = series.rated_before.clone();
    ratings.merge(&series.rated);
    let (mode, decided) = control.with(|history, _| (history.mode.clone(), history.last_decision));
    let callers = control.callers();
    metrics::with_recorder(|recorder| {
        let writer = Writer { recorder, name: control.config().name.as_str() };
        let published = published_to(&mut series.recorders, recorder, || writer.describe(TABLE));
        writer.write_state(&snapshot, &mode);
        writer.set(&LARGEST_KEY, &[], callers.largest_part().unwrap_or(0.0));
        writer.write_releases(control.config());
        writer.write_counts(&sum);
        if let Some(decided) = decided {
            writer.set(&DECISION_AGE, &[], decided.elapsed().as_secs_f64());
        }
        writer.write_ratings(&ratings);
        writer.write_in_flight(&series.counted);
        if subset == MetricsSubset::All {
            writer.write_samples(&sum, published);
        }
    });
}

/// Returns the published state of all canaries, by name.
fn series() -> MutexGuard<'static, BTreeMap<CanaryName, Series>> {
    static SERIES: Mutex<BTreeMap<CanaryName, Series>> = Mutex::new(BTreeMap::new());
    SERIES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state of the series with one canary name.
#[derive(Default)]
struct Series {
    owner: Weak<ControlState>,
    /// The counts of earlier canaries of this name.
    before: Counts,
    /// The counts of the owner when it was last published.
    counted: Counts,
    /// The ratings of earlier canaries of this name.
    rated_before: Ratings,
    /// The ratings of the owner when it was last published.
    rated: Ratings,
    /// The latencies that each recorder has received, by the recorder's address. There is usually
    /// one.
    recorders: Vec<(usize, PerChannel<RecordedLatencies>)>,
}

/// The latencies that a recorder has received.
#[derive(Default)]
struct RecordedLatencies {
    head: Latencies,
    end: Latencies,
}

impl Series {
    fn is_owned_by(&self, control: &Arc<ControlState>) -> bool {
        ptr::eq(self.owner.as_ptr(), Arc::as_ptr(control))
    }

    fn hand_over_to(&mut self, control: &Arc<ControlState>) {
        self.before.merge(&self.counted);
        self.counted = Counts::default();
        self.rated_before.merge(&self.rated);
        self.rated = Ratings::default();
        self.owner = Arc::downgrade(control);
    }
}

/// Returns the state for this recorder, after calling `new` if the recorder is new.
///
/// Counters are set to their totals, whatever the recorder had before. Histograms can only be added
/// to, so the samples that each recorder has received are remembered. A new recorder gets all
/// samples.
pub fn published_to<'a, T: Default>(
    recorders: &'a mut Vec<(usize, T)>,
    recorder: &dyn Recorder,
    new: impl FnOnce(),
) -> &'a mut T {
    let address = ptr::from_ref(recorder).addr();
    let known = recorders.iter().position(|(known, _)| *known == address);
    let index = known.unwrap_or_else(|| {
        new();
        if recorders.len() == MAX_RECORDERS {
            recorders.remove(0);
        }
        recorders.push((address, T::default()));
        recorders.len() - 1
    });
    &mut recorders[index].1
}

/// Writes the series of one canary or mirror to a recorder.
#[expect(missing_debug_implementations, reason = "a recorder has no `Debug`")]
#[expect(clippy::exhaustive_structs, reason = "two crates construct it")]
pub struct Writer<'a> {
    /// The recorder to write to.
    pub recorder: &'a dyn Recorder,
    /// The name of the canary or the mirror.
    pub name: &'a str,
}

impl Writer<'_> {
    /// Describes the metrics of `table`.
    pub fn describe(&self, table: &[Metric]) {
        for Metric { name, kind, unit, labels: _, help } in table {
            let unit = match *unit {
                "seconds" => Some(Unit::Seconds),
                "calls" | "ratings" => Some(Unit::Count),
                _ => None,
            };
            let (name, help) = ((*name).into(), (*help).into());
            match kind {
                MetricKind::Counter => self.recorder.describe_counter(name, unit, help),
                MetricKind::Gauge => self.recorder.describe_gauge(name, unit, help),
                MetricKind::Histogram => self.recorder.describe_histogram(name, unit, help),
            }
        }
    }

    fn write_state(&self, snapshot: &Snapshot, mode: &SplitMode) {
        if let Some(epoch) = snapshot.current() {
            self.set(&WEIGHT, &[], epoch.weight.ratio());
            self.set(&SHARE, &[], epoch.counts.share().unwrap_or(0.0));
        }
        for (name, is_current) in [
            ("splitting", matches!(mode, SplitMode::Splitting)),
            ("promoted", matches!(mode, SplitMode::Promoted)),
            ("halted", matches!(mode, SplitMode::Halted { .. })),
        ] {
            self.set(&MODE, &[name], f64::from(u8::from(is_current)));
        }
    }

    fn write_releases(&self, config: &CanaryConfig) {
        for channel in Channel::ALL {
            if let Some(release) = &config.releases[channel] {
                self.set(&RELEASE, &[channel.as_str(), release.as_str()], 1.0);
            }
        }
    }

    /// Writes every series, including those at zero: `rate` in Prometheus ignores the first value
    /// of a new series.
    fn write_counts(&self, counts: &Counts) {
        let canary = counts.total(Channel::Canary);
        self.count(&SPILLED, &[], canary.spilled);
        self.count(&SHED, &[], canary.shed);
        self.count(&FELL_BACK, &[], canary.fell_back);
        for channel in Channel::ALL {
            let total = counts.total(channel);
            let label = channel.as_str();
            for outcome in Outcome::ALL {
                self.count(&REQUESTS, &[label, outcome.as_str()], total.outcome(outcome));
            }
            self.count(&CLIENT_MADE, &[label], total.client_made);
            self.count(&CANCELLED_AFTER_TAG, &[label], total.cancelled_after_tag);
            for reason in AssignmentReason::ALL {
                self.count(&ASSIGNED, &[label, reason.as_str()], total.reasons[reason]);
            }
            self.count(&PANICS, &[label], total.panicked);
            self.count(&TIMED_OUT, &[label], total.timed_out);
            for age in Age::ALL {
                self.count(&UNANSWERED, &[label, age.as_str()], total.unanswered[age]);
            }
        }
    }

    fn write_ratings(&self, ratings: &Ratings) {
        self.write_rated(&RATINGS, None, &ratings.feedback);
        for (event, rated) in ratings.events() {
            self.write_rated(&EVENT_RATINGS, Some(event), rated);
        }
    }

    fn write_rated(&self, metric: &Metric, event: Option<&EventName>, rated: &RatingsByWeight) {
        for channel in Channel::ALL {
            let total = rated.total(channel);
            for rating in Rating::ALL {
                let labels = [channel.as_str()].into_iter().chain(event.map(EventName::as_str));
                let labels: Vec<_> = labels.chain([rating.as_str()]).collect();
                self.count(metric, &labels, total.rated(rating));
            }
        }
    }

    fn write_samples(&self, counts: &Counts, published: &mut PerChannel<RecordedLatencies>) {
        for channel in Channel::ALL {
            let (label, total) = (channel.as_str(), counts.total(channel));
            let RecordedLatencies { head, end } = &mut published[channel];
            self.sample(&DURATION, &[label], &total.end, end);
            self.sample(&HEAD, &[label], &total.head, head);
        }
    }

    fn write_in_flight(&self, counts: &Counts) {
        for channel in Channel::ALL {
            #[expect(
                clippy::cast_precision_loss,
                reason = "there are less than 2^53 calls in flight"
            )]
            let in_flight = counts.total(channel).in_flight() as f64;
            self.set(&IN_FLIGHT, &[channel.as_str()], in_flight);
        }
    }

    /// Sets a counter to `total`.
    pub fn count(&self, metric: &Metric, labels: &[&str], total: u64) {
        self.recorder.register_counter(&self.key(metric, labels), &METADATA).absolute(total);
    }

    /// Sets a gauge to `value`.
    pub fn set(&self, metric: &Metric, labels: &[&str], value: f64) {
        self.recorder.register_gauge(&self.key(metric, labels), &METADATA).set(value);
    }

    /// Adds samples that the recorder has not received, up to a limit per bucket.
    pub fn sample(&self, metric: &Metric, labels: &[&str], now: &Latencies, sent: &mut Latencies) {
        let histogram = self.recorder.register_histogram(&self.key(metric, labels), &METADATA);
        for bucket in LatencyBucket::all() {
            let new = now.calls(bucket).saturating_sub(sent.calls(bucket)).min(MAX_SAMPLES);
            if let (1.., Ok(samples)) = (new, usize::try_from(new)) {
                histogram.record_many(bucket.midpoint().as_secs_f64(), samples);
                sent.add(bucket, new);
            }
        }
    }

    /// Returns the key of a series: the metric with a value for each label, the canary's name
    /// first.
    fn key(&self, metric: &Metric, values: &[&str]) -> Key {
        let values = std::iter::once(self.name).chain(values.iter().copied());
        let labels = metric.labels.iter().zip(values);
        let labels: Vec<_> =
            labels.map(|(label, value)| Label::new(*label, value.to_owned())).collect();
        Key::from_parts(metric.name, labels)
    }
}

static METADATA: Metadata<'static> =
    Metadata::new("tower_canary", Level::INFO, Some("tower_canary"));
/// The maximum number of samples per bucket and publication, because exporters keep samples
/// individually until their next upkeep. The rest follows with the next publications.
const MAX_SAMPLES: u64 = 100_000;
/// More recorders than a process uses. A recorder that is dropped from the list would get samples
/// twice.
const MAX_RECORDERS: usize = 16;
