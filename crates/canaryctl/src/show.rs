use canary_api::{CanaryView, ChannelView, StageKind, StageState, StageView};

use crate::{
    canary_name,
    cli::Target,
    exit::Exit,
    failure::Failure,
    findings, fleet, numbers,
    output::{Output, capitalized},
    paint::Tone,
    session::Session,
    storage,
    table::{Cell, Table},
    times::Times,
};

/// Shows a canary.
pub(crate) async fn show(session: &Session, target: &Target) -> Result<Exit, Failure> {
    let name = canary_name::resolve(session, target).await?;
    let view = match session.client.canary(&name).await {
        Ok(view) => view,
        Err(error) => return Err(session.explain(&name, error).await),
    };
    if session.output.is_json() {
        session.output.json(&view)?;
    } else {
        print(session.output, &view)?;
    }
    Ok(Exit::Done)
}

fn print(output: Output, view: &CanaryView) -> Result<(), Failure> {
    let paint = output.paint();
    let head = paint.paint(Tone::Strong, &view.name);
    let times = Times::local();
    output.line(&format!("{head}  {}", paint.plain(&times.sentence(&view.summary))))?;
    if let Some(outlook) = &view.outlook {
        output.text(&capitalized(&times.sentence(&outlook.sentence)))?;
    }
    print_storage(output, view)?;
    if let Some(fleet) = &view.fleet {
        output.text(&fleet::replicas(fleet))?;
    }
    output.line("")?;
    output.table(&channels(view))?;
    let share = view.observed_share.map_or(String::new(), |share| {
        format!("; it served {} of the latest calls", numbers::percent(share))
    });
    output.text(&format!("the canary's weight is {}{share}", view.weight))?;
    if !view.stages.is_empty() {
        output.line("")?;
        output.table(&stages(&view.stages))?;
    }
    gates(output, view)?;
    output.line("")?;
    let tone = findings::tone(view.judgment.verdict);
    output.line(&paint.paint(tone, &view.judgment.sentence))?;
    if let Some(warning) = &view.judgment.warning {
        output.text(&format!("warning: {warning}"))?;
    }
    if !view.judgment.findings.is_empty() {
        output.table(&findings::table(&view.judgment.findings))?;
    }
    Ok(())
}

fn print_storage(output: Output, view: &CanaryView) -> Result<(), Failure> {
    if let Some(error) = &view.storage.load_error {
        output.text(&format!("warning: the stored rollout is not loaded: {error}"))?;
    }
    if let Some(seconds) = view.storage.unsaved_for_s {
        let time = numbers::duration(seconds);
        let warning = format!("warning: not stored for {time}, so the weight does not rise");
        output.text(&warning)?;
    }
    for failure in storage::failures(view, &Times::local()) {
        output.text(&format!("warning: {failure}"))?;
    }
    Ok(())
}

fn channels(view: &CanaryView) -> Table {
    let mut table = Table::new([
        Cell::new("CHANNEL"),
        Cell::new("RELEASE"),
        Cell::number("CALLS/S"),
        Cell::number("FAILURES"),
        Cell::number("P50"),
        Cell::number("P99"),
        Cell::number("OPEN"),
    ]);
    table.row(channel("stable", Tone::Stable, &view.channels.stable));
    table.row(channel("canary", Tone::Canary, &view.channels.canary));
    table
}

fn channel(name: &str, tone: Tone, channel: &ChannelView) -> [Cell; 7] {
    let optional = |value: Option<f64>, text: fn(f64) -> String| {
        Cell::number(value.map_or("-".to_owned(), text))
    };
    [
        Cell::new(name).tone(tone),
        Cell::new(&channel.release),
        Cell::number(numbers::rate(channel.calls_per_second)),
        optional(channel.failure_rate, numbers::percent),
        optional(channel.p50_ms, numbers::milliseconds),
        optional(channel.p99_ms, numbers::milliseconds),
        Cell::number(numbers::grouped(channel.open)),
    ]
}

fn stages(stages: &[StageView]) -> Table {
    let mut table = Table::new([
        Cell::new("STAGE"),
        Cell::number("WEIGHT"),
        Cell::number("TIME"),
        Cell::number("CALLS"),
        Cell::new("STATE"),
        Cell::new("GATES"),
    ]);
    for (index, stage) in stages.iter().enumerate() {
        let (state, tone) = stage_state(stage);
        let calls =
            if stage.min_calls == 0 { String::new() } else { numbers::grouped(stage.min_calls) };
        table.row([
            Cell::new(stage_name(index, stage)),
            Cell::number(&stage.weight),
            Cell::number(numbers::duration(stage.min_duration_s)),
            Cell::number(calls),
            Cell::new(state).tone(tone),
            Cell::new(stage.gates.join(", ")),
        ]);
    }
    table
}

pub(crate) fn stage_name(index: usize, stage: &StageView) -> String {
    if stage.kind == StageKind::Bake { "bake".to_owned() } else { format!("step {}", index + 1) }
}

fn stage_state(stage: &StageView) -> (String, Tone) {
    match (stage.state, stage.progress) {
        (StageState::Done, _) => ("done".to_owned(), Tone::Good),
        (StageState::Current, Some(progress)) => {
            (format!("now, {:.0}%", progress * 100.0), Tone::Strong)
        }
        (StageState::Current, None) => ("now".to_owned(), Tone::Strong),
        _ => ("ahead".to_owned(), Tone::Dim),
    }
}

fn gates(output: Output, view: &CanaryView) -> Result<(), Failure> {
    for gate in &view.gates {
        let whom = match &gate.approvers {
            Some(approvers) => {
                format!("{approvers}: canaryctl approve {} {}", view.name, gate.name)
            }
            None => "a program".to_owned(),
        };
        let message =
            if gate.message.is_empty() { String::new() } else { format!(" ({})", gate.message) };
        output.text(&format!("gate {} waits for {whom}{message}", gate.name))?;
    }
    Ok(())
}
