use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::super::app::App;

/// Draws the keys that do something now, as many as fit.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let mut keys: Vec<_> = app.command_keys().map(|key| (key.key, key.label())).collect();
    keys.extend([('?', "help".to_owned()), ('q', "quit".to_owned())]);
    let width = |keys: &[(char, String)]| -> usize {
        keys.iter().map(|(_, text)| text.len() + 2).sum::<usize>() + 2 * (keys.len() - 1)
    };
    while width(&keys) > usize::from(area.width)
        && let Some(index) = keys.iter().rposition(|(key, _)| !ALWAYS.contains(key))
    {
        keys.remove(index);
    }
    let mut spans = Vec::new();
    for (key, text) in keys {
        spans.push(Span::styled(key.to_string(), app.theme.strong()));
        spans.push(Span::raw(format!(" {text}  ")));
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}

/// The keys that make no room for others: those of an emergency, and the help.
const ALWAYS: [char; 3] = ['R', 'H', '?'];
