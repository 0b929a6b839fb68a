use canary_api::{ChannelView, PerChannel};
use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{
    super::{
        app::App,
        sparkline::{sparkline, top},
    },
    column, titled,
};
use crate::numbers;

/// A column of the traffic: the number of now, and its past.
struct Column<'a> {
    title: &'static str,
    now: PerChannel<String>,
    past: PerChannel<&'a [Option<f32>]>,
}

/// Draws calls per second, failures and latency of both channels. Within a column, both have the same
/// scale; calls per second do not, because the canary has few.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let rest = titled(frame, area, "traffic", app);
    let points = &app.points;
    let calls = PerChannel {
        stable: some(&points.calls_per_second.stable),
        canary: some(&points.calls_per_second.canary),
    };
    let columns = [
        Column {
            title: "calls/s",
            now: now(app, |it| numbers::rate(it.calls_per_second)),
            past: PerChannel { stable: &calls.stable, canary: &calls.canary },
        },
        Column {
            title: "failures",
            now: now(app, |it| optional(it.failure_rate, numbers::percent)),
            past: PerChannel {
                stable: &points.failure_rate.stable,
                canary: &points.failure_rate.canary,
            },
        },
        Column {
            title: "p99",
            now: now(app, |it| optional(it.p99_ms, numbers::milliseconds)),
            past: PerChannel { stable: &points.p99_ms.stable, canary: &points.p99_ms.canary },
        },
    ];
    let width = usize::from(rest.width).saturating_sub(LABEL) / columns.len();
    let lines = vec![
        titles(&columns, width, app),
        line("stable", app.theme.stable(), &columns, width, |it| (&it.now.stable, it.past.stable)),
        line("canary", app.theme.canary(), &columns, width, |it| (&it.now.canary, it.past.canary)),
    ];
    frame.render_widget(Paragraph::new(lines), rest);
}

fn titles(columns: &[Column<'_>], width: usize, app: &App) -> Line<'static> {
    let titles = columns.iter().map(|it| column(it.title, width));
    Line::styled(format!("{}{}", " ".repeat(LABEL), titles.collect::<String>()), app.theme.dim())
}

fn line<'a>(
    label: &str,
    style: Style,
    columns: &'a [Column<'a>],
    width: usize,
    channel: impl Fn(&'a Column<'a>) -> (&'a str, &'a [Option<f32>]),
) -> Line<'static> {
    let mut spans = vec![Span::styled(column(label, LABEL), style)];
    for it in columns {
        let (now, past) = channel(it);
        let top = if it.title == "calls/s" {
            top(&[past])
        } else {
            top(&[it.past.stable, it.past.canary])
        };
        let bars = sparkline(past, top, width.saturating_sub(NUMBER + 1));
        spans.push(Span::raw(column(now, NUMBER)));
        spans.push(Span::styled(format!("{bars} "), style));
    }
    Line::from(spans)
}

fn now(app: &App, text: impl Fn(&ChannelView) -> String) -> PerChannel<String> {
    let channels = &app.view.channels;
    PerChannel { stable: text(&channels.stable), canary: text(&channels.canary) }
}

fn optional(value: Option<f64>, text: fn(f64) -> String) -> String {
    value.map_or("-".to_owned(), text)
}

fn some(column: &[f32]) -> Vec<Option<f32>> {
    column.iter().copied().map(Some).collect()
}

const LABEL: usize = 8;

const NUMBER: usize = 8;
