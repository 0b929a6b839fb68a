use canary_api::{EvidenceView, FindingView, JudgmentView, PerChannel, RatioView};
use canary_controller::{
    Status, Verdict,
    analysis::{Finding, Measure, Role, Unit, judgment::Strength},
};
use canary_core::Channel;

use super::{by_channel, millis, verdict};

pub(super) fn judgment(status: &Status) -> JudgmentView {
    let judgment = &status.judgment;
    JudgmentView {
        verdict: verdict(judgment.verdict),
        sentence: judgment.to_string(),
        decisive: decisive(&judgment.findings, judgment.verdict),
        findings: judgment.findings.iter().map(finding).collect(),
        sources: status.sources.to_string(),
        warning: status.sources.warning(),
    }
}

/// Returns the monitor that determined the verdict.
fn decisive(findings: &[Finding], verdict: Verdict) -> Option<String> {
    let deciding = findings.iter().filter(|finding| finding.role == Role::Decides);
    let mut same = deciding.filter(|finding| finding.verdict == verdict);
    match verdict {
        // All of them determine it.
        Verdict::Healthy => None,
        Verdict::Degraded | Verdict::Inconclusive => same.next().map(|it| it.monitor.clone()),
    }
}

fn finding(finding: &Finding) -> FindingView {
    let is_share = finding.measure == Measure::Share;
    let is_compared = finding.limit.is_none() && !is_share;
    FindingView {
        monitor: finding.monitor.clone(),
        decides: finding.role == Role::Decides,
        verdict: verdict(finding.verdict),
        sentence: finding.to_string(),
        unit: match finding.unit {
            Unit::Keys => "keys",
            _ => "calls",
        }
        .to_owned(),
        trials: by_channel(finding.calls),
        adverse: by_channel(finding.adverse),
        rate: PerChannel {
            stable: finding.rate(Channel::Stable),
            canary: finding.rate(Channel::Canary),
        },
        expected_rate: finding.stable_rate_at_canary_weights,
        ratio: RatioView {
            estimate: finding.ratio.estimate,
            lower: finding.ratio.lower,
            upper: finding.ratio.upper,
        },
        worse_ratio: is_compared.then(|| finding.margins.worse().ratio),
        limit: finding.limit.map(|limit| limit.to_string()),
        harm: evidence(&finding.worse),
        good: finding.good.as_ref().map(evidence),
        slow_limit_ms: finding.slow_limit.map(millis),
        missing_trials: finding.missing_calls,
        warm_up_left_s: finding.warm_up_left.map(|left| left.as_secs_f64()),
    }
}

fn evidence(strength: &Strength) -> EvidenceView {
    EvidenceView {
        odds: strength.e_value(),
        needed: strength.needed(),
        progress: strength.progress(),
    }
}
