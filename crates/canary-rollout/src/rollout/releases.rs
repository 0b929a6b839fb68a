use std::time::Duration;

use canary_core::{Verdict, Weight};
use serde::{Deserialize, Serialize};

use super::{MonotonicTime, Releases, Rollout, change::Change};
use crate::{
    action::{Action, Transition},
    actor::Actor,
    command::PlanInUse,
    event::EventKind,
    plan::definition::Plan,
    state::phase::{Phase, State},
    text::{REASON_BYTES, bounded},
    timestamp::Timestamp,
};

/// The relation of a build to the releases that a rollout is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the cases are complete")]
pub enum Relation {
    /// The rollout is for this build.
    Same,
    /// The rollout has never been for this build.
    New,
    /// The rollout was for this build before. It did not promote the canary of this build, or the
    /// stable release is the one of this build again.
    Superseded,
    /// The rollout was for this build before, and promoted its canary, which serves all calls since
    /// then.
    Promoted,
}

/// Releases that a rollout was for before.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Superseded {
    releases: Releases,
    is_promoted: bool,
}

impl Rollout {
    /// Returns the relation of a build with these releases to the rollout. The rollout remembers its
    /// last eight releases.
    #[must_use]
    pub fn relation(&self, releases: &Releases) -> Relation {
        if self.releases == *releases {
            return Relation::Same;
        }
        match self.superseded.iter().find(|it| it.releases == *releases) {
            None => Relation::New,
            Some(it) if it.is_promoted && self.releases.stable != releases.stable => {
                Relation::Promoted
            }
            Some(_) => Relation::Superseded,
        }
    }

    /// Sets the releases. Call this after loading a rollout.
    ///
    /// If the releases are the same, nothing changes. Otherwise the rollout becomes idle at weight
    /// zero, and its next start discards the evidence. A halt persists.
    ///
    /// Variables persist. If the promoted canary has become the new stable, its overrides have become
    /// variables of the stage.
    ///
    /// ```
    /// use canary_rollout::{
    ///     Actor, Command, Order, Phase, Releases, Rollout, Timestamp, plan::Preset,
    /// };
    ///
    /// let now: Timestamp = "2026-11-24T09:00:00Z".parse()?;
    /// let broken = Releases { stable: "v1".parse()?, canary: "v2".parse()? };
    /// let mut rollout = Rollout::new("shop".parse()?, broken.clone(), Preset::all()[0].plan());
    /// rollout.command(now, &Order::new(Command::Start, Actor::person("anna"), ""))?;
    ///
    /// let stored = serde_json::to_string(&rollout)?;
    /// let mut rollout: Rollout = serde_json::from_str(&stored)?;
    /// assert!(rollout.set_releases(now, broken).actions.is_empty());
    /// assert_eq!(rollout.phase(), Phase::Running);
    ///
    /// rollout.set_releases(now, Releases { stable: "v1".parse()?, canary: "v2.1".parse()? });
    /// assert_eq!(rollout.phase(), Phase::Idle);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_releases(&mut self, now: Timestamp, releases: Releases) -> Transition {
        if self.releases == releases {
            return Transition::default();
        }
        let pair = |releases: &Releases| format!("{} against {}", releases.canary, releases.stable);
        let reason = bounded(
            &format!("{}, previously {}", pair(&releases), pair(&self.releases)),
            REASON_BYTES,
        );
        let is_promoted = self.phase() == Phase::Promoted;
        if is_promoted && self.releases.canary == releases.stable {
            self.variables = self.variables.promoted();
        }
        self.superseded.retain(|it| it.releases != releases && it.releases != self.releases);
        if self.superseded.len() == MAX_SUPERSEDED {
            self.superseded.pop_front();
        }
        let previous = std::mem::replace(&mut self.releases, releases);
        self.superseded.push_back(Superseded { releases: previous, is_promoted });
        self.verdict = Verdict::Inconclusive;
        self.evidence.clear();
        self.warm_up_left = None;
        self.without_quorum = None;
        self.clock = MonotonicTime { latest: Some(now), elapsed: Duration::ZERO, ..self.clock };
        let mut change = Change::new(self, now);
        if change.rollout.phase() != Phase::Halted {
            if change.rollout.weight > Weight::ZERO {
                change.take_back(Action::RollBack);
            }
            change.enter(State::Idle);
        }
        change.record(Actor::Plan, EventKind::ReleaseChanged, reason);
        change.finish()
    }

    /// Replaces the plan. The new plan applies from the next start.
    ///
    /// # Errors
    ///
    /// Returns an error if the rollout is in progress with another plan. Roll back first.
    pub fn replace_plan(
        &mut self,
        now: Timestamp,
        plan: Plan,
        by: &Actor,
        reason: &str,
    ) -> Result<Transition, PlanInUse> {
        if *self.plan() == plan {
            let note = Some("the rollout already has this plan".to_owned());
            return Ok(Transition { note, ..Transition::default() });
        }
        let phase = self.phase();
        match phase {
            Phase::Idle | Phase::Promoted | Phase::RolledBack | Phase::Halted => {}
            Phase::Starting
            | Phase::Running
            | Phase::Paused
            | Phase::RampingDown
            | Phase::Baking => return Err(PlanInUse(phase)),
        }
        Ok(self.set_plan(now, plan, by, reason))
    }

    /// Replaces the plan in any phase. If the rollout is in progress, a restart must follow.
    pub(crate) fn set_plan(
        &mut self,
        now: Timestamp,
        plan: Plan,
        by: &Actor,
        reason: &str,
    ) -> Transition {
        if *self.plan() == plan {
            return Transition::default();
        }
        self.plan = plan.into();
        let mut change = Change::new(self, now);
        change.record(by.bounded(), EventKind::PlanReplaced, bounded(reason, REASON_BYTES));
        change.rollout.plan_event = change.rollout.history.count;
        change.finish()
    }
}

const MAX_SUPERSEDED: usize = 8;
