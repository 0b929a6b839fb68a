use canary_api::EventView;
use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{super::app::App, titled};

/// Draws the latest events with the weight after each, the newest at the bottom.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let rest = titled(frame, area, "events", app);
    let skipped = app.events.len().saturating_sub(usize::from(rest.height));
    let lines: Vec<_> = app.events.iter().skip(skipped).map(|event| line(event, app)).collect();
    frame.render_widget(Paragraph::new(lines), rest);
}

fn line<'a>(event: &'a EventView, app: &App) -> Line<'a> {
    let mut spans = vec![
        Span::styled(app.times.time_of_day(&event.at), app.theme.dim()),
        Span::styled(format!(" {:>5} ", event.weight), app.theme.canary()),
        Span::styled(event.sentence.as_str(), app.theme.verdict(event.verdict)),
    ];
    let details = if event.reason.is_empty() { &event.evidence } else { &event.reason };
    if !details.is_empty() {
        spans.push(Span::styled(format!(": {details}"), app.theme.dim()));
    }
    Line::from(spans)
}
