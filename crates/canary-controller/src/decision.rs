use std::fmt;

use canary_analysis::{Judge, JudgeState, Judgment, Unit};
use canary_rollout::{Plan, event::Event};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    compact,
    store::{EventRecord, InvalidJson},
};

/// The evidence behind an event, from [`RolloutHandle::decision`](crate::RolloutHandle::decision).
///
/// It prints as the sentence of the event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Decision {
    /// The event.
    pub event: Event,
    /// The judgment at that time with all findings, in the form in which a [`Judgment`] serializes.
    pub judgment: Value,
    judge: Option<Value>,
}

/// The evidence behind an event, as it is stored with the event in the history.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct StoredDecision {
    #[serde(with = "compact")]
    judgment: Value,
    /// The state of the judge; `None` if it is too large for an event.
    #[serde(with = "compact")]
    judge: Option<Value>,
}

/// A judge that has come to a decision.
#[derive(Deserialize, Serialize)]
struct StoredJudge {
    plan: Plan,
    unit: Unit,
    state: JudgeState,
}

/// An event of the history, with the evidence.
#[derive(Serialize)]
struct DecidedEvent<'a> {
    #[serde(flatten)]
    event: &'a Event,
    decided_on: &'a StoredDecision,
}

/// The evidence of such an event.
#[derive(Deserialize)]
struct DecidedOn {
    decided_on: StoredDecision,
}

impl Decision {
    /// Lets a judge judge the stored evidence again. Its judgment is the one that led to the event,
    /// unless the guard tripped between two ticks.
    ///
    /// `None` if the state of the judge was too large to be stored with the event, or if the judge of
    /// this version cannot read it.
    #[must_use]
    pub fn replay(&self) -> Option<Judgment> {
        let StoredJudge { plan, unit, state } = serde_json::from_value(self.judge.clone()?).ok()?;
        let monitors = plan.judge_monitors_by(unit);
        let judge = Judge::try_resume(plan.levels(), monitors, &state).ok()?;
        Some(judge.with_second_proof(plan.second_proof()).judgment())
    }

    /// Reads a decision from an event of the history; `None` if it has none.
    pub(crate) fn read(record: &EventRecord) -> Option<Self> {
        let event = serde_json::from_str(record.as_str()).ok()?;
        let DecidedOn { decided_on } = serde_json::from_str(record.as_str()).ok()?;
        let StoredDecision { judgment, judge } = decided_on;
        Some(Self { event, judgment, judge })
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.event, f)
    }
}

impl StoredDecision {
    pub(crate) fn new(plan: &Plan, unit: Unit, judgment: &Judgment, state: JudgeState) -> Self {
        let value = |it: Result<Value, serde_json::Error>| it.expect("it serializes as JSON");
        let judge = StoredJudge { plan: plan.clone(), unit, state };
        Self {
            judgment: value(serde_json::to_value(judgment)),
            judge: Some(value(serde_json::to_value(judge))),
        }
    }

    /// Writes an event with the decision. Leaves out what does not fit.
    pub(crate) fn write(&self, event: &Event) -> Result<EventRecord, InvalidJson> {
        let write = |decision: &Self| {
            let decided = DecidedEvent { event, decided_on: decision };
            EventRecord::try_new(serde_json::to_vec(&decided).ok()?).ok()
        };
        write(self)
            .or_else(|| write(&Self { judge: None, ..self.clone() }))
            .map_or_else(|| write_event(event), Ok)
    }
}

/// Writes an event without a decision.
pub(crate) fn write_event(event: &Event) -> Result<EventRecord, InvalidJson> {
    EventRecord::try_new(serde_json::to_vec(event).expect("it serializes as JSON"))
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn event(number: u64, kind: &str) -> Event {
        let event = json!({
            "number": number, "at": "2026-11-24T09:00:00Z", "by": "judge", "kind": kind,
            "verdict": "degraded", "phase": "rolled_back", "weight": "0%",
        });
        serde_json::from_value(event).unwrap()
    }

    pub(crate) fn decision(judgment: Value, judge: Option<Value>) -> StoredDecision {
        StoredDecision { judgment, judge }
    }

    /// Text that does not compress to the size of an event.
    fn long() -> Value {
        let numbers = (0..9_000_u64).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        json!(numbers.collect::<Vec<_>>())
    }

    #[test]
    fn what_does_not_fit_into_an_event_is_left_out() {
        let event = event(7, "rolled_back");
        let read = |judgment: Value, judge: Value| {
            let record = decision(judgment, Some(judge)).write(&event).unwrap();
            let read: Event = serde_json::from_str(record.as_str()).unwrap();
            assert_eq!(read, event);
            Decision::read(&record)
        };
        let fits = read(json!("findings"), json!("state")).unwrap();
        assert_eq!((fits.event.clone(), fits.judge), (event.clone(), Some(json!("state"))));
        let without_judge = read(json!("findings"), long()).unwrap();
        assert_eq!(
            (without_judge.judgment.clone(), &without_judge.judge),
            (json!("findings"), &None)
        );
        assert!(without_judge.replay().is_none());
        assert!(read(long(), json!("state")).is_none());
        // It compresses to the size of an event, and could not be read.
        let zeros = json!("0".repeat(2 * 1024 * 1024));
        assert!(read(json!("findings"), zeros.clone()).unwrap().judge.is_none());
        assert!(read(zeros, json!("state")).is_none());
    }
}
