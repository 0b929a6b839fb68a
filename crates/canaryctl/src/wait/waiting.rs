use canary_api::{CanaryView, EventView};

use super::goal::{Outcome, evaluate, of_phase};
use crate::cli::WaitGoal;

/// What has been seen of a rollout so far.
#[derive(Debug)]
pub(super) struct Waiting {
    goal: WaitGoal,
    release: Option<String>,
    has_release: bool,
    latest: Option<Box<CanaryView>>,
    /// Whether the events can be older than the wait: after a reset, the server sends the latest stored
    /// ones, and then the state.
    is_replay: bool,
}

impl Waiting {
    /// Waits for a goal. Without a release, the one that is seen first counts.
    pub(super) const fn new(goal: WaitGoal, release: Option<String>) -> Self {
        Self { goal, release, has_release: false, latest: None, is_replay: false }
    }

    /// Returns whether the server has had the release.
    pub(super) const fn has_release(&self) -> bool {
        self.has_release
    }

    /// Takes note that some events are no longer stored.
    pub(super) const fn reset(&mut self) {
        self.is_replay = true;
    }

    /// Returns whether the events can be older than the wait.
    pub(super) const fn is_replay(&self) -> bool {
        self.is_replay
    }

    /// Takes note of the state.
    pub(super) fn see(&mut self, view: Box<CanaryView>) -> Option<Outcome> {
        self.is_replay = false;
        let outcome = self.judge(&view);
        self.latest = Some(view);
        outcome
    }

    fn judge(&mut self, view: &CanaryView) -> Option<Outcome> {
        let (stable, canary) = (&view.channels.stable.release, &view.channels.canary.release);
        let release = self.release.get_or_insert_with(|| canary.clone());
        if release == canary {
            self.has_release = true;
            return evaluate(self.goal, view);
        }
        if release == stable {
            // The next deployment has made it stable.
            return Some(Outcome::Reached(format!("{} {release}: it is stable", view.name)));
        }
        self.has_release.then(|| {
            Outcome::Changed(format!("{}: the canary is {canary} now, not {release}", view.name))
        })
    }

    /// Takes note of an event. Its state can be over before the next view.
    pub(super) fn hear(&self, event: &EventView) -> Option<Outcome> {
        let view = self.latest.as_ref().filter(|_| self.has_release && !self.is_replay)?;
        let text = format!("{} {}: {}", view.name, view.channels.canary.release, event.sentence);
        of_phase(self.goal, event.phase, &text)
    }

    /// Returns a sentence about what is waited for.
    pub(super) fn describe(&self) -> String {
        let Some(view) = &self.latest else { return "waiting for the server".to_owned() };
        match &self.release {
            Some(release) if !self.has_release => format!(
                "{}: the canary is {}; waiting for {release}",
                view.name, view.channels.canary.release
            ),
            _ => format!("{} {}: {}", view.name, view.channels.canary.release, view.summary),
        }
    }

    pub(super) fn time_is_over(&self) -> Outcome {
        Outcome::TimedOut(format!("the time is over; {}", self.describe()))
    }

    /// Returns the latest state.
    pub(super) fn latest(&self) -> Option<&CanaryView> {
        self.latest.as_deref()
    }
}
