use canary_api::CanaryView;

use crate::{
    exit::Exit,
    failure::Failure,
    numbers,
    paint::Tone,
    session::Session,
    table::{Cell, Table},
};

/// Lists all canaries.
pub(crate) async fn list(session: &Session) -> Result<Exit, Failure> {
    let views = session.client.canaries().await?;
    if session.output.is_json() {
        session.output.json(&views)?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new([
        Cell::new("NAME"),
        Cell::new("PHASE"),
        Cell::number("WEIGHT"),
        Cell::number("SEEN"),
        Cell::new("STABLE"),
        Cell::new("CANARY"),
        Cell::new("VERDICT"),
        Cell::new("STATUS"),
    ]);
    for view in &views {
        table.row(row(view));
    }
    session.output.table(&table)?;
    Ok(Exit::Done)
}

fn row(view: &CanaryView) -> [Cell; 8] {
    let verdict = view.judgment.verdict;
    [
        Cell::new(&view.name).tone(Tone::Strong),
        Cell::new(view.phase.as_str()),
        Cell::number(&view.weight),
        Cell::number(view.observed_share.map_or("-".to_owned(), numbers::percent)),
        Cell::new(&view.channels.stable.release).tone(Tone::Stable),
        Cell::new(&view.channels.canary.release).tone(Tone::Canary),
        Cell::new(verdict.as_str()).tone(crate::findings::tone(verdict)),
        Cell::new(&view.status),
    ]
}
