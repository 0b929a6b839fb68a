//! What the calls show: the first part of a sentence.

use canary_core::Channel;

use super::numbers::{count, percent, plural};
use crate::{
    finding::Finding,
    monitor::{Measure, Unit},
};

/// `canary fails 1.5% of calls, stable 0.6% at the same weights`, or the counts while the canary
/// has few calls.
pub(super) fn rates(finding: &Finding) -> String {
    if let Some(limit) = finding.limit {
        return format!("{}, the limit is {limit}", of_canary(finding));
    }
    if finding.unit == Unit::Keys {
        return format!("{}, {}", keys(finding, Channel::Canary), keys(finding, Channel::Stable));
    }
    if finding.calls.canary < FEW_CALLS {
        return counts(finding);
    }
    let canary = finding.rate(Channel::Canary).map_or_else(|| percent(0.0), percent);
    let canary = match &finding.measure {
        Measure::Failures => format!("canary fails {canary} of calls"),
        Measure::Cancelled => format!("callers cancel {canary} of canary calls"),
        Measure::Slow(..) => {
            let canary = format!("{canary} of canary calls take over {}", limit(finding));
            return match limit_of_stable(finding) {
                Some(limit) => {
                    format!("{canary}, {} of stable's over {limit}", rate_of_stable(finding))
                }
                None => format!("{canary}, stable {}", rate_of_stable(finding)),
            };
        }
        Measure::Feedback => format!("{canary} of canary feedback is negative"),
        Measure::Event(name) => format!("{canary} of canary events `{name}` are adverse"),
        Measure::Unanswered => return unanswered(finding),
        Measure::Share => String::new(),
    };
    format!("{canary}, stable {}", rate_of_stable(finding))
}

/// `12 of 8,000 canary calls failed (0.15%)`.
fn of_canary(finding: &Finding) -> String {
    if finding.unit == Unit::Keys {
        return keys(finding, Channel::Canary);
    }
    let (adverse, calls) = (finding.adverse.canary, finding.calls.canary);
    let of = format!("{} of {}", count(adverse), count(calls));
    let rate = percent(finding.rate(Channel::Canary).unwrap_or_default());
    let canary = match &finding.measure {
        Measure::Cancelled => format!("callers cancelled {of} canary calls"),
        Measure::Slow(..) => format!("{of} canary calls took over {}", limit(finding)),
        Measure::Feedback => format!("{of} canary ratings are negative"),
        Measure::Event(name) => format!("{of} canary events `{name}` are adverse"),
        Measure::Failures | Measure::Unanswered | Measure::Share => {
            format!("{of} canary calls failed")
        }
    };
    format!("{canary} ({rate})")
}

/// `2 of 2 canary calls failed, 0 of 198 of stable's`.
fn counts(finding: &Finding) -> String {
    let of = |channel| {
        let (adverse, all) = (count(finding.adverse[channel]), finding.calls[channel]);
        format!("{adverse} of {}", count(all))
    };
    let canary = of(Channel::Canary);
    let canary = match &finding.measure {
        Measure::Failures => format!("{canary} canary calls failed"),
        Measure::Cancelled => format!("callers cancelled {canary} canary calls"),
        Measure::Slow(..) => {
            let canary = format!("{canary} canary calls took over {}", limit(finding));
            return match (finding.calls.stable, limit_of_stable(finding)) {
                (0, _) => format!("{canary}, stable has no calls"),
                (_, Some(limit)) => {
                    format!("{canary}, {} of stable's over {limit}", of(Channel::Stable))
                }
                (_, None) => format!("{canary}, {} of stable's", of(Channel::Stable)),
            };
        }
        Measure::Feedback => format!("{canary} canary ratings are negative"),
        Measure::Event(name) => format!("{canary} canary events `{name}` are adverse"),
        Measure::Unanswered => return unanswered(finding),
        Measure::Share => String::new(),
    };
    match finding.calls.stable {
        0 => format!("{canary}, stable has no {}", trials(&finding.measure)),
        _ => format!("{canary}, {} of stable's", of(Channel::Stable)),
    }
}

/// Stable's rate at the weights of the canary's calls. The rate of all its calls may contradict the
/// verdict, because they were at other times.
fn rate_of_stable(finding: &Finding) -> String {
    let pooled = finding.rate(Channel::Stable).map(percent);
    let at_weights = finding.stable_rate_at_canary_weights.map(percent);
    match (pooled, at_weights) {
        (Some(pooled), Some(at_weights)) if pooled != at_weights => {
            format!("{at_weights} at the same weights")
        }
        (Some(pooled), _) => pooled,
        (None, _) => format!("has no {}", trials(&finding.measure)),
    }
}

fn limit(finding: &Finding) -> String {
    format!("{:.1?}", finding.slow_limit.unwrap_or_default())
}

/// Returns stable's limit if it is not that of the canary.
fn limit_of_stable(finding: &Finding) -> Option<String> {
    let limit = finding.stable_slow_limit.filter(|limit| Some(*limit) != finding.slow_limit)?;
    Some(format!("{limit:.1?}"))
}

/// `30% of the canary's calls (12 of 40) have no answer after 5s, none of stable's 360`.
fn unanswered(finding: &Finding) -> String {
    let part = |channel| {
        let (adverse, all) = (count(finding.adverse[channel]), count(finding.calls[channel]));
        let owner = if channel == Channel::Canary { "the canary" } else { "stable" };
        match finding.rate(channel).filter(|_| finding.adverse[channel] > 0) {
            Some(rate) => format!("{} of {owner}'s calls ({adverse} of {all})", percent(rate)),
            None => format!("none of {owner}'s {all}"),
        }
    };
    let seconds = finding.age.map_or(0, |age| age.duration().as_secs());
    let (canary, stable) = (part(Channel::Canary), part(Channel::Stable));
    format!("{canary} have no answer after {seconds}s, {stable}")
}

/// `20 of 20 canary keys affected (100%)`, `0 of 180 stable keys (0%)`.
fn keys(finding: &Finding, channel: Channel) -> String {
    let (adverse, seen) = (finding.adverse[channel], finding.calls[channel]);
    let verb = if channel == Channel::Canary { " affected" } else { "" };
    let noun = if finding.is_without_key { "call" } else { "key" };
    let noun = format!("{channel} {noun}");
    match finding.rate(channel) {
        // A full ledger of seen keys has fewer than the ledger of adverse keys.
        Some(rate) if adverse <= seen => {
            format!("{} of {}{verb} ({})", count(adverse), plural(seen, &noun), percent(rate))
        }
        _ => format!("{}{verb}", plural(adverse, &noun)),
    }
}

/// Returns the plural noun for the events that can be adverse.
pub(super) const fn trials(measure: &Measure) -> &'static str {
    match measure {
        Measure::Feedback => "feedback",
        Measure::Event(_) => "events",
        _ => "calls",
    }
}

/// A rate of fewer canary calls says less than the counts.
const FEW_CALLS: u64 = 100;
