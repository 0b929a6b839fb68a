//! Findings as sentences for people.

use std::fmt;

use canary_core::{Channel, Verdict};

use crate::{
    finding::{Finding, Split, Strength},
    monitor::{Measure, Unit},
    not_healthy_reason::NotHealthyReason,
};

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sentence(self))
    }
}

impl fmt::Display for NotHealthyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unanswered { calls, given } => {
                let calls = of_calls(*calls, *given);
                write!(f, "{calls} of the canary have no answer, and could all have gone badly")
            }
            Self::Outages { events, all } => {
                let (events, all) = (count(*events), count(*all));
                write!(
                    f,
                    "{events} of {all} bad ones came in storms, and without these it is not proven good"
                )
            }
            Self::TooFewResults(part) => {
                let part = percent(*part);
                write!(f, "the canary has only {part} of what the weight leads one to expect")
            }
            Self::CallsUnknown => {
                f.write_str(
                "how many calls the canary was given is not observed, and those that hang are unseen",
            )
            }
            Self::LedgerFull(events) => {
                let events = if *events == 1 {
                    "1 event was".to_owned()
                } else {
                    format!("{} events were", count(*events))
                };
                write!(f, "the ledger of keys is full, {events} not counted")
            }
            Self::ImpossibleAssignment(picks) => {
                let were = if *picks == 1 { "call or key was" } else { "calls or keys were" };
                write!(f, "{} {were} on a channel that the weight excludes", count(*picks))
            }
        }
    }
}

fn sentence(finding: &Finding) -> String {
    let mut sentence = match missing(finding) {
        _ if finding.measure == Measure::Share => split(finding),
        Some(missing) => missing,
        None => format!("{}; {}", rates(finding), verdict(finding)),
    };
    let refused = NotHealthyReason::LedgerFull(finding.refused_keys);
    if let Some(not_healthy_reason) = &finding.not_healthy_reason
        && finding.verdict == Verdict::Inconclusive
        && finding.basis.canary > 0
    {
        sentence += &format!("; {not_healthy_reason}");
    } else if finding.refused_keys > 0 {
        sentence += &format!("; {refused}");
    }
    sentence
}

fn split(finding: &Finding) -> String {
    let verdict = split_verdict(finding);
    if finding.impossible > 0 {
        return format!(
            "{}; {verdict}",
            NotHealthyReason::ImpossibleAssignment(finding.impossible)
        );
    }
    let what = if finding.unit == Unit::Keys { "keys" } else { "calls" };
    finding.split.map_or_else(
        || format!("no {what} seen yet that could have gone to either channel; {verdict}"),
        |Split { requested, observed }| {
            let (asked, seen) = (percent(requested), percent(observed));
            format!("canary was given {seen} of {what} where {asked} was asked; {verdict}")
        },
    )
}

/// What there is to say if there is nothing to compare.
fn missing(finding: &Finding) -> Option<String> {
    let (stable, canary) = (finding.basis.stable, finding.basis.canary);
    let is_slow = matches!(finding.measure, Measure::Slow(..));
    let (waiting, hit) = (finding.unanswered.canary, finding.adverse.canary);
    match (stable, canary) {
        (0, 0) if is_slow && finding.slow_limit.is_none() => Some(
            "what is slow is not known yet: stable has too few calls, or too slow ones".to_owned(),
        ),
        (_, 0) if waiting > 0 => {
            let (waiting, stable) = (calls(waiting), count(stable));
            Some(format!(
                "of {waiting} on the canary none is answered yet, {stable} of stable's are"
            ))
        }
        (_, 0) if finding.unit == Unit::Keys && hit > 0 => {
            let keys = keys(hit);
            Some(format!("{keys} hit on the canary, but neither its calls nor seen keys are known"))
        }
        (0, 0) => Some(format!("no {} seen yet, on neither channel", trials(&finding.measure))),
        (stable, 0) => {
            let (what, stable) = (trials(&finding.measure), count(stable));
            Some(format!("no canary {what} yet, {stable} of stable's"))
        }
        _ => None,
    }
}

fn rates(finding: &Finding) -> String {
    if finding.unit == Unit::Keys {
        let of = |channel| {
            let (hit, seen) = (finding.adverse[channel], finding.calls[channel]);
            match finding.rate(channel) {
                // A full ledger of seen keys knows fewer than were hit.
                Some(rate) if hit <= seen => {
                    format!("{} of {} ({})", count(hit), keys(seen), percent(rate))
                }
                _ => keys(hit),
            }
        };
        let (canary, stable) = (of(Channel::Canary), of(Channel::Stable));
        return format!("{canary} hit on the canary, {stable} on stable");
    }
    let rate = |channel| finding.rate(channel).map(percent);
    let canary = rate(Channel::Canary).unwrap_or_else(|| percent(0.0));
    let against = rate(Channel::Stable).map_or_else(
        || format!(", and stable has no {}", trials(&finding.measure)),
        |stable| format!(" against stable's {stable}"),
    );
    match &finding.measure {
        Measure::Failures => format!("canary fails {canary} of calls{against}"),
        Measure::Cancelled => {
            format!("callers leave {canary} of canary calls{against}")
        }
        Measure::Slow(..) => {
            let limit = finding.slow_limit.unwrap_or_default();
            format!("{canary} of canary calls take over {limit:.1?}{against}")
        }
        Measure::Feedback => {
            format!("{canary} of the canary's feedback is negative{against}")
        }
        Measure::Event(name) => {
            format!("`{name}` goes badly in {canary} on the canary{against}")
        }
        Measure::Share => String::new(),
    }
}

/// What may be adverse or not.
const fn trials(measure: &Measure) -> &'static str {
    match measure {
        Measure::Feedback => "feedback",
        Measure::Event(_) => "trials",
        _ => "calls",
    }
}

fn verdict(finding: &Finding) -> String {
    let Finding { worse, good, .. } = finding;
    match (finding.verdict, good) {
        (Verdict::Degraded, _) => format!("odds against chance {}", odds(worse.log_e)),
        (Verdict::Healthy, Some(good)) => {
            let margin = finding.margins.good();
            let (ratio, rate) = (digits(margin.ratio, 4), digits(100.0 * margin.rate, 4));
            let odds = odds(good.log_e);
            format!("proven below {ratio} times stable's, or below {rate} %, at odds of {odds}")
        }
        (_, good) => {
            let good = good
                .map_or_else(String::new, |good| format!(", nor good enough (odds {})", of(good)));
            format!("not proven worse (odds {}){good}", of(*worse))
        }
    }
}

fn split_verdict(finding: &Finding) -> String {
    match finding.verdict {
        Verdict::Degraded => {
            let odds = odds(finding.worse.log_e);
            format!("the assignment itself is broken, odds against chance {odds}")
        }
        Verdict::Healthy => "as asked, to within a quarter of the odds".to_owned(),
        Verdict::Inconclusive => format!("not proven broken (odds {})", of(finding.worse)),
    }
}

fn of(strength: Strength) -> String {
    format!("{} of {}", odds(strength.log_e), odds(strength.threshold))
}

/// `1 key`, `12 keys`.
fn keys(number: u64) -> String {
    format!("{} {}", count(number), if number == 1 { "key" } else { "keys" })
}

/// `1 call`, `12 calls`.
fn calls(number: u64) -> String {
    format!("{} {}", count(number), if number == 1 { "call" } else { "calls" })
}

/// `3 of 1,000 calls`.
fn of_calls(some: u64, all: u64) -> String {
    format!("{} of {}", count(some), calls(all))
}

/// Odds, given their natural logarithm: `2,400 : 1`.
fn odds(log: f64) -> String {
    let digits = log / std::f64::consts::LN_10;
    if digits >= 9.0 {
        return format!("10^{} : 1", digits.floor());
    }
    if digits < -3.0 {
        return "under 0.001 : 1".to_owned();
    }
    format!("{} : 1", two_digits(log.exp()))
}

/// A rate of `0.0..=1.0`: `3.1 %`.
fn percent(rate: f64) -> String {
    format!("{} %", two_digits(100.0 * rate))
}

/// A number of at least zero to two digits: `2,400`, `31`, `3.1`, `0.031`.
fn two_digits(number: f64) -> String {
    digits(number, 2)
}

/// A number of at least zero to so many digits.
fn digits(number: f64, kept: i32) -> String {
    if number < 1e-9 {
        return "0".to_owned();
    }
    #[expect(clippy::cast_possible_truncation, reason = "the logarithm of an f64 is within 400")]
    let magnitude = number.log10().floor() as i32 + 1 - kept;
    let scale = 10.0_f64.powi(magnitude);
    let rounded = (number / scale).round() * scale;
    let decimals = usize::try_from(-magnitude).unwrap_or(0);
    let text = format!("{rounded:.decimals$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    grouped(text)
}

/// A count with its thousands apart: `12,345`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_readable() {
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
    fn odds_are_words_at_both_ends() {
        assert_eq!(odds(2400.0_f64.ln()), "2,400 : 1");
        assert_eq!(odds(743_799.0), "10^323027 : 1");
        assert_eq!(odds(-1e9), "under 0.001 : 1");
    }
}
