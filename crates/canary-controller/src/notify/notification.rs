use canary_core::CanaryName;
use canary_rollout::{
    Releases, Rollout,
    event::{Event, EventKind},
    plan::GateKind,
};
use serde::Serialize;

use super::page_url::PageUrl;

/// An event of a canary's rollout, as sent to receivers.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Notification {
    /// The canary's name.
    pub canary: CanaryName,
    /// The releases of both channels.
    pub releases: Releases,
    /// The approver, such as "release managers", if the event asks for an approval.
    pub approval: Option<String>,
    /// The link to the page that shows the canary, or that asks for the approval.
    pub page: Option<String>,
    /// The event.
    pub event: Event,
}

impl Notification {
    /// Creates the notification for an event of this rollout.
    #[must_use]
    pub fn new(rollout: &Rollout, event: Event) -> Self {
        let gate = match &event.kind {
            EventKind::GateAsked { gate } => rollout.plan().gates().get(gate),
            _ => None,
        };
        let approval = gate.and_then(|gate| match &gate.kind {
            GateKind::Approval(who) => Some(who.clone()),
            _ => None,
        });
        let (canary, releases) = (rollout.name().clone(), rollout.releases().clone());
        Self { canary, releases, approval, page: None, event }
    }

    /// Adds a link to the page: to the gate if the event asks for an approval, or else to the canary.
    #[must_use]
    pub fn with_page(mut self, page: &PageUrl) -> Self {
        self.page = Some(match &self.event.kind {
            EventKind::GateAsked { gate } if self.approval.is_some() => {
                page.of_gate(&self.canary, gate)
            }
            _ => page.of_canary(&self.canary),
        });
        self
    }

    /// Returns the name of the canary and the [id of the event](Event::id), which are the same on
    /// every replica.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}-{}", self.canary, self.event.id())
    }

    /// Returns the body of a webhook in the format `json`.
    ///
    /// `dropped` is the number of undelivered events before this one.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "all keys are strings")]
    pub fn to_json(&self, dropped: u64) -> String {
        let Self { canary, releases, approval, page, event } = self;
        #[derive(Serialize)]
        struct Body<'a> {
            version: u32,
            kind: &'a str,
            id: String,
            canary: &'a str,
            releases: &'a Releases,
            #[serde(skip_serializing_if = "Option::is_none")]
            approval: &'a Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            page: &'a Option<String>,
            dropped: u64,
            event: &'a Event,
        }
        let (id, canary) = (self.id(), canary.as_str());
        let (version, kind) = (1, "event");
        let body = Body { version, kind, id, canary, releases, approval, page, dropped, event };
        serde_json::to_string(&body).expect("all keys are strings")
    }
}
