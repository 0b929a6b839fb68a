use std::collections::VecDeque;

use canary_rollout::event::Event;

use crate::{
    decision::{StoredDecision, write_event},
    driver::document_error::DocumentError,
    store::EventRecord,
};

/// The evidence behind the latest events, until the events are appended to the history.
#[derive(Default)]
pub(super) struct Decisions(VecDeque<(Event, StoredDecision)>);

impl Decisions {
    pub(super) fn note(&mut self, event: Event, decision: StoredDecision) {
        if self.0.len() == MAX_DECISIONS {
            self.0.pop_front();
        }
        self.0.push_back((event, decision));
    }

    /// Writes an event for the history, with its evidence if that is known.
    pub(super) fn write(&self, event: &Event) -> Result<EventRecord, DocumentError> {
        // An event gets another number if another replica has stored one in the meantime.
        let is_of = |noted: &Event| noted.at == event.at && noted.kind == event.kind;
        let decision = self.0.iter().rev().find(|(noted, _)| is_of(noted));
        match decision {
            Some((_, decision)) => decision.write(event),
            None => write_event(event),
        }
        .map_err(DocumentError::unfit)
    }
}

/// An outage of the store outlasts few decisions.
const MAX_DECISIONS: usize = 8;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::decision::{
        Decision,
        tests::{decision, event},
    };

    #[test]
    fn an_event_keeps_its_evidence_under_another_number() {
        let mut decisions = Decisions::default();
        decisions.note(event(7, "frozen"), decision(json!(1), None));
        decisions.note(event(8, "rolled_back"), decision(json!(2), None));
        let judgment = |event: &Event| {
            let record = decisions.write(event).unwrap();
            Decision::read(&record).map(|decision| decision.judgment)
        };
        assert_eq!(judgment(&event(9, "rolled_back")), Some(json!(2)));
        assert_eq!(judgment(&event(9, "frozen")), Some(json!(1)));
        assert_eq!(judgment(&event(8, "promoted")), None);
    }
}
