//! The serialized form of judgments, for event logs and dashboards.

use std::time::Duration;

use canary_core::{Channel, PerChannel, Verdict};
use serde::{Serialize, Serializer};

use crate::{
    finding::{Finding, GoodBy, Split, Strength},
    interval::RatioInterval,
    judge::Judgment,
    margins::Margins,
    monitor::{Measure, Role, Unit},
};

impl Serialize for Judgment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct SerializedJudgment<'a> {
            verdict: &'static str,
            sentence: String,
            /// The monitor that determined the verdict.
            decisive: Option<&'a str>,
            findings: &'a [Finding],
            unused: Vec<String>,
        }
        let serialized = SerializedJudgment {
            verdict: self.verdict.as_str(),
            sentence: self.to_string(),
            decisive: self.decisive().map(|finding| finding.monitor.as_str()),
            findings: &self.findings,
            unused: self.unused.iter().map(ToString::to_string).collect(),
        };
        serialized.serialize(serializer)
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct SerializedFinding<'a> {
            monitor: &'a str,
            measure: &'a Measure,
            class: Option<&'a str>,
            unit: Unit,
            role: Role,
            starting_step: usize,
            waits_for_step: Option<usize>,
            verdict: &'static str,
            sentence: String,
            margins: Margins,
            basis: Channels<u64>,
            calls: Channels<u64>,
            adverse: Channels<u64>,
            unanswered: Channels<u64>,
            rate: Channels<Option<f64>>,
            stable_rate_at_canary_weights: Option<f64>,
            ratio: RatioInterval,
            worse: Strength,
            good: Option<Strength>,
            good_by: Option<GoodBy>,
            missing_calls: Option<u64>,
            warm_up_left_s: Option<f64>,
            second_proof: Option<Strength>,
            not_healthy_reason: Option<String>,
            split: Option<Split>,
            slow_limit_ms: Option<f64>,
            stable_slow_limit_ms: Option<f64>,
            age_s: Option<u64>,
            refused_keys: u64,
            impossible: u64,
        }
        let Self { monitor, role, verdict, calls, adverse, unanswered, ratio, worse, good, .. } =
            self;
        let Self {
            measure,
            class,
            unit,
            margins,
            basis,
            good_by,
            second_proof,
            missing_calls,
            age,
            ..
        } = self;
        let Self { not_healthy_reason, split, slow_limit, refused_keys, impossible, .. } = self;
        let millis = |limit: Duration| 1e3 * limit.as_secs_f64();
        let serialized = SerializedFinding {
            monitor,
            measure,
            class: class.as_deref(),
            unit: *unit,
            role: *role,
            starting_step: self.starting_step,
            waits_for_step: self.waits_for_step,
            verdict: Verdict::as_str(*verdict),
            sentence: self.to_string(),
            margins: *margins,
            basis: Channels::of(*basis),
            calls: Channels::of(*calls),
            adverse: Channels::of(*adverse),
            unanswered: Channels::of(*unanswered),
            rate: Channels::of(PerChannel::from_fn(|channel: Channel| self.rate(channel))),
            stable_rate_at_canary_weights: self.stable_rate_at_canary_weights,
            ratio: *ratio,
            worse: *worse,
            good: *good,
            good_by: *good_by,
            missing_calls: *missing_calls,
            warm_up_left_s: self.warm_up_left.map(|left| left.as_secs_f64()),
            second_proof: *second_proof,
            not_healthy_reason: not_healthy_reason.as_ref().map(ToString::to_string),
            split: *split,
            slow_limit_ms: slow_limit.map(millis),
            stable_slow_limit_ms: self.stable_slow_limit.map(millis),
            age_s: age.map(|age| age.duration().as_secs()),
            refused_keys: *refused_keys,
            impossible: *impossible,
        };
        serialized.serialize(serializer)
    }
}

impl Serialize for Strength {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct SerializedStrength {
            log_e: f64,
            threshold: f64,
            e_value: f64,
            needed: f64,
        }
        let Self { log_e, threshold } = *self;
        let (e_value, needed) = (self.e_value(), self.needed());
        SerializedStrength { log_e, threshold, e_value, needed }.serialize(serializer)
    }
}

/// A [`PerChannel`] that implements `Serialize`: `canary-core` does not depend on serde.
#[derive(Serialize)]
struct Channels<T> {
    stable: T,
    canary: T,
}

impl<T> Channels<T> {
    fn of(PerChannel { stable, canary }: PerChannel<T>) -> Self {
        Self { stable, canary }
    }
}
