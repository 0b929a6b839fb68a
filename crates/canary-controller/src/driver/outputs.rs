//! Carries out the outputs of the state machine.

use std::sync::Arc;

use canary_analysis::Baseline;
use canary_core::Weight;
use canary_rollout::{
    Action, Plan, Relation, Rollout,
    event::Event,
    replica::{EvidenceOrder, EvidenceSwapped, Input, Loaded, Moment, Output, StoreState, Swapped},
};

use crate::{
    driver::{
        TARGET, attempt_id::AttemptId, attempt_judge::AttemptJudge, document_error::DocumentError,
        evidence::to_input, in_force::on_trip, run::Driver,
    },
    error_chain, monitors,
    notify::{Notification, audit},
    requirements::Unmet,
    store::{StoreOperation, WatchEvent},
    weight_lock::OnTrip,
};

impl Driver {
    /// Passes an input to the state machine, and carries out everything that follows from it.
    pub(super) async fn feed(&mut self, input: Input) {
        let mut next = Some(input);
        while let Some(input) = next.take() {
            if !matches!(input, Input::Beat | Input::EvidenceSwapped(EvidenceSwapped::Done)) {
                self.quiet = None;
            }
            for output in self.replica.handle(self.now(), input) {
                if let Some(result) = self.carry_out(output).await {
                    next = Some(result);
                }
            }
        }
        if self.replica.store() == &StoreState::InSync {
            // What could not be written here, another replica has written.
            self.health.forget(StoreOperation::Write, &self.document.path);
        }
        self.publish_latest();
        self.append_events().await;
        self.keep_copy().await;
    }

    /// Publishes the id of the latest stored event.
    fn publish_latest(&self) {
        if self.replica.store() == &StoreState::InSync {
            let latest = self.replica.rollout().latest();
            self.latest.send_if_modified(|known| {
                let is_new = *known != latest;
                *known = latest;
                is_new
            });
        }
    }

    pub(super) fn now(&self) -> Moment {
        let random = rand::random();
        Moment { at: self.clock.now(), uptime: self.started.elapsed(), random }
    }

    /// Carries out an output. Returns the result of a request to the store.
    async fn carry_out(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Load => return Some(Input::Loaded(self.load().await)),
            Output::Swap { rollout, evidence } => {
                return Some(Input::Swapped(self.swap(&rollout, evidence).await));
            }
            Output::SwapEvidence => {
                return Some(Input::EvidenceSwapped(self.swap_evidence().await));
            }
            Output::InForce => self.note_in_force(),
            Output::ResumeEvidence => self.resume_evidence(),
            Output::Lower(actions) => {
                let weight = self.plane.canary.weight();
                let lowers =
                    |action: &Action| !matches!(action, Action::SetWeight(to) if *to > weight);
                let actions: Vec<_> = actions.into_iter().filter(lowers).collect();
                self.perform(&actions);
            }
            Output::Apply(actions) => self.perform(&actions),
            Output::Enforce(actions) => {
                self.plane.set_salt(self.replica.rollout());
                self.perform(&actions);
            }
            Output::AcknowledgeTrip => self.plane.weight_lock.acknowledge(),
            Output::Reply { id, result } => {
                // The next command of the same caller names the latest event.
                self.publish_latest();
                self.publish_status();
                self.requests.reply(id, result.map_err(Into::into));
            }
            Output::Release(id) => self.requests.release(id),
            Output::Audit(event) => {
                self.note_decision(&event);
                audit(&Notification::new(self.replica.rollout(), event));
            }
            Output::Emit(event) => self.emit(event),
            Output::Warn(message) => {
                tracing::warn!(target: TARGET, canary = %self.plane.canary.name(), "{message}");
            }
        }
        None
    }

    async fn load(&mut self) -> Result<Loaded, String> {
        let is_first = !self.replica.is_loaded();
        let loaded = self.document.load().await;
        self.note_health(StoreOperation::Read, &loaded);
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => return Err(error_chain::with_causes(&error)),
        };
        if is_first {
            self.load_evidence().await?;
            let driver = self.evidence.driver();
            self.replica.handle(self.now(), Input::EvidenceSeen(driver));
        }
        Ok(loaded)
    }

    /// Loads the evidence. Returns whether it has changed.
    async fn load_evidence(&mut self) -> Result<bool, String> {
        let loaded = self.evidence.load().await.map_err(|error| error_chain::with_causes(&error));
        let result = match (&loaded, self.evidence.fault()) {
            (Err(error), _) => Err(error.clone()),
            (Ok(_), Some(fault)) => Err(format!("{fault}; the judge starts without evidence")),
            (Ok(_), None) => Ok(()),
        };
        let now = self.clock.now();
        self.health.note(now, StoreOperation::Read, &self.evidence.path, result);
        self.is_evidence_behind = loaded.is_err();
        loaded
    }

    /// Notes whether an operation on the document of the rollout has succeeded.
    fn note_health<T>(&mut self, operation: StoreOperation, result: &Result<T, DocumentError>) {
        let result = result.as_ref().map(drop).map_err(|error| error_chain::with_causes(error));
        self.health.note(self.clock.now(), operation, &self.document.path, result);
    }

    /// Notes whether the watches of both documents work.
    pub(super) fn note_watch(&mut self, path: &str, event: &WatchEvent) {
        let result = match event {
            WatchEvent::Stale { why } => Err(why.clone()),
            WatchEvent::Value(_) | WatchEvent::Absent | WatchEvent::Fresh => Ok(()),
        };
        self.health.note(self.clock.now(), StoreOperation::Watch, path, result);
    }

    /// Saves a rollout, and the evidence before or after it.
    async fn swap(&mut self, rollout: &Rollout, evidence: EvidenceOrder) -> Swapped {
        if evidence == EvidenceOrder::Before {
            match self.swap_evidence().await {
                EvidenceSwapped::Done | EvidenceSwapped::Impossible => {}
                EvidenceSwapped::Conflict(driver) => return Swapped::Deposed(driver),
                EvidenceSwapped::Failed(reason) => return Swapped::Failed(reason),
            }
        }
        let latest = rollout.history().next_back();
        let saved = self.document.save(rollout, latest).await;
        self.note_health(StoreOperation::Write, &saved);
        let swapped = match saved {
            Ok(swapped) => swapped,
            Err(error) if error.is_unknown() => Swapped::Unknown(error_chain::with_causes(&error)),
            Err(error) => Swapped::Failed(error_chain::with_causes(&error)),
        };
        if swapped == Swapped::Saved {
            self.appends_events = true;
            if evidence == EvidenceOrder::After {
                // If this fails, the next beat stores the evidence.
                let _ = self.swap_evidence().await;
            }
        }
        swapped
    }

    pub(super) async fn swap_evidence(&mut self) -> EvidenceSwapped {
        let becomes_driver = self.evidence.driver().as_ref() != Some(&self.id);
        if let Err(error) = self.publish_judged().await {
            // Another replica may be able to publish, so this one must not drive without evidence.
            let causes = error_chain::with_causes(&error);
            return EvidenceSwapped::Failed(format!("the counts could not be published: {causes}"));
        }
        let stored = self.judge.evidence(self.board.roster().clone());
        let saved = self.evidence.save(stored, self.replica.rollout()).await;
        if let Some(stored) = self.evidence.of(self.replica.rollout()) {
            self.judge.close_as(stored, &self.id);
        }
        self.note_evidence(&saved);
        if matches!(saved, Ok(EvidenceSwapped::Done)) {
            self.board.note_stored();
            if becomes_driver {
                // The previous driver may have died before it appended its last events.
                self.document.doubt_history();
            }
        }
        to_input(&saved)
    }

    /// Updates what depends on the rollout in force.
    fn note_in_force(&mut self) {
        let rollout = self.replica.rollout();
        if self.in_force.plan != *rollout.plan() {
            self.in_force.plan = rollout.plan().clone();
            self.register_receivers(rollout.plan());
            if self.replica.relation() == Relation::Same {
                self.check_plan(rollout.plan());
            }
        }
        let stage = rollout.state().stage();
        if self.in_force.attempt != rollout.attempt() || self.in_force.stage != stage {
            (self.in_force.attempt, self.in_force.stage) = (rollout.attempt(), stage);
            self.tasks.cancel();
        }
        let is_ours = self.replica.relation() == Relation::Same;
        let on_trip = if is_ours { on_trip(rollout) } else { OnTrip::Ignore };
        self.plane.weight_lock.set_on_trip(on_trip, rollout.attempt());
        if rollout.weight() == Weight::ZERO {
            self.plane.weight_lock.acknowledge();
        }
        self.reach_step();
    }

    pub(super) fn register_receivers(&self, plan: &Plan) {
        let name = self.plane.canary.name();
        if let Err(unmet) = self.effects.notifier.register(name, plan) {
            tracing::error!(
                target: TARGET, canary = %name,
                "some receivers will get no notifications: {unmet}",
            );
        }
    }

    /// Logs what this process lacks for a plan that it has not checked when the canary was added: the
    /// rollout began with the plan of an earlier process, or of another one.
    fn check_plan(&self, plan: &Plan) {
        let canary = &self.plane.canary;
        let checks = [self.effects.check_tasks(plan), monitors::check_plan(plan, canary)];
        if let Err(unmet) = Unmet::all(checks) {
            tracing::error!(
                target: TARGET, canary = %canary.name(),
                "the plan of the rollout has requirements that this process does not meet: {unmet}",
            );
        }
    }

    fn perform(&mut self, actions: &[Action]) {
        for action in actions {
            if !self.plane.perform(action) {
                self.perform_task(action);
            }
        }
    }

    fn perform_task(&mut self, action: &Action) {
        let rollout = self.replica.rollout();
        match action {
            Action::BeginEvidence { .. } => {
                self.plane.set_salt(rollout);
                self.begin_evidence();
                self.tasks.probe_results.clear();
            }
            Action::BeginStep => self.judge.begin_step(),
            Action::RunProbe(name) => self.tasks.run_probe(rollout, name.clone()),
            Action::AskGate(name) => self.tasks.ask_gate(rollout, name.clone(), self.clock.now()),
            Action::Notify { to, event } => {
                self.effects.notify(to, rollout, event.clone());
            }
            Action::Save => {}
            other => {
                let name = self.plane.canary.name();
                tracing::error!(target: TARGET, canary = %name, "unsupported action {other:?}");
            }
        }
    }

    fn begin_evidence(&mut self) {
        let (rollout, plane) = (self.replica.rollout(), &self.plane);
        let (attempt, plan) = (rollout.attempt(), rollout.plan());
        // A process that has just started knows what the one before has stored.
        let own = Some(self.judge.baseline()).filter(|it| *it != Baseline::default());
        let baseline = own.or_else(|| self.evidence.baseline()).unwrap_or_default();
        // What is published in an attempt never decreases, even if the judge begins again.
        let is_same = self.board.is_of(&AttemptId::of(rollout));
        let own = is_same.then(|| self.judge.own().clone());
        self.board.begin(AttemptId::of(rollout));
        let (canary, weight_lock) = (&plane.canary, &plane.weight_lock);
        self.judge = AttemptJudge::new(attempt, plan, &baseline, own, canary, weight_lock);
    }

    /// Takes the evidence of the rollout from the stored evidence. If that belongs to another attempt
    /// or other monitors, the judge begins without evidence.
    fn resume_evidence(&mut self) {
        // The judge watches keys by their hashes, so the salt comes first.
        self.plane.set_salt(self.replica.rollout());
        let (rollout, plane) = (self.replica.rollout(), &self.plane);
        let Some(stored) = self.evidence.of(rollout) else { return self.begin_evidence() };
        let plan = rollout.plan();
        // A replica that began the attempt, and was replaced as its driver, keeps its own counts.
        let is_same = self.board.is_of(&AttemptId::of(rollout));
        self.board.enter(AttemptId::of(rollout));
        self.board.follow(stored.roster.clone());
        let resumed = if is_same {
            self.judge.follow(stored, &self.id, plan, &plane.canary)
        } else {
            let step = rollout.begun_steps().max(1);
            AttemptJudge::resume(stored, step, plan, &plane.canary, &plane.weight_lock)
                .map(|judge| self.judge = judge)
        };
        if let Err(error) = resumed {
            if is_same && self.judge.has_discarded() {
                // The driver stores evidence every two seconds. The guard must not begin again as often.
                // The board does, because it has taken over the roster of that evidence.
                return self.board.begin(AttemptId::of(rollout));
            }
            tracing::warn!(
                target: TARGET, canary = %self.plane.canary.name(),
                "the stored evidence is discarded, and the judge starts without evidence: {error}",
            );
            self.begin_evidence();
            self.judge.note_discarded();
        }
    }

    /// Loads the evidence, and follows it unless this replica drives.
    pub(super) async fn follow_evidence(&mut self) {
        if !self.replica.is_loaded() {
            return;
        }
        if self.load_evidence().await == Ok(true) {
            if !self.replica.holds_evidence() {
                // Another replica writes it.
                self.health.forget(StoreOperation::Write, &self.evidence.path);
            }
            self.feed(Input::EvidenceSeen(self.evidence.driver())).await;
            let is_of_rollout = self.evidence.of(self.replica.rollout()).is_some();
            if is_of_rollout && !self.replica.holds_evidence() {
                self.resume_evidence();
            }
        }
    }

    fn emit(&self, event: Event) {
        // Fails without subscribers.
        let _ = self.events.send(Arc::new(event));
    }

    /// Keeps the evidence of a decision for the history. Only the driver has it.
    fn note_decision(&mut self, event: &Event) {
        if !event.evidence.is_empty() && self.replica.holds_evidence() {
            let plan = self.replica.rollout().plan();
            let decision = self.judge.to_decision(plan, &self.plane.canary);
            self.decisions.note(event.clone(), decision);
        }
    }

    /// Appends the new events of the stored rollout to the history in the store.
    pub(super) async fn append_events(&mut self) {
        if !std::mem::take(&mut self.appends_events) {
            return;
        }
        let rollout = self.replica.rollout();
        if self.replica.unsaved().is_empty() {
            let appended = if self.document.lacks_events(rollout) {
                self.document.append_events(rollout, &self.decisions).await
            } else {
                Ok(())
            };
            self.note_health(StoreOperation::History, &appended);
        }
    }

    /// Saves the evidence for the next driver.
    pub(super) async fn release_evidence(&mut self) {
        let stored = self.judge.evidence(self.board.roster().clone());
        let released = self.evidence.release(stored, self.replica.rollout()).await;
        self.note_evidence(&released);
    }

    /// Notes whether the evidence was stored. A swap also reads the document that it conflicts with.
    fn note_evidence(&mut self, saved: &Result<EvidenceSwapped, DocumentError>) {
        let (now, path) = (self.clock.now(), &self.evidence.path);
        let result = saved.as_ref().map(drop).map_err(|error| error_chain::with_causes(error));
        let is_stored = result.is_ok();
        self.health.note(now, StoreOperation::Write, path, result);
        if is_stored {
            let read = self.evidence.fault().map_or(Ok(()), |fault| Err(fault.to_owned()));
            self.health.note(now, StoreOperation::Read, path, read);
        }
    }
}
