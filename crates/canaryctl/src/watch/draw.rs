//! Draws the app. The same app on the same size gives the same picture.

mod findings;
mod footer;
mod header;
mod log;
mod popup;
mod progress;
mod traffic;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::Paragraph,
};

use super::app::App;

/// The size below which only the sentence and the keys fit.
const SMALL_HEIGHT: u16 = 16;

pub(super) fn draw(frame: &mut Frame<'_>, app: &App) {
    let area = frame.area();
    let sentence = header::sentence_height(app, area.width).min(area.height.saturating_sub(2));
    if area.height < SMALL_HEIGHT {
        let [head, text, _, keys] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(sentence),
            Constraint::Fill(1),
            Constraint::Length(1),
        ])
        .areas(area);
        header::draw(frame, head, text, app);
        footer::draw(frame, keys, app);
    } else {
        draw_all(frame, area, sentence, app);
    }
    popup::draw(frame, area, app);
}

fn draw_all(frame: &mut Frame<'_>, area: Rect, sentence: u16, app: &App) {
    let [head, text, progress, traffic, findings, log, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(sentence),
        Constraint::Length(3),
        Constraint::Length(4),
        Constraint::Length(findings::height(app).min(area.height / 3)),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    header::draw(frame, head, text, app);
    progress::draw(frame, progress, app);
    traffic::draw(frame, traffic, app);
    findings::draw(frame, findings, app);
    log::draw(frame, log, app);
    footer::draw(frame, keys, app);
}

/// Draws a title with a rule in the first row of an area, and returns the rest.
fn titled(frame: &mut Frame<'_>, area: Rect, title: &str, app: &App) -> Rect {
    let [head, rest] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    let width = usize::from(area.width).saturating_sub(title.chars().count() + 3);
    let line = Line::from(vec![
        Span::styled("─ ", app.theme.dim()),
        Span::styled(title.to_owned(), app.theme.strong()),
        Span::styled(format!(" {}", "─".repeat(width)), app.theme.dim()),
    ]);
    frame.render_widget(Paragraph::new(line), head);
    rest
}

/// Returns a text of exactly this many columns.
fn column(text: &str, width: usize) -> String {
    let text: String = text.chars().take(width).collect();
    format!("{text:<width$}")
}

/// Returns a bar whose filled part is this fraction.
fn bar(fraction: f64, width: usize) -> (String, String) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a terminal has few columns, and `as` saturates"
    )]
    let filled = ((fraction.clamp(0.0, 1.0) * width as f64).round() as usize).min(width);
    ("█".repeat(filled), "░".repeat(width - filled))
}
