//! The stored form of counts. Zeros are left out, and names are short, because a board has many
//! entries.

use std::collections::BTreeMap;

use canary_core::{
    Age, Channel, ChannelCounts, Counts, Latencies, LatencyBucket, PerAge, PerChannel,
    RatingCounts, RouteClass, Weight,
};
use serde::{Deserialize, Serialize};

use super::counts::{FleetCounts, Rated};

/// The keys of the maps are weights in parts per million, and names.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct StoredCounts {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    calls: BTreeMap<u32, StoredCalls>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    feedback: StoredRated,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    events: BTreeMap<String, StoredRated>,
}

/// The total and the adverse ones, of stable and of the canary.
type StoredRated = BTreeMap<u32, [[u64; 2]; 2]>;

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct StoredCalls {
    all: [StoredChannel; 2],
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    classes: BTreeMap<String, [StoredChannel; 2]>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct StoredChannel {
    #[serde(rename = "p", skip_serializing_if = "is_zero")]
    picked: u64,
    #[serde(rename = "s", skip_serializing_if = "is_zero")]
    success: u64,
    #[serde(rename = "m", skip_serializing_if = "is_zero")]
    client_made: u64,
    #[serde(rename = "f", skip_serializing_if = "is_zero")]
    failure: u64,
    #[serde(rename = "c", skip_serializing_if = "is_zero")]
    cancelled: u64,
    #[serde(rename = "t", skip_serializing_if = "is_zero")]
    cancelled_after_tag: u64,
    #[serde(rename = "o", skip_serializing_if = "is_zero")]
    spilled: u64,
    #[serde(rename = "d", skip_serializing_if = "is_zero")]
    shed: u64,
    /// By age, the shortest first.
    #[serde(rename = "u", skip_serializing_if = "Vec::is_empty")]
    unanswered: Vec<u64>,
    #[serde(rename = "h", skip_serializing_if = "BTreeMap::is_empty")]
    head: BTreeMap<usize, u64>,
    #[serde(rename = "e", skip_serializing_if = "BTreeMap::is_empty")]
    end: BTreeMap<usize, u64>,
}

impl From<FleetCounts> for StoredCounts {
    fn from(counts: FleetCounts) -> Self {
        let of_calls = |counts: &Counts| StoredCalls {
            all: store_channels(&counts.evidence),
            classes: (counts.classes.iter())
                .map(|(class, counts)| (class.to_string(), store_channels(counts)))
                .collect(),
        };
        let calls = counts.calls.iter().map(|(weight, counts)| (weight.ppm(), of_calls(counts)));
        let events = counts.events.iter().map(|(name, rated)| (name.clone(), store_rated(rated)));
        Self {
            calls: calls.collect(),
            feedback: store_rated(&counts.feedback),
            events: events.collect(),
        }
    }
}

impl TryFrom<StoredCounts> for FleetCounts {
    type Error = String;

    fn try_from(stored: StoredCounts) -> Result<Self, String> {
        let mut counts = Self::default();
        for (ppm, StoredCalls { all, classes }) in stored.calls {
            let mut calls = Counts::default();
            calls.evidence = load_channels(&all)?;
            for (class, stored) in classes {
                let class: RouteClass = class.parse().map_err(display)?;
                calls.classes.insert(class, load_channels(&stored)?);
            }
            counts.calls.insert(weight(ppm)?, calls.into());
        }
        counts.feedback = load_rated(&stored.feedback)?;
        for (name, rated) in stored.events {
            counts.events.insert(name, load_rated(&rated)?);
        }
        Ok(counts)
    }
}

fn store_channels(counts: &PerChannel<ChannelCounts>) -> [StoredChannel; 2] {
    Channel::ALL.map(|channel| store_channel(&counts[channel]))
}

fn store_channel(counts: &ChannelCounts) -> StoredChannel {
    let mut unanswered = Age::ALL.map(|age| counts.unanswered[age]).to_vec();
    while unanswered.last() == Some(&0) {
        unanswered.pop();
    }
    StoredChannel {
        picked: counts.picked,
        success: counts.success,
        client_made: counts.client_made,
        failure: counts.failure,
        cancelled: counts.cancelled,
        cancelled_after_tag: counts.cancelled_after_tag,
        spilled: counts.spilled,
        shed: counts.shed,
        unanswered,
        head: store_latencies(&counts.head),
        end: store_latencies(&counts.end),
    }
}

fn load_channels(
    [stable, canary]: &[StoredChannel; 2],
) -> Result<PerChannel<ChannelCounts>, String> {
    Ok(PerChannel { stable: load_channel(stable)?, canary: load_channel(canary)? })
}

fn load_channel(stored: &StoredChannel) -> Result<ChannelCounts, String> {
    let mut counts = ChannelCounts::default();
    counts.picked = stored.picked;
    counts.success = stored.success;
    counts.client_made = stored.client_made;
    counts.failure = stored.failure;
    counts.cancelled = stored.cancelled;
    counts.cancelled_after_tag = stored.cancelled_after_tag;
    counts.spilled = stored.spilled;
    counts.shed = stored.shed;
    let mut unanswered = stored.unanswered.iter().copied();
    counts.unanswered = PerAge::from_fn(|_| unanswered.next().unwrap_or(0));
    counts.head = load_latencies(&stored.head)?;
    counts.end = load_latencies(&stored.end)?;
    Ok(counts)
}

fn store_latencies(latencies: &Latencies) -> BTreeMap<usize, u64> {
    let buckets = LatencyBucket::all().map(|bucket| (bucket.index(), latencies.calls(bucket)));
    buckets.filter(|(_, calls)| *calls > 0).collect()
}

fn load_latencies(stored: &BTreeMap<usize, u64>) -> Result<Latencies, String> {
    let mut latencies = Latencies::default();
    for (index, calls) in stored {
        let bucket = LatencyBucket::all().nth(*index).ok_or_else(|| {
            format!("latency bucket {index} is not below {}", LatencyBucket::COUNT)
        })?;
        latencies.add(bucket, *calls);
    }
    Ok(latencies)
}

fn store_rated(rated: &Rated) -> StoredRated {
    let of = |counts: &PerChannel<RatingCounts>| {
        Channel::ALL.map(|channel| [counts[channel].total, counts[channel].adverse])
    };
    rated.iter().map(|(weight, counts)| (weight.ppm(), of(counts))).collect()
}

fn load_rated(stored: &StoredRated) -> Result<Rated, String> {
    let of = |[total, adverse]: [u64; 2]| RatingCounts { total, adverse };
    let load = |(ppm, [stable, canary]): (&u32, &[[u64; 2]; 2])| {
        Ok((weight(*ppm)?, PerChannel { stable: of(*stable), canary: of(*canary) }))
    };
    stored.iter().map(load).collect()
}

fn weight(ppm: u32) -> Result<Weight, String> {
    Weight::try_from_ppm(ppm).map_err(display)
}

fn display(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(calls: &u64) -> bool {
    *calls == 0
}
