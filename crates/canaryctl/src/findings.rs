use canary_api::{EvidenceView, FindingView, Verdict};

use crate::{
    numbers,
    paint::Tone,
    table::{Cell, Table},
};

pub(crate) const fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Healthy => Tone::Good,
        Verdict::Degraded => Tone::Bad,
        _ => Tone::Plain,
    }
}

/// Returns a table with the numbers behind each finding.
pub(crate) fn table(findings: &[FindingView]) -> Table {
    let mut table = Table::new([
        Cell::new("MONITOR"),
        Cell::new("VERDICT"),
        Cell::number("STABLE"),
        Cell::number("CANARY"),
        Cell::number("RATIO"),
        Cell::new("INTERVAL"),
        Cell::new("LIMIT"),
        Cell::new("HARM"),
        Cell::new("GOOD"),
    ]);
    for finding in findings {
        table.row(row(finding));
    }
    table
}

fn row(finding: &FindingView) -> [Cell; 9] {
    let part = |adverse: u64, trials: u64| {
        Cell::number(format!("{} of {}", numbers::grouped(adverse), numbers::grouped(trials)))
    };
    let verdict = if finding.decides { finding.verdict.as_str() } else { "reports only" };
    [
        Cell::new(&finding.monitor),
        Cell::new(verdict).tone(tone(finding.verdict)),
        part(finding.adverse.stable, finding.trials.stable).tone(Tone::Stable),
        part(finding.adverse.canary, finding.trials.canary).tone(Tone::Canary),
        Cell::number(finding.ratio.estimate.map_or("-".to_owned(), numbers::ratio)),
        Cell::new(interval(finding)),
        Cell::new(limit(finding)),
        Cell::new(evidence(finding.harm)),
        Cell::new(finding.good.map_or(String::new(), evidence)),
    ]
}

/// Returns the interval of the ratio, such as `0.80x to 1.40x`.
pub(crate) fn interval(finding: &FindingView) -> String {
    let lower = numbers::ratio(finding.ratio.lower);
    match finding.ratio.upper {
        Some(upper) => format!("{lower} to {}", numbers::ratio(upper)),
        None if finding.ratio.lower <= 0.0 => "any".to_owned(),
        None => format!("above {lower}"),
    }
}

/// Returns the limit above which the canary counts as worse.
pub(crate) fn limit(finding: &FindingView) -> String {
    let ratio = || finding.worse_ratio.map(numbers::ratio);
    finding.limit.clone().or_else(ratio).unwrap_or_default()
}

/// Returns the evidence with the odds that suffice, such as `12:1 of 20:1`.
pub(crate) fn evidence(evidence: EvidenceView) -> String {
    format!("{} of {}", numbers::odds(evidence.odds), numbers::odds(evidence.needed))
}
