use ratatui::{
    Frame,
    layout::{Constraint, Flex, Layout, Rect},
    text::{Line, Span, Text},
    widgets::{Block, Clear, Paragraph, Wrap},
};

use super::super::{app::App, dialog::Dialog, keys::COMMAND_KEYS};

/// Draws the dialog or the help above everything else.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    if let Some(dialog) = &app.dialog {
        draw_dialog(frame, area, app, dialog);
    } else if app.is_help_open {
        draw_help(frame, area, app);
    }
}

fn draw_dialog(frame: &mut Frame<'_>, area: Rect, app: &App, dialog: &Dialog) {
    let command = dialog.command.name().as_str().replace('-', " ");
    let title = format!(" {command}: {} ", app.view.name);
    if let Some(weight) = &dialog.weight {
        let lines = vec![
            Line::from(vec![
                Span::styled("Weight in percent: ", app.theme.strong()),
                Span::raw(weight.as_str()),
                Span::raw("▏"),
            ]),
            Line::raw(""),
            Line::styled("Enter: show the effect    Esc: cancel", app.theme.strong()),
        ];
        return popup(frame, area, &title, Text::from(lines));
    }
    let effect = dialog.effect.as_deref().map(|effect| app.sentence(effect));
    let effect = effect.unwrap_or("Asking the server for the effect ..".to_owned());
    let keys = match (dialog.is_sent, &dialog.effect) {
        (true, _) => "Sent ..".to_owned(),
        (false, None) => "Esc cancels".to_owned(),
        (false, Some(_)) => format!("Enter: {command}    Esc: cancel"),
    };
    let lines = vec![
        Line::raw(effect),
        Line::raw(""),
        Line::from(vec![
            Span::styled("Reason: ", app.theme.strong()),
            Span::raw(dialog.reason.as_str()),
            Span::raw("▏"),
        ]),
        Line::raw(""),
        Line::styled(keys, app.theme.strong()),
    ];
    popup(frame, area, &title, Text::from(lines));
}

fn draw_help(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let role = app.session.as_ref().map(|session| session.operator.role.as_str());
    let mut lines = vec![Line::raw(format!("Your role is {}.", role.unwrap_or("not known yet")))];
    for key in COMMAND_KEYS {
        let is_offered = app.is_offered(key.name);
        let refused = || {
            let offer = app.view.offers.iter().find(|offer| offer.command == key.name);
            let refused = offer.and_then(|offer| offer.refused.as_deref());
            refused.map_or("not now".to_owned(), |refused| app.local_times(refused))
        };
        let name = key.label();
        let text = if is_offered { name } else { format!("{name} ({})", refused()) };
        let style = if is_offered { app.theme.strong() } else { app.theme.dim() };
        lines.push(Line::styled(format!("{}  {text}", key.key), style));
    }
    lines.push(Line::raw(""));
    lines.push(Line::raw("✓ done  ▶ now  ○ ahead  +name: a gate"));
    lines.push(Line::raw("harm, good: odds against chance, and how far they are from enough"));
    lines.push(Line::raw("Esc closes, and q quits."));
    popup(frame, area, " help ", Text::from(lines));
}

fn popup(frame: &mut Frame<'_>, area: Rect, title: &str, text: Text<'_>) {
    let width = area.width.saturating_sub(4).min(72);
    let rows: usize = text
        .lines
        .iter()
        .map(|line| line.width().div_ceil(usize::from(width.saturating_sub(6)).max(1)).max(1))
        .sum();
    let height = u16::try_from(rows + 2).unwrap_or(u16::MAX).min(area.height);
    let [row] = Layout::vertical([Constraint::Length(height)]).flex(Flex::Center).areas(area);
    let [place] = Layout::horizontal([Constraint::Length(width)]).flex(Flex::Center).areas(row);
    let block = Block::bordered().title(title.to_owned());
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }).block(block), place);
}
