use crate::driver::{
    attempt_judge::{AttemptJudge, NotResumed},
    documents::DocumentError,
    run::{Driver, TARGET},
    save::ApplyResult,
};
use canary_core::{StickySecret, Weight};
use canary_rollout::{Actor, Command, Order, Phase};

impl Driver {
    /// Loads the stored rollout and its evidence. After an error, `load_error` is set, and the
    /// weight stays as it is.
    pub(super) async fn load(&mut self) {
        match self.try_load().await {
            Ok(()) => self.load_error = None,
            Err(error) => {
                let name = self.canary.name();
                tracing::warn!(
                    target: TARGET, canary = %name,
                    "the stored rollout is not loaded, the weight stays: {error}",
                );
                self.load_error = Some(error.to_string());
            }
        }
    }

    async fn try_load(&mut self) -> Result<(), DocumentError> {
        let stored = self.documents.load().await?;
        let evidence = self.documents.load_evidence().await?;
        let mut rollout = stored.map_or_else(|| self.rollout.clone(), |stored| *stored.rollout);
        if rollout.sticky_secret().is_none() && rollout.weight() == Weight::ZERO {
            // The next change of the rollout stores it.
            rollout = rollout.with_sticky_secret(Some(draw_sticky_secret()));
        }
        let now = self.clock.now();
        let mut transitions = vec![rollout.set_releases(now, self.settings.releases.clone())];
        let is_same_release = transitions[0].actions.is_empty();
        let (plan, by) = (self.settings.plan.clone(), Actor::program(DEPLOYMENT));
        match rollout.replace_plan(now, plan, &by, "the plan of this build") {
            Ok(transition) => transitions.push(transition),
            Err(in_use) => {
                tracing::warn!(target: TARGET, canary = %self.canary.name(), "{in_use}");
            }
        }
        // The judge watches keys by their hashes, so the salt comes first.
        self.set_salt(&rollout);
        self.judge = evidence
            .filter(|stored| is_same_release && stored.attempt() == rollout.attempt())
            .and_then(|stored| {
                let plan = rollout.plan();
                let resumed = AttemptJudge::resume(&stored, plan, &self.canary, &self.weight_lock);
                resumed.inspect_err(|error| self.warn_not_resumed(error)).ok()
            })
            .unwrap_or_else(|| {
                let (attempt, plan) = (rollout.attempt(), rollout.plan());
                AttemptJudge::new(attempt, plan, &self.canary, &self.weight_lock)
            });
        self.load_error = None;
        self.register_receivers(rollout.plan());
        self.set_rollout(rollout.clone());
        self.enforce_rollout();
        for transition in transitions.iter().filter(|it| !it.actions.is_empty()) {
            if let ApplyResult::Superseded = self.apply(rollout.clone(), transition).await {
                return Err(DocumentError::Contended);
            }
        }
        Ok(())
    }

    fn warn_not_resumed(&self, error: &NotResumed) {
        let name = self.canary.name();
        tracing::warn!(
            target: TARGET, canary = %name,
            "the stored evidence is discarded, and the judge starts without evidence: {error}",
        );
    }

    /// Starts an idle rollout of this process's releases, if the application has enabled that.
    pub(super) fn start_if_idle(&mut self) {
        let is_idle = self.load_error.is_none() && self.rollout.phase() == Phase::Idle;
        if self.settings.auto_start && is_idle && self.owns_releases() {
            let reason = "these releases have not been rolled out";
            self.enqueue(Order::new(Command::Start, Actor::program(DEPLOYMENT), reason));
        }
    }
}

/// Draws a secret for the hash that assigns sticky keys to channels.
fn draw_sticky_secret() -> StickySecret {
    StickySecret::from_bytes(rand::random())
}

/// The actor of changes at the start of a process.
const DEPLOYMENT: &str = "deployment";
