use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span, Text},
    widgets::{Paragraph, Wrap},
};

use super::super::app::{App, Connection};
use crate::{fleet, numbers, storage};

/// Draws the first row, and the sentences about the state.
pub(super) fn draw(frame: &mut Frame<'_>, head: Rect, text: Rect, app: &App) {
    let left = left(app);
    let fits = |right: &Line<'_>| left.width() + GAP + right.width() <= usize::from(head.width);
    // The releases are more important than the operator.
    let right = Some(right(app, true)).filter(fits).unwrap_or_else(|| right(app, false));
    let width = u16::try_from(right.width()).unwrap_or(head.width);
    let [left_area, right_area] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(width)]).areas(head);
    frame.render_widget(Paragraph::new(left), left_area);
    frame.render_widget(Paragraph::new(right), right_area);
    frame.render_widget(Paragraph::new(sentences(app)).wrap(Wrap { trim: true }), text);
}

/// Returns the rows that the sentences take.
pub(super) fn sentence_height(app: &App, width: u16) -> u16 {
    let rows = |line: &Line<'_>| {
        let mut rows = 1;
        let mut column = 0;
        for word in line.to_string().split(' ') {
            let length = word.chars().count();
            if column > 0 && column + 1 + length > usize::from(width) {
                (rows, column) = (rows + 1, length);
            } else {
                column += length + usize::from(column > 0);
            }
        }
        rows
    };
    sentences(app).lines.iter().map(rows).sum()
}

fn left(app: &App) -> Line<'_> {
    let channels = &app.view.channels;
    let mut spans = Vec::new();
    if let Some(environment) = app.session.as_ref().and_then(|it| it.environment.as_ref()) {
        let label = format!(" {} ", environment.name);
        spans.extend([Span::styled(label, app.theme.environment(environment)), Span::raw(" ")]);
    }
    spans.extend([
        Span::styled(app.view.name.as_str(), app.theme.strong()),
        Span::raw("  "),
        Span::styled(channels.stable.release.as_str(), app.theme.stable()),
        Span::raw(" → "),
        Span::styled(channels.canary.release.as_str(), app.theme.canary()),
    ]);
    Line::from(spans)
}

fn right(app: &App, has_operator: bool) -> Line<'_> {
    let (state, style) = match &app.connection {
        Connection::Live => ("● live".to_owned(), app.theme.good()),
        Connection::Lost { since, .. } => {
            let since = numbers::duration(since.as_secs_f64());
            (format!("○ not live for {since}"), app.theme.bad())
        }
    };
    let mut spans = vec![Span::styled(state, style)];
    if let Some(session) = app.session.as_ref().filter(|_| has_operator) {
        let operator = &session.operator;
        spans.push(Span::raw(format!("  {} ({})", operator.name, operator.role.as_str())));
    }
    Line::from(spans)
}

/// Returns the state and the outlook in sentences, and what is wrong.
fn sentences(app: &App) -> Text<'_> {
    let view = &app.view;
    let mut lines = vec![Line::styled(app.sentence(&view.summary), app.theme.phase(view.phase))];
    if let Some(outlook) = &view.outlook {
        lines.push(Line::styled(app.sentence(&outlook.sentence), Style::new()));
    }
    let storage = &view.storage;
    let unsaved = storage.unsaved_for_s.map(|seconds| {
        format!("Not stored for {}: the weight does not rise.", numbers::duration(seconds))
    });
    let warnings = [
        match &app.connection {
            Connection::Live => None,
            Connection::Lost { reason, .. } => Some(format!("Not live: {reason}")),
        },
        storage.load_error.as_ref().map(|error| format!("The rollout is not loaded: {error}")),
        unsaved,
        view.fleet.as_ref().filter(|fleet| !fleet.silent.is_empty()).map(fleet::replicas),
        view.judgment.warning.clone(),
    ];
    let warnings = warnings.into_iter().flatten().chain(storage::failures(view, &app.times));
    lines.extend(warnings.map(|text| Line::styled(text, app.theme.bad())));
    if let Some(notice) = &app.notice {
        let style = if notice.is_error { app.theme.bad() } else { app.theme.good() };
        lines.push(Line::styled(format!("▸ {}", notice.text), style));
    }
    Text::from(lines)
}

/// The columns between the two ends of the first row.
const GAP: usize = 2;
