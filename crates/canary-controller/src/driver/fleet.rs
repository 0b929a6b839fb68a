//! The exchange of counts between the replicas of a rollout, through the board.

use canary_core::Weight;
use canary_rollout::fleet::{BoardSign, Fleet};

use crate::{
    driver::{
        attempt_id::AttemptId,
        board::{Presence, Unjudged},
        document_error::DocumentError,
        run::Driver,
    },
    error_chain::with_causes,
    store::StoreOperation,
};

impl Driver {
    /// Publishes the counts of this process, or lists those of the others if this replica drives, once per
    /// beat. A driver publishes with its evidence.
    pub(super) async fn exchange_counts(&mut self) {
        if !self.replica.takes_part() {
            return self.publish_last().await;
        }
        let is_driving = self.replica.is_driving();
        if !is_driving {
            self.judge.read(&self.plane.canary);
        }
        self.judge.collect_keys();
        self.board.enter(AttemptId::of(self.replica.rollout()));
        self.judge.share_alpha(self.fleet().map_or(1, |fleet| fleet.of));
        if !is_driving && self.board.is_publication_due() {
            // A failure is shown by the status, and the next beat tries again.
            let _ = self.publish_counts(Presence::Stays).await;
        }
        if is_driving && self.board.is_list_due() {
            let stored = self.evidence.of(self.replica.rollout()).map(|evidence| &evidence.roster);
            let listed = self.board.list(stored, self.judge.own().first_step()).await;
            let result = listed.map_err(|error| with_causes(&error));
            let (now, path) = (self.clock.now(), &self.evidence.path);
            self.health.note(now, StoreOperation::Read, path, result);
        }
    }

    /// Begins the monitors of the step in force. The judge first observes the calls before it.
    pub(super) fn reach_step(&mut self) {
        let rollout = self.replica.rollout();
        let is_ours = self.is_known() && rollout.attempt() == self.judge.attempt();
        let (step, weight) = (rollout.begun_steps(), rollout.weight());
        if !is_ours {
            return;
        }
        // Calls of the step before are no evidence for the monitors of this one.
        if self.judge.is_before_monitors(step) {
            self.board.judge_again();
            if !self.replica.is_driving() {
                self.judge.read(&self.plane.canary);
            } else if self.look(weight).is_none() {
                // The next look is one of the step before, so that the monitors do not observe them.
                self.judge.hold(&self.plane.canary);
            }
        }
        self.judge.reach_step(step, &self.plane.canary);
    }

    /// Gives the judge the calls of all replicas since the last look, if a look is due. Returns the number
    /// of canary calls among them that were assigned at `weight` and have ended. `None` if no look was
    /// due or possible.
    ///
    /// The driver adds its own calls to its counts only here. So its publications have exactly those that
    /// the judge has observed, and a beat identifies them.
    pub(super) fn look(&mut self, weight: Weight) -> Option<u64> {
        let (judge, me, canary) = (&mut self.judge, &self.id, &self.plane.canary);
        let Unjudged { list, keys, roster } = self.board.unjudged()?;
        judge.look(list, keys, roster, me, canary, weight)
    }

    /// Publishes the calls that ended with the rollout, once.
    async fn publish_last(&mut self) {
        let is_of_rollout = self.board.is_of(&AttemptId::of(self.replica.rollout()));
        if !is_of_rollout || !self.board.is_open() || !self.board.is_publication_due() {
            return;
        }
        if !self.replica.holds_evidence() {
            // The judge of the driver learns from the calls after the rollout.
            self.judge.read(&self.plane.canary);
        }
        let is_published = self.board.has(&self.judge.published())
            || self.publish_counts(Presence::Stays).await.is_ok();
        if is_published {
            self.board.close();
        }
    }

    /// Publishes the counts of this process. The board is a part of the evidence, so that a failure is
    /// reported as one of the evidence.
    pub(super) async fn publish_counts(&mut self, presence: Presence) -> Result<(), DocumentError> {
        let sign = self.judge.note_publication(self.id.clone(), self.board.next_beat());
        let sign = BoardSign { has_left: presence == Presence::Leaves, ..sign };
        let (counts, keys) = (self.judge.published(), self.judge.published_keys(presence));
        let weight = self.replica.rollout().weight();
        let published = self.board.publish(sign, &counts, keys, weight).await;
        let result = published.as_ref().map(drop).map_err(|error| with_causes(error));
        let (now, path) = (self.clock.now(), &self.evidence.path);
        self.health.note(now, StoreOperation::Write, path, result);
        published
    }

    /// Publishes the counts of this process that the evidence has, unless the board has them and a
    /// publication is not due. A successor sums up the board, and must find all counts there that the
    /// evidence has.
    pub(super) async fn publish_judged(&mut self) -> Result<(), DocumentError> {
        if !self.replica.takes_part() {
            return Ok(());
        }
        self.board.enter(AttemptId::of(self.replica.rollout()));
        if self.board.is_publication_due() || !self.board.has(&self.judge.published()) {
            self.publish_counts(Presence::Stays).await?;
        }
        if self.judge.own().is_judged() {
            self.board.note_judged(self.judge.own().lacking_step());
        }
        Ok(())
    }

    /// Returns which replicas the driver hears, while a rollout is in progress.
    pub(super) fn fleet(&self) -> Option<Fleet> {
        if !self.replica.takes_part() {
            return None;
        }
        let stored = self.evidence.of(self.replica.rollout()).map(|evidence| &evidence.roster);
        let roster = if self.replica.is_driving() { Some(self.board.roster()) } else { stored };
        roster.map(|roster| roster.fleet()).filter(|fleet| fleet.of > 0)
    }
}
