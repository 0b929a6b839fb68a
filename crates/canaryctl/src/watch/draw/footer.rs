use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::super::app::App;

/// Draws the keys that do something now.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let commands: Vec<_> =
        app.command_keys().map(|key| (key.key, key.name.as_str().replace('-', " "))).collect();
    let others = [('?', "help".to_owned()), ('q', "quit".to_owned())];
    let mut spans = Vec::new();
    for (key, text) in commands.into_iter().chain(others) {
        spans.push(Span::styled(key.to_string(), app.theme.strong()));
        spans.push(Span::raw(format!(" {text}  ")));
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}
