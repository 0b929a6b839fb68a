//! Prints the events of a rollout between the lines of the report.

use std::time::{Duration, SystemTime};

use canary_controller::{Event, Plan, Status, Timestamp, rollout::event::EventKind};
use tokio::time::Instant;

use super::Completion;

/// Prints each event once, and regularly the condition that the rollout waits for.
pub(super) struct EventPrinter {
    started: Timestamp,
    /// The number of the last printed event, or `None` before the stored rollout is loaded.
    last_printed: Option<u64>,
    last_line: Instant,
}

impl EventPrinter {
    pub(super) fn new() -> Self {
        Self { started: SystemTime::now().into(), last_printed: None, last_line: Instant::now() }
    }

    pub(super) fn print(&mut self, status: &Status) {
        if status.load_error.is_some() {
            return;
        }
        let printed = self.last_printed.unwrap_or_else(|| self.print_stored(status));
        let mut last = printed;
        for event in status.rollout.history().filter(|event| event.number > printed) {
            println!("{}", lines(event, status.rollout.plan()));
            last = event.number;
        }
        self.last_printed = Some(last);
        // The last event contains the reason of the end.
        let is_unfinished = Completion::of(status) == Completion::Unfinished;
        let is_by_hand = status.rollout.plan().is_by_hand();
        if is_unfinished
            && !is_by_hand
            && (last > printed || self.last_line.elapsed() >= REPEAT_INTERVAL)
        {
            self.last_line = Instant::now();
            println!("{INDENT}now: {}", status.summary);
        }
    }

    /// Prints the last event of the previous process and returns its number.
    fn print_stored(&self, status: &Status) -> u64 {
        let mut old = status.rollout.history().filter(|event| event.at < self.started);
        let Some(last) = old.next_back() else { return 0 };
        println!("── continuing the stored rollout; its last event was");
        println!("{}", lines(last, status.rollout.plan()));
        println!("{INDENT}now: {}", status.summary);
        last.number
    }
}

/// Formats an event with its reason and evidence.
fn lines(event: &Event, plan: &Plan) -> String {
    let Event { at, by, kind, reason, evidence, weight, .. } = event;
    let at = at.to_string();
    let time = at.split_once('T').map_or(at.as_str(), |(_day, time)| time);
    let suffix = match kind {
        EventKind::StepBegun { .. } => format!(" of {}", plan.steps().len()),
        _ => String::new(),
    };
    let mut lines = format!("── {time} {by} {kind}{suffix}, weight {weight}");
    if !reason.is_empty() {
        lines += &format!("\n{INDENT}reason: {reason}");
    }
    // The reason for a rollback by the judge can be its evidence.
    if !evidence.is_empty() && evidence != reason {
        lines += &format!("\n{INDENT}evidence: {evidence}");
    }
    lines
}

const INDENT: &str = "   ";
/// How often to print the condition that the rollout waits for.
const REPEAT_INTERVAL: Duration = Duration::from_secs(10);
