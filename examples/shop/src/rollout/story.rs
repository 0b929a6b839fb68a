//! What a rollout does, in lines for people, between those of the report.

use std::time::{Duration, SystemTime};

use canary_controller::{Event, Plan, Status, Timestamp, rollout::event::EventKind};
use tokio::time::Instant;

use super::Ending;

/// Prints each event once, and now and then what the rollout waits for.
pub(super) struct Story {
    begun: Timestamp,
    /// The number of the last event that was told; none before the stored ones are known.
    told: Option<u64>,
    last_line: Instant,
}

impl Story {
    pub(super) fn begin() -> Self {
        Self { begun: SystemTime::now().into(), told: None, last_line: Instant::now() }
    }

    pub(super) fn tell(&mut self, status: &Status) {
        if status.load_error.is_some() {
            return;
        }
        let told = self.told.unwrap_or_else(|| self.recall(status));
        let mut last = told;
        for event in status.rollout.history().filter(|event| event.number > told) {
            println!("{}", lines(event, status.rollout.plan()));
            last = event.number;
        }
        self.told = Some(last);
        // What an end says of itself is in its event.
        let is_open = Ending::of(status) == Ending::Open;
        if is_open && (last > told || self.last_line.elapsed() >= QUIET) {
            self.last_line = Instant::now();
            println!("{INDENT}now: {}", status.summary);
        }
    }

    /// The last event of the process before this one, after which the story goes on.
    fn recall(&self, status: &Status) -> u64 {
        let mut old = status.rollout.history().filter(|event| event.at < self.begun);
        let Some(last) = old.next_back() else { return 0 };
        println!("── going on from what is stored; the last event was");
        println!("{}", lines(last, status.rollout.plan()));
        println!("{INDENT}now: {}", status.summary);
        last.number
    }
}

/// Who did what, why, and on which evidence.
fn lines(event: &Event, plan: &Plan) -> String {
    let Event { at, by, kind, reason, evidence, weight, .. } = event;
    let at = at.to_string();
    let time = at.split_once('T').map_or(at.as_str(), |(_day, time)| time);
    let of = match kind {
        EventKind::StepBegun { .. } => format!(" of {}", plan.steps().len()),
        _ => String::new(),
    };
    let mut lines = format!("── {time} {by} {kind}{of}, weight {weight}");
    for (title, text) in [("why", reason), ("evidence", evidence)] {
        // The reason for a rollback by the judge is its evidence.
        if !text.is_empty() && (title == "why" || text != reason) {
            lines += &format!("\n{INDENT}{title}: {text}");
        }
    }
    lines
}

const INDENT: &str = "   ";
/// After this time without an event, what the rollout waits for is told again.
const QUIET: Duration = Duration::from_secs(10);
