use canary_api::CanaryView;
use ratatui::{
    Terminal,
    backend::TestBackend,
    buffer::{Buffer, Cell},
    style::{Color, Modifier},
};

use super::{app::App, draw::draw, run, theme::Theme};
use crate::{cli::ScreenSize, exit::Exit, failure::Failure, paint, session::Session};

/// Prints the screen once.
pub(super) async fn print(
    session: &Session,
    view: CanaryView,
    size: ScreenSize,
) -> Result<Exit, Failure> {
    let name = view.name.clone();
    let has_colors = paint::stdout_has_colors();
    let mut app = run::load(session, view, Theme::new(has_colors)).await?;
    app.session = Some(session.client.session().await?);
    app.points = session.client.points(&name, None, Some(1)).await?;
    if has_colors {
        painted(&app, size).try_for_each(|line| session.output.line(&line))?;
    } else {
        lines(&app, size).try_for_each(|line| session.output.line(&line))?;
    }
    Ok(Exit::Done)
}

/// Returns the screen as text.
pub(super) fn lines(app: &App, size: ScreenSize) -> impl Iterator<Item = String> {
    rows(&render(app, size)).map(|row| {
        let text: String = row.iter().map(Cell::symbol).collect();
        text.trim_end().to_owned()
    })
}

/// Returns the screen with the codes of its colors.
pub(super) fn painted(app: &App, size: ScreenSize) -> impl Iterator<Item = String> {
    rows(&render(app, size)).map(|row| {
        let (mut line, mut last) = (String::new(), String::new());
        for cell in &row {
            let codes = codes(cell);
            if codes != last {
                line.push_str("\x1b[0m");
                line.push_str(&codes);
                last = codes;
            }
            line.push_str(cell.symbol());
        }
        line.push_str("\x1b[0m");
        line
    })
}

fn render(app: &App, size: ScreenSize) -> Buffer {
    let backend = TestBackend::new(size.columns, size.rows);
    let Ok(mut terminal) = Terminal::new(backend);
    let Ok(_) = terminal.draw(|frame| draw(frame, app));
    terminal.backend().buffer().clone()
}

fn rows(buffer: &Buffer) -> impl Iterator<Item = Vec<Cell>> + use<> {
    let width = usize::from(buffer.area.width).max(1);
    buffer.content.chunks(width).map(<[Cell]>::to_vec).collect::<Vec<_>>().into_iter()
}

/// Returns the escape sequence of a cell's style; empty for the style of the terminal.
fn codes(cell: &Cell) -> String {
    let mut codes = Vec::new();
    for (modifier, code) in [(Modifier::BOLD, "1"), (Modifier::DIM, "2"), (Modifier::REVERSED, "7")]
    {
        if cell.modifier.contains(modifier) {
            codes.push(code.to_owned());
        }
    }
    match cell.fg {
        Color::Green => codes.push("32".to_owned()),
        Color::Yellow => codes.push("33".to_owned()),
        Color::LightRed => codes.push("91".to_owned()),
        Color::LightBlue => codes.push("94".to_owned()),
        Color::Rgb(red, green, blue) => codes.push(format!("38;2;{red};{green};{blue}")),
        // The theme has no others.
        _ => {}
    }
    if codes.is_empty() { String::new() } else { format!("\x1b[{}m", codes.join(";")) }
}
