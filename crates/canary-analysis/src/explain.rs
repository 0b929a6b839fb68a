//! The sentences of findings, for operators.

use std::fmt;

use canary_core::Verdict;

use self::{
    numbers::{amount, count, digits, odds, percent, plural, two_digits},
    rates::{rates, trials},
};

use crate::{
    finding::{Finding, GoodBy, Split, Strength},
    log_space::float,
    margins::Margin,
    monitor::{Measure, Unit},
    not_healthy_reason::NotHealthyReason,
};

mod numbers;
mod rates;
mod reason;

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(step) = self.waits_for_step {
            return write!(f, "judges from step {step} on");
        }
        if self.starting_step > 1 {
            write!(f, "from step {} on: ", self.starting_step)?;
        }
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
                _ => format!("{}%", digits(100.0 * rate, 4)),
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
        Verdict::Healthy => "as requested, within 25% of the odds".to_owned(),
        Verdict::Inconclusive => {
            harm(finding.worse, "no sign of a broken split", "proof of a broken split")
        }
    }
}
