use canary_core::Channel;

use super::Rollout;
use crate::{
    action::Action,
    actor::Actor,
    command::{
        Refusal,
        order::{Command, Order},
    },
    plan::{OnDegraded, definition::Plan},
    preview::Preview,
    span::Span,
    state::{Stage, phase::Phase},
    timestamp::Timestamp,
};

impl Rollout {
    /// Returns the exact effect that a command would have now. Nothing changes.
    ///
    /// ```
    /// use canary_core::PerChannel;
    /// use canary_rollout::{
    ///     Actor, Command, Order, Releases, Rollout, Timestamp, plan::Preset,
    /// };
    ///
    /// let now: Timestamp = "2026-11-24T09:00:00Z".parse()?;
    /// let releases = Releases { stable: "v1".parse()?, canary: "v2".parse()? };
    /// let mut rollout = Rollout::new("shop".parse()?, releases, Preset::all()[0].plan());
    /// rollout.command(now, &Order::new(Command::Start, Actor::person("anna"), ""))?;
    ///
    /// let preview = rollout.preview(now, &Command::RollBack)?;
    /// let open = PerChannel { stable: 300, canary: 12 };
    /// assert_eq!(
    ///     preview.with_open_calls(open).to_string(),
    ///     "The next call is served by v1. 12 open calls of v2 are asked to end. \
    ///      Only a new start raises the weight again.",
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the refusal that the command would get.
    pub fn preview(&self, now: Timestamp, command: &Command) -> Result<Preview, Refusal> {
        self.preview_with(now, command, None)
    }

    /// Returns the exact effect that a command would have now if `next` is the
    /// [plan](crate::replica::Replica::pending_plan) that applies from the next start. Nothing changes.
    ///
    /// # Errors
    ///
    /// Returns the refusal that the command would get.
    pub fn preview_with(
        &self,
        now: Timestamp,
        command: &Command,
        next: Option<&Plan>,
    ) -> Result<Preview, Refusal> {
        let mut after = self.clone();
        let mut events = Vec::new();
        if let Some(plan) = next.filter(|_| command.begins_attempt(self.phase())) {
            events = after.set_plan(now, plan.clone(), &Actor::Plan, "").events;
        }
        let has_new_plan = !events.is_empty();
        let order = Order::new(command.clone(), Actor::Plan, "");
        let transition = after.command(now, &order)?;
        events.extend(transition.events);
        let has = |is: fn(&Action) -> bool| transition.actions.iter().any(is);
        let takes_back = has(|action| matches!(action, Action::RollBack | Action::Halt(_)));
        let consequences = match transition.note {
            Some(_) => Vec::new(),
            None => {
                let plan = has_new_plan.then(|| "The new plan of this build applies.".to_owned());
                plan.into_iter().chain(self.consequences(now, command, &after)).collect()
            }
        };
        Ok(Preview {
            command: command.name(),
            phase: after.phase(),
            from: self.weight,
            to: after.weight,
            discards_evidence: has(|action| matches!(action, Action::BeginEvidence { .. })),
            drains: takes_back.then_some(Channel::Canary),
            open_calls: None,
            events: events.into_iter().map(|event| event.kind).collect(),
            note: transition.note,
            consequences,
            releases: self.releases.clone(),
        })
    }

    /// Returns sentences about the consequences of a command, which leads to `after`.
    fn consequences(&self, now: Timestamp, command: &Command, after: &Self) -> Vec<String> {
        let new_attempt = || "A new attempt begins, without evidence.".to_owned();
        let mut sentences = Vec::new();
        match command {
            Command::Start | Command::Restart => {
                sentences.extend(self.describe_rollback(now));
                sentences.push(new_attempt());
                sentences.extend(after.describe_wait(now));
            }
            Command::Pause => {
                sentences.push("The plan waits until it is resumed.".to_owned());
                sentences.push(self.describe_degraded());
            }
            Command::Resume | Command::SkipStep => {
                let verb = if *command == Command::Resume { "continues with" } else { "begins" };
                let stage = after.describe_stage();
                sentences.push(format!("The plan {verb} {stage}."));
                sentences.extend(self.describe_new_monitors(after));
                sentences.extend(after.describe_wait(now));
            }
            Command::SetWeight { .. } => {
                if self.attempt != after.attempt {
                    sentences.push(new_attempt());
                }
                if self.phase() != Phase::Paused && !self.plan().is_by_hand() {
                    sentences.push("The plan is paused.".to_owned());
                }
            }
            Command::Promote | Command::PromoteFully => {
                sentences.extend(self.describe_promotion(after));
            }
            Command::RollBack => {
                sentences.extend(self.describe_restored_variables());
                sentences.push("Only a new start raises the weight again.".to_owned());
            }
            Command::Halt => {
                sentences.extend(self.describe_restored_variables());
                let canary = &self.releases.canary;
                sentences.push(format!(
                    "Testers do not reach {canary} either, and nothing starts until the halt is \
                     lifted."
                ));
            }
            Command::LiftHalt => sentences.push("A start is possible again.".to_owned()),
            Command::Approve { gate } => {
                sentences.push(format!("Gate {gate:?} opens, and the plan may continue."));
            }
            Command::Reject { gate } => {
                let then = match after.phase() {
                    Phase::RolledBack => "and the canary is rolled back",
                    _ => "and the plan is paused",
                };
                sentences.push(format!("Gate {gate:?} is rejected, {then}."));
            }
            Command::SetVariables(_) => {
                sentences.push(
                    "New calls see the new variables, and open calls keep theirs.".to_owned(),
                );
                if self.is_judged() {
                    sentences.push("The evidence so far still counts.".to_owned());
                }
            }
        }
        sentences
    }

    fn describe_stage(&self) -> String {
        match self.state.stage() {
            Some(Stage::Step { step }) => self.step_of(step),
            Some(Stage::Bake { .. }) => "the bake".to_owned(),
            Some(Stage::Start) | None => "its start".to_owned(),
        }
    }

    /// Names the monitors that judge from a later step on, and begin now.
    fn describe_new_monitors(&self, after: &Self) -> Option<String> {
        let begun = self.begun_steps().max(1) + 1..=after.begun_steps();
        let monitors = self.plan().judge_monitors().into_iter();
        let new = monitors.filter(|monitor| begun.contains(&monitor.starting_step()));
        let names: Vec<_> = new.map(|monitor| format!("`{}`", monitor.name())).collect();
        let verb = if names.len() == 1 { "begins" } else { "begin" };
        (!names.is_empty()).then(|| format!("{} {verb} to judge.", names.join(" and ")))
    }

    /// Describes the conditions that the first step, or a closed calendar, waits for.
    fn describe_wait(&self, now: Timestamp) -> Option<String> {
        let is_closed = self.state.progress().is_some_and(|progress| progress.since.is_none());
        if self.phase() != Phase::Starting && !is_closed {
            return None;
        }
        let waits: Vec<_> = self.pending(now).waiting_for.iter().map(ToString::to_string).collect();
        (!waits.is_empty()).then(|| format!("It first waits for {}.", waits.join(" and ")))
    }

    fn describe_degraded(&self) -> String {
        let canary = &self.releases.canary;
        let reaction = match self.plan().on_degraded() {
            OnDegraded::RollBack => "is still rolled back",
            OnDegraded::RampDown(_) => "still loses its calls in steps",
            OnDegraded::Report => "still keeps its weight",
            OnDegraded::Freeze => "still keeps its weight until an operator decides",
        };
        format!("If {canary} is degraded, it {reaction}.")
    }

    fn describe_promotion(&self, after: &Self) -> Vec<String> {
        let Self { releases: super::Releases { stable, canary }, .. } = self;
        let mut sentences = Vec::new();
        if let (Phase::Baking, Some(bake)) = (after.phase(), self.plan().bake()) {
            let (holdback, duration) = (bake.holdback, Span(bake.duration));
            sentences.push(format!(
                "{stable} keeps {holdback} for comparison during a bake of {duration}. Then {canary} \
                 serves every call."
            ));
            sentences.push(self.describe_degraded());
            sentences.extend(self.describe_new_monitors(after));
        } else {
            let ends = if self.plan().is_by_hand() { "" } else { "The plan ends, and " };
            sentences.push(format!("{ends}{canary} is no longer judged."));
            let overrides = self.variables.overrides.iter().count();
            if overrides > 0 {
                sentences.push(format!("The overrides of {canary} become variables of the stage."));
            }
        }
        sentences
    }

    fn describe_restored_variables(&self) -> Option<String> {
        let is_undone = self.phase() == Phase::Promoted && !self.variables.overrides.is_empty();
        is_undone.then(|| "The stage gets its variables from before the promotion.".to_owned())
    }
}
