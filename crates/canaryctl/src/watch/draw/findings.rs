use canary_api::{EvidenceView, FindingView};
use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{super::app::App, bar, column, titled};
use crate::{findings, numbers};

/// Returns the rows for all findings.
pub(super) fn height(app: &App) -> u16 {
    u16::try_from(app.view.judgment.findings.len()).unwrap_or(u16::MAX).saturating_add(2)
}

/// Draws a row per finding: how many times stable's rate, and the evidence on its way to the threshold.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let judgment = &app.view.judgment;
    let title = format!("findings: {}", judgment.verdict.as_str());
    let rest = titled(frame, area, &title, app);
    let width = usize::from(rest.width);
    let meter = (width.saturating_sub(FIXED) / 2).clamp(4, 24);
    let head = format!(
        "{}{}{}{}{}{}",
        column("monitor", NAME),
        column("verdict", VERDICT),
        column("ratio", RATIO),
        column("interval", INTERVAL),
        column("harm", meter + ODDS),
        column("good", meter + ODDS),
    );
    let mut lines = vec![Line::styled(head, app.theme.dim())];
    lines.extend(judgment.findings.iter().map(|finding| row(finding, meter, app)));
    frame.render_widget(Paragraph::new(lines), rest);
}

fn row<'a>(finding: &'a FindingView, meter: usize, app: &App) -> Line<'a> {
    let verdict = if finding.decides { finding.verdict.as_str() } else { "reports" };
    let estimate = finding.ratio.estimate.map_or("-".to_owned(), numbers::ratio);
    let mut spans = vec![
        Span::raw(column(&finding.monitor, NAME)),
        Span::styled(column(verdict, VERDICT), app.theme.verdict(finding.verdict)),
        Span::styled(column(&estimate, RATIO), app.theme.canary()),
        Span::raw(column(&findings::interval(finding), INTERVAL)),
    ];
    spans.extend(evidence(Some(finding.harm), meter, app.theme.bad(), app));
    spans.extend(evidence(finding.good, meter, app.theme.good(), app));
    Line::from(spans)
}

fn evidence<'a>(
    evidence: Option<EvidenceView>,
    meter: usize,
    style: ratatui::style::Style,
    app: &App,
) -> [Span<'a>; 3] {
    let Some(evidence) = evidence else {
        return [Span::raw(" ".repeat(meter + ODDS)), Span::raw(""), Span::raw("")];
    };
    let (filled, empty) = bar(evidence.progress, meter);
    let odds = format!(" {}", numbers::odds(evidence.odds));
    [
        Span::styled(filled, style),
        Span::styled(empty, app.theme.dim()),
        Span::raw(column(&odds, ODDS)),
    ]
}

const NAME: usize = 14;
const VERDICT: usize = 13;
const RATIO: usize = 7;
const INTERVAL: usize = 16;
const ODDS: usize = 9;
const FIXED: usize = NAME + VERDICT + RATIO + INTERVAL + 2 * ODDS;
