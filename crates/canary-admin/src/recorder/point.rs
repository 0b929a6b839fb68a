use canary_api::PerChannel as ByChannel;
use canary_controller::{
    Status,
    analysis::{Finding, judgment::Strength},
};
use canary_core::{LatencyBucket, PerChannel};

use super::tally::{Rates, Tallies};

/// The state of a canary at the end of a time, and what it did in that time. 44 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) at_ms: i64,
    pub(super) weight_ppm: u32,
    pub(super) calls_per_second: ByChannel<f32>,
    /// NaN without calls.
    pub(super) failure_rate: ByChannel<f32>,
    pub(super) p50: ByChannel<Latency>,
    pub(super) p99: ByChannel<Latency>,
}

/// The bucket of a latency, or [`NO_LATENCY`].
pub(super) type Latency = u8;

/// A finding in eight bytes, because there can be many of them: the ends and the middle of an interval
/// with eight significant bits, and evidence in steps of 1/250.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FindingPoint {
    ratio: [u16; 3],
    evidence: [u8; 2],
}

impl Point {
    pub(super) fn between(last: &Tallies, now: &Tallies, status: &Status) -> Self {
        let rates = now.rates_since(last);
        Self {
            at_ms: now.at.as_millis(),
            weight_ppm: status.weight.ppm(),
            calls_per_second: of(&rates, |rates| narrow(rates.calls_per_second)),
            failure_rate: of(&rates, |rates| rates.failure_rate.map_or(f32::NAN, narrow)),
            p50: of(&rates, |rates| latency(rates.p50)),
            p99: of(&rates, |rates| latency(rates.p99)),
        }
    }
}

fn of<T>(rates: &PerChannel<Rates>, get: impl Fn(&Rates) -> T) -> ByChannel<T> {
    ByChannel { stable: get(&rates.stable), canary: get(&rates.canary) }
}

fn latency(bucket: Option<LatencyBucket>) -> Latency {
    bucket.and_then(|bucket| u8::try_from(bucket.index()).ok()).unwrap_or(NO_LATENCY)
}

/// Returns the milliseconds in the middle of the bucket.
pub(super) fn millis(latency: Latency) -> Option<f32> {
    let bucket = LatencyBucket::all().nth(usize::from(latency))?;
    Some(narrow(bucket.midpoint().as_secs_f64() * 1000.0))
}

impl FindingPoint {
    /// No finding.
    pub(super) const NONE: Self = Self { ratio: [NO_RATIO; 3], evidence: [NO_EVIDENCE; 2] };

    pub(super) fn of(finding: &Finding) -> Self {
        let ratio = &finding.ratio;
        Self {
            ratio: [
                ratio.estimate.map_or(NO_RATIO, half),
                half(ratio.lower),
                ratio.upper.map_or(NO_RATIO, half),
            ],
            evidence: [
                evidence(&finding.worse),
                finding.good.as_ref().map_or(NO_EVIDENCE, evidence),
            ],
        }
    }

    /// Returns the estimate, the lower end and the upper end of the ratio.
    pub(super) fn ratio(self) -> [Option<f32>; 3] {
        self.ratio.map(|half| (half != NO_RATIO).then(|| f32::from_bits(u32::from(half) << 16)))
    }

    /// Returns the evidence of harm and of good.
    pub(super) fn evidence(self) -> [Option<f32>; 2] {
        self.evidence.map(|part| (part != NO_EVIDENCE).then(|| f32::from(part) / EVIDENCE_STEPS))
    }
}

/// Returns the upper half of an `f32`, rounded to the nearest.
fn half(value: f64) -> u16 {
    let bits = narrow(value).to_bits();
    u16::try_from(bits.saturating_add(0x7FFF) >> 16).unwrap_or(NO_RATIO)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the product is between 0 and 250"
)]
fn evidence(strength: &Strength) -> u8 {
    (strength.progress() as f32 * EVIDENCE_STEPS).round() as u8
}

#[expect(clippy::cast_possible_truncation, reason = "a chart needs two digits")]
const fn narrow(value: f64) -> f32 {
    value as f32
}

pub(super) const NO_LATENCY: Latency = u8::MAX;
/// A NaN, which no finding has.
const NO_RATIO: u16 = 0x7FC0;
const NO_EVIDENCE: u8 = u8::MAX;
const EVIDENCE_STEPS: f32 = 250.0;
