use canary_api::{StageKind, StageState, StageView};
use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{super::app::App, bar, titled};
use crate::numbers;

/// Draws the share of the canary, and the stages of the plan.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let title = if app.view.by_hand { "weight by hand" } else { "plan" };
    let rest = titled(frame, area, title, app);
    let lines = vec![share(app, usize::from(rest.width)), stages(app, usize::from(rest.width))];
    frame.render_widget(Paragraph::new(lines), rest);
}

fn share(app: &App, width: usize) -> Line<'_> {
    let view = &app.view;
    let seen = view.observed_share.map_or("-".to_owned(), numbers::percent);
    let label = format!("asked {}, seen {seen} ", view.weight);
    let (canary, stable) =
        bar(f64::from(view.weight_ppm) / 1e6, width.saturating_sub(label.chars().count()));
    Line::from(vec![
        Span::raw(label),
        Span::styled(canary, app.theme.canary()),
        Span::styled(stable, app.theme.stable()),
    ])
}

/// Draws as many stages as fit, with the current one among them.
fn stages(app: &App, width: usize) -> Line<'_> {
    let stages = &app.view.stages;
    let texts: Vec<String> = stages.iter().map(stage).collect();
    let length = |first: usize| -> usize {
        texts[first..].iter().map(|text| text.chars().count() + GAP.chars().count()).sum()
    };
    let current = stages.iter().position(|stage| stage.state == StageState::Current).unwrap_or(0);
    // Stages that are done make room for those ahead.
    let first = (0..=current).find(|first| length(*first) <= width + 3).unwrap_or(current);
    let mut spans = Vec::new();
    if first > 0 {
        spans.push(Span::styled("‥ ", app.theme.dim()));
    }
    for (index, text) in texts.iter().enumerate().skip(first) {
        if index > first {
            spans.push(Span::styled(GAP, app.theme.dim()));
        }
        let style = match stages[index].state {
            StageState::Done => app.theme.good(),
            StageState::Current => app.theme.strong(),
            _ => app.theme.dim(),
        };
        spans.push(Span::styled(text.clone(), style));
    }
    Line::from(spans)
}

fn stage(stage: &StageView) -> String {
    let weight = match stage.kind {
        StageKind::Bake => format!("bake {}", stage.weight),
        _ => stage.weight.clone(),
    };
    let gates =
        if stage.gates.is_empty() { String::new() } else { format!(" +{}", stage.gates.join("+")) };
    match (stage.state, stage.progress) {
        (StageState::Done, _) => format!("✓{weight}"),
        (StageState::Current, Some(progress)) => {
            format!("▶{weight} ({:.0}% done){gates}", progress * 100.0)
        }
        (StageState::Current, None) => format!("▶{weight}{gates}"),
        _ => format!("○{weight}{gates}"),
    }
}

const GAP: &str = " ─ ";
