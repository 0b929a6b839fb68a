use canary_core::CanaryName;
use canary_rollout::{Ask, Event, Releases, Rollout, What};
use serde::Serialize;
use serde_json::json;

use super::slack;

/// An event, and which canary it is about.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Notification {
    /// The canary's name.
    pub canary: CanaryName,
    /// The builds that the channels run.
    pub releases: Releases,
    /// Whose approval is waited for, if the event is that it was asked for: "release managers".
    pub approval: Option<String>,
    /// What happened.
    pub event: Event,
}

impl Notification {
    /// An event of this rollout.
    #[must_use]
    pub fn new(rollout: &Rollout, event: Event) -> Self {
        let gate = match &event.what {
            What::GateAsked { gate } => rollout.plan().gates().get(gate),
            _ => None,
        };
        let approval = gate.and_then(|gate| match &gate.ask {
            Ask::Approval(who) => Some(who.clone()),
            _ => None,
        });
        let (canary, releases) = (rollout.name().clone(), rollout.releases().clone());
        Self { canary, releases, approval, event }
    }

    /// Tells this event from all others, also from those of a rollout that was begun anew because the
    /// store had lost it; on every replica the same.
    #[must_use]
    pub fn id(&self) -> String {
        let Event { number, at, .. } = &self.event;
        format!("{}-{number}-{}", self.canary, at.as_millis())
    }

    /// The body of a webhook in the plan's format `json`.
    ///
    /// `dropped` is how many events before this one the receiver will not get.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "an event has no keys that JSON has not")]
    pub fn to_json(&self, dropped: u64) -> String {
        let Self { canary, releases, approval, event } = self;
        #[derive(Serialize)]
        struct Body<'a> {
            version: u32,
            kind: &'a str,
            id: String,
            canary: &'a str,
            releases: &'a Releases,
            #[serde(skip_serializing_if = "Option::is_none")]
            approval: &'a Option<String>,
            dropped: u64,
            event: &'a Event,
        }
        let (id, canary) = (self.id(), canary.as_str());
        let body =
            Body { version: 1, kind: "event", id, canary, releases, approval, dropped, event };
        serde_json::to_string(&body).expect("all keys are texts")
    }

    /// The body of a webhook in the plan's format `slack`.
    #[must_use]
    pub fn to_slack(&self, dropped: u64) -> String {
        json!({ "text": slack::text(self, dropped) }).to_string()
    }
}
