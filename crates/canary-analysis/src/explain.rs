//! The sentences of findings, for operators.

use std::fmt;

use canary_core::{Channel, Verdict};

use crate::{
    finding::{Finding, GoodBy, Split, Strength},
    log_space::float,
    margins::Margin,
    monitor::{Measure, Unit},
    not_healthy_reason::NotHealthyReason,
};

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match missing(self) {
            _ if self.measure == Measure::Share => f.write_str(&share(self))?,
            Some(missing) => f.write_str(&missing)?,
            None => write!(f, "{}; {}", rates(self), verdict(self))?,
        }
        match &self.not_healthy_reason {
            Some(reason) if self.verdict == Verdict::Inconclusive && self.basis.canary > 0 => {
                write!(f, "; {reason}")
            }
            _ if self.refused_keys > 0 => {
                write!(f, "; {}", NotHealthyReason::LedgerFull(self.refused_keys))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for NotHealthyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unanswered { calls, given } => {
                let (calls, given) = (count(*calls), plural(*given, "canary call"));
                write!(f, "{calls} of {given} have no answer yet and may all be bad")
            }
            Self::Outages { events, all } => {
                let (events, all) = (count(*events), plural(*all, "adverse event"));
                write!(
                    f,
                    "{events} of {all} came in outages of both versions, which prove nothing about the \
                     canary; waiting for calm"
                )
            }
            Self::TooFewAnswers { canary, stable } => {
                let canary = percent(*canary);
                let stable = match percent(*stable) {
                    none if none == "0 %" => "all of stable's have one".to_owned(),
                    some => format!("{some} of stable's"),
                };
                write!(
                    f,
                    "{canary} of the canary's calls have no answer yet, {stable}: it hangs, or answers \
                     later"
                )
            }
            Self::UsualRateUnknown { known, needed } => {
                let (known, needed) = (known.as_secs(), needed.as_secs());
                write!(
                    f,
                    "the usual rate is not known yet, after {known} s of {needed} s: an outage of both \
                     versions would pass for it"
                )
            }
            Self::TooFewResults(part) => {
                let part = percent(*part);
                write!(f, "the canary has only {part} of the results expected at its weight")
            }
            Self::WarmingUp(left) => {
                let left = left.as_secs_f64().ceil();
                write!(f, "the canary is warming up, its calls count in {left:.0} s")
            }
            Self::SignsOfHarm { log_e } => {
                write!(f, "but a single bet on harm stands at {}", amount(*log_e))
            }
            Self::CallsUnknown => f.write_str(
                "the number of canary calls is unknown, so hanging calls would go unnoticed",
            ),
            Self::LedgerFull(events) => {
                write!(f, "the key ledger is full and missed {}", plural(*events, "event"))
            }
            Self::ImpossibleAssignment(1) => {
                f.write_str("1 call or key went to a channel that its weight excludes")
            }
            Self::ImpossibleAssignment(picks) => {
                let picks = count(*picks);
                write!(f, "{picks} calls or keys went to a channel that their weight excludes")
            }
        }
    }
}

fn share(finding: &Finding) -> String {
    let verdict = share_verdict(finding);
    if finding.impossible > 0 {
        return format!(
            "{}; {verdict}",
            NotHealthyReason::ImpossibleAssignment(finding.impossible)
        );
    }
    let units = if finding.unit == Unit::Keys { "keys" } else { "calls" };
    finding.split.map_or_else(
        || format!("no {units} yet that could go to either channel; {verdict}"),
        |Split { requested, observed }| {
            let (requested, observed) = (percent(requested), percent(observed));
            format!("{observed} of {units} went to the canary, {requested} requested; {verdict}")
        },
    )
}

/// Returns the sentence for a finding that has nothing to compare.
fn missing(finding: &Finding) -> Option<String> {
    let (stable, canary) = (finding.basis.stable, finding.basis.canary);
    let is_slow = matches!(finding.measure, Measure::Slow(..));
    let (waiting, adverse) = (finding.unanswered.canary, finding.adverse.canary);
    let trials = trials(&finding.measure);
    match (stable, canary) {
        (0, 0) if is_slow && finding.slow_limit.is_none() => Some(
            "the limit for slow calls is not known yet: stable has too few calls, or they are too \
             slow to measure"
                .to_owned(),
        ),
        (_, 0) if waiting > 0 => {
            let (waiting, stable) = (plural(waiting, "canary call"), plural(stable, "response"));
            Some(format!("no response to {waiting} yet, stable has {stable}"))
        }
        (_, 0) if finding.unit == Unit::Keys && adverse > 0 => {
            let keys = plural(adverse, "canary key");
            Some(format!("{keys} affected, but neither canary calls nor seen keys are known"))
        }
        (0, 0) => Some(format!("no {trials} yet on either channel")),
        (stable, 0) => Some(format!("no canary {trials} yet, stable has {}", count(stable))),
        _ => None,
    }
}

/// `canary fails 1.5 % of calls, stable 0.6 % at the same weights`, or the counts while the canary
/// has few calls.
fn rates(finding: &Finding) -> String {
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

/// `12 of 8,000 canary calls failed (0.15 %)`.
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

/// `30 % of the canary's calls (12 of 40) have no answer after 5 s, none of stable's 360`.
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
    format!("{canary} have no answer after {seconds} s, {stable}")
}

/// `20 of 20 canary keys affected (100 %)`, `0 of 180 stable keys (0 %)`.
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
const fn trials(measure: &Measure) -> &'static str {
    match measure {
        Measure::Feedback => "feedback",
        Measure::Event(_) => "events",
        _ => "calls",
    }
}

fn verdict(finding: &Finding) -> String {
    let Finding { worse, good, .. } = finding;
    let is_count = finding.limit.is_some_and(|limit| limit.as_count().is_some());
    match (finding.verdict, good) {
        (Verdict::Degraded, _) if is_count => "it is exceeded".to_owned(),
        (_, _) if is_count => "it is kept".to_owned(),
        (Verdict::Healthy, Some(good)) if finding.limit.is_some() && good.is_reached() => {
            format!("proven below it (odds {})", odds(good.log_e))
        }
        (Verdict::Degraded, _) => format!("odds against chance {}", odds(worse.log_e)),
        (Verdict::Healthy, Some(good)) if good.is_reached() => {
            let Margin { ratio, rate } = finding.margins.good();
            let margin = match finding.good_by {
                Some(GoodBy::Ratio) => format!("{} times stable's rate", digits(ratio, 4)),
                _ => format!("{} %", digits(100.0 * rate, 4)),
            };
            format!("proven below {margin} (odds {})", odds(good.log_e))
        }
        (Verdict::Healthy, _) => "proven good earlier, and not refuted since".to_owned(),
        (_, good) => {
            if let Some(second) = finding.second_proof
                && worse.is_reached()
            {
                let (worse, second) = (odds(worse.log_e), stands(second, "the proof"));
                return format!(
                    "worse in single calls (odds {worse}), but stable has outages of its own, so that \
                     blocks of time must show it too: {second}"
                );
            }
            let harm = harm(*worse, "no sign of harm", "proof of harm");
            let good = good.map(|good| proof_of_good(finding, good));
            format!("{harm}{}", good.unwrap_or_default())
        }
    }
}

/// `no sign of harm`, or `proof of harm stands at 6.6 of 125`.
fn harm(strength: Strength, none: &str, proof: &str) -> String {
    if strength.log_e <= 0.0 { none.to_owned() } else { stands(strength, proof) }
}

/// `; proof of good stands at 2.4 of 20, about 700 more canary calls`.
fn proof_of_good(finding: &Finding, good: Strength) -> String {
    if finding.warm_up_left.is_some() {
        return String::new();
    }
    let stands = stands(good, "proof of good");
    match finding.missing_calls {
        Some(missing) if finding.not_healthy_reason.is_none() => {
            let (missing, trials) = (
                two_digits(float(missing)),
                match finding.unit {
                    Unit::Calls => trials(&finding.measure),
                    Unit::Keys => "keys",
                },
            );
            format!("; {stands}, about {missing} more canary {trials}")
        }
        _ => format!("; {stands}"),
    }
}

fn stands(Strength { log_e, threshold }: Strength, proof: &str) -> String {
    // Thresholds are exact numbers: 125, 1,000.
    let needed =
        if threshold < 1e9_f64.ln() { digits(threshold.exp(), 4) } else { amount(threshold) };
    format!("{proof} stands at {} of {needed}", amount(log_e))
}

fn share_verdict(finding: &Finding) -> String {
    match finding.verdict {
        Verdict::Degraded => {
            let odds = odds(finding.worse.log_e);
            let users = match finding.unit {
                Unit::Keys => "",
                Unit::Calls if finding.impossible > 0 => "",
                Unit::Calls => {
                    ", or few users make most calls (sticky traffic needs `count_by = \"keys\"`)"
                }
            };
            format!("the assignment is broken{users}; odds against chance {odds}")
        }
        Verdict::Healthy => "as requested, within 25 % of the odds".to_owned(),
        Verdict::Inconclusive => {
            harm(finding.worse, "no sign of a broken split", "proof of a broken split")
        }
    }
}

/// `1 key`, `12 keys`.
fn plural(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Formats odds, given as a natural logarithm: `2,400 : 1`.
///
/// Neither random assignment nor counting is reliable enough for odds above 10^12.
fn odds(log: f64) -> String {
    if log > MOST_ODDS.ln() {
        return "beyond 10^12 : 1".to_owned();
    }
    format!("{} : 1", amount(log))
}

/// Formats the gambler's money, given as a natural logarithm: `2,400`.
fn amount(log: f64) -> String {
    let digits = log / std::f64::consts::LN_10;
    if digits < -3.0 {
        return "under 0.001".to_owned();
    }
    if log > MOST_ODDS.ln() {
        return "over 10^12".to_owned();
    }
    if digits >= 9.0 { format!("10^{}", digits.floor()) } else { two_digits(log.exp()) }
}

/// Formats a rate of `0.0..=1.0`: `3.1 %`.
fn percent(rate: f64) -> String {
    format!("{} %", two_digits(100.0 * rate))
}

/// Rounds a non-negative number to two significant digits: `2,400`, `31`, `3.1`, `0.031`.
fn two_digits(number: f64) -> String {
    digits(number, 2)
}

/// Rounds a non-negative number to `kept` significant digits.
fn digits(number: f64, kept: i32) -> String {
    if number < 1e-9 {
        return "0".to_owned();
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the decimal logarithm of an f64 is within +-400"
    )]
    let magnitude = number.log10().floor() as i32 + 1 - kept;
    let scale = 10.0_f64.powi(magnitude);
    let rounded = (number / scale).round() * scale;
    let decimals = usize::try_from(-magnitude).unwrap_or(0);
    let text = format!("{rounded:.decimals$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    grouped(text)
}

/// Formats a count with thousands separators: `12,345`.
fn count(number: u64) -> String {
    grouped(&number.to_string())
}

fn grouped(text: &str) -> String {
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::with_capacity(text.len() + whole.len() / 3);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

/// A rate of fewer canary calls says less than the counts.
const FEW_CALLS: u64 = 100;

const MOST_ODDS: f64 = 1e12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_two_significant_digits() {
        for (number, text) in [
            (0.0, "0"),
            (0.000_312, "0.00031"),
            (0.9, "0.9"),
            (3.149, "3.1"),
            (9.99, "10"),
            (100.0, "100"),
            (2431.0, "2,400"),
            (999_999.0, "1,000,000"),
        ] {
            assert_eq!(two_digits(number), text);
        }
    }

    #[test]
    fn very_large_and_very_small_odds_are_shortened() {
        assert_eq!(odds(2400.0_f64.ln()), "2,400 : 1");
        assert_eq!(odds(1e10_f64.ln() + 0.1), "10^10 : 1");
        assert_eq!(odds(743_799.0), "beyond 10^12 : 1");
        assert_eq!(odds(-1e9), "under 0.001 : 1");
    }
}
