//! Commands, of people and of programs.

use canary_rollout::{Order, Transition};

use crate::{
    CommandError,
    driver::{
        run::{ATTEMPTS, Driver, Request, TARGET, goes_back},
        save::Carried,
    },
    weight_lock::TakenBack,
};

impl Driver {
    pub(super) async fn serve(&mut self, request: Request) {
        let Request { order, generation, answer, taken_back } = request;
        if answer.is_closed() && !goes_back(&order.command) {
            return;
        }
        let answered = self.obey(&order, generation, taken_back).await;
        self.show();
        // Whoever asked may have gone away.
        let _ = answer.send(answered);
    }

    pub(super) async fn obey(
        &mut self,
        order: &Order,
        seen: Option<u64>,
        taken_back: Option<TakenBack>,
    ) -> Result<Transition, CommandError> {
        if self.unloaded.is_some() {
            self.load().await;
        }
        if let Some(why) = self.unloaded.clone() {
            return self.later(order, taken_back, &why).ok_or(CommandError::Unloaded(why));
        }
        for _ in 0..ATTEMPTS {
            let generation = self.rollout.generation();
            if !goes_back(&order.command) {
                if let Some(seen) = seen.filter(|seen| *seen != generation) {
                    return Err(CommandError::Changed { seen, generation });
                }
                if !self.is_ours() {
                    return Err(CommandError::OtherReleases(self.rollout.releases().clone()));
                }
            }
            let mut after = self.rollout.clone();
            let mut outcome = after.command(self.clock.now(), order)?;
            if outcome.actions.is_empty() {
                return Ok(outcome);
            }
            match self.carry_out(after, &outcome).await {
                Carried::Done => return Ok(outcome),
                Carried::Unsaved(error) => {
                    outcome.note = Some(format!("in force, but not stored yet: {error}"));
                    return Ok(outcome);
                }
                Carried::Undone(error) => return Err(CommandError::Unsaved(error)),
                Carried::Unknown(error) => return Err(CommandError::Unknown(error)),
                Carried::Overtaken => {}
            }
        }
        let why = CommandError::Contended.to_string();
        self.later(order, taken_back, &why).ok_or(CommandError::Contended)
    }

    /// Notes a command that is in force already, to be done as soon as that is possible. None if it is
    /// not such a command.
    fn later(&mut self, order: &Order, by: Option<TakenBack>, why: &str) -> Option<Transition> {
        let mut outcome = Transition::default();
        outcome.note = Some(format!("in force, but not stored yet: {why}"));
        goes_back(&order.command).then(|| {
            self.owed.push_back((order.clone(), by));
            outcome
        })
    }

    /// Notes a command that nobody waits for, to be done next.
    pub(super) fn owe(&mut self, order: Order) {
        self.owed.push_back((order, None));
    }

    /// Does what is owed by now. The state may have come to refuse it.
    pub(super) async fn do_owed(&mut self) {
        for _ in 0..self.owed.len() {
            if self.unloaded.is_some() {
                return;
            }
            let Some((order, taken_back)) = self.owed.pop_front() else { return };
            if let Err(error) = self.obey(&order, None, taken_back).await {
                tracing::warn!(target: TARGET, canary = %self.canary.name(), "{error}");
            }
        }
    }
}
