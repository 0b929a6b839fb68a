//! Validates a draft, and returns either a plan or all of the draft's faults.

use std::time::Duration;

use canary_analysis::{Judge, Levels, Unit};
use canary_core::Weight;

use super::{
    PlanError,
    calendar::{Calendar, WrittenCalendar},
    definition::Plan,
    draft::{Draft, StepDraft},
    monitor::{AlwaysWatched, MonitorSpec, check_warm_up},
    policy::{OnDegraded, OnInconclusive, RampDown, SecondProofSpec},
    preset::Preset,
    step::{Bake, DEFAULT_CALLS, DEFAULT_DEADLINE, MAX_STEPS, Step},
};
use crate::span::Span;

mod from_step;
mod origins;
mod parts;
mod references;
mod weights;
mod without_proof;

use self::origins::Origins;

/// The path of an invalid field, and the message.
pub(crate) type Fault = (String, String);

impl TryFrom<Draft> for Plan {
    type Error = Vec<Fault>;

    fn try_from(draft: Draft) -> Result<Self, Vec<Fault>> {
        let mut check = Check(Vec::new());
        let origins = Origins::of(&draft);
        let (steps, mut bake) = check.shape(&draft);
        if let Some(bake) = &mut bake {
            bake.without_proof_after = bake.without_proof_after.or(draft.without_proof_after);
        }
        let on_degraded = check.on_degraded(&draft);
        let listed = draft.monitors.as_ref().map_or(0, Vec::len);
        let mut monitors = check.monitors(draft.monitors, &draft.unwatched);
        let warm_up = check.warm_up(draft.warm_up);
        for monitor in monitors.iter_mut().filter(|monitor| monitor.has_warm_up()) {
            monitor.warm_up = monitor.warm_up.or(warm_up);
        }
        let mut plan = Self {
            start: draft.start,
            bake,
            max_weight: draft.max_weight.unwrap_or(Weight::FULL),
            deadline: draft.deadline,
            by_hand: draft.by_hand == Some(true),
            on_degraded,
            on_inconclusive: draft.on_inconclusive,
            alpha: draft.alpha.unwrap_or_else(|| Levels::default().alpha()),
            beta: draft.beta.unwrap_or_else(|| Levels::default().beta()),
            second_proof: draft.second_proof,
            monitors,
            unwatched: draft.unwatched,
            calendar: draft.calendar.and_then(|it| check.calendar(it)),
            gates: draft.gates,
            probes: draft.probes,
            notify: draft.notify,
            steps,
        };
        check.weights(&plan, &origins);
        check.durations(&plan, &origins);
        check.without_proof(&mut plan, &origins);
        check.references(&plan, draft.promote.gates.len());
        check.gates(&plan.gates);
        check.probes(&plan.probes);
        check.notify(&plan.notify);
        check.judge(&plan);
        check.starting_steps(&plan, listed);
        check.size(&plan);
        if check.0.is_empty() { Ok(plan) } else { Err(check.0) }
    }
}

struct Check(Vec<Fault>);

impl Check {
    /// Adds a fault, unless there are too many to read.
    fn fault(&mut self, field: impl Into<String>, message: impl Into<String>) {
        if self.0.len() < PlanError::MAX_FAULTS {
            self.0.push((field.into(), message.into()));
        }
    }

    /// Adds a fault of a value that steps may share, unless the field has one already.
    fn fault_once(&mut self, field: String, message: impl Into<String>) {
        if self.0.iter().all(|(known, _)| *known != field) {
            self.fault(field, message);
        }
    }

    /// Returns the steps and the bake, from the one field that defines the steps.
    fn shape(&mut self, draft: &Draft) -> (Vec<Step>, Option<Bake>) {
        let defined = [
            draft.steps.as_ref().map(|_| "steps"),
            draft.preset.as_ref().map(|_| "preset"),
            draft.linear.as_ref().map(|_| "linear"),
            draft.exponential.as_ref().map(|_| "exponential"),
            draft.by_hand.map(|_| "by_hand"),
        ];
        let defined: Vec<&str> = defined.into_iter().flatten().collect();
        if defined.len() != 1 {
            let found = if defined.is_empty() { "none".to_owned() } else { defined.join(" and ") };
            let expected =
                "expected one of `steps`, `preset`, `linear`, `exponential` and `by_hand`";
            let field = defined.last().copied().unwrap_or_default();
            self.fault(field, format!("{expected}, found {found}"));
        }
        let mut bake = draft.bake.clone();
        let drafts: Vec<StepDraft> = if let Some(steps) = &draft.steps {
            steps.clone()
        } else if let Some(linear) = &draft.linear {
            self.ramp("linear", linear.fault());
            linear.steps().into_iter().map(StepDraft::new).collect()
        } else if let Some(exponential) = &draft.exponential {
            self.ramp("exponential", exponential.fault());
            exponential.steps().into_iter().map(StepDraft::new).collect()
        } else if let Some(name) = &draft.preset {
            match name.parse::<Preset>() {
                Ok(preset) => {
                    bake = bake.or_else(|| preset.bake().map(Bake::of));
                    preset.steps().into_iter().map(StepDraft::new).collect()
                }
                Err(error) => {
                    self.fault("preset", error.to_string());
                    Vec::new()
                }
            }
        } else {
            Vec::new()
        };
        let field = defined.first().copied().unwrap_or_default();
        if self.0.is_empty() && draft.by_hand.is_some() {
            self.by_hand(draft);
            return (Vec::new(), None);
        }
        if self.0.is_empty() && !(1..=MAX_STEPS).contains(&drafts.len()) {
            let found = if drafts.is_empty() { "none" } else { "more" };
            self.fault(field, format!("expected 1 to {MAX_STEPS} steps, found {found}"));
        }
        if !self.0.is_empty() && draft.steps.is_none() {
            return (Vec::new(), bake);
        }
        let mut steps: Vec<Step> = drafts.into_iter().map(|step| resolve(step, draft)).collect();
        if let Some(last) = steps.last_mut() {
            last.gates.extend(draft.promote.gates.iter().cloned());
        }
        (steps, bake)
    }

    fn ramp(&mut self, ramp: &str, fault: Option<(&'static str, String)>) {
        if let Some((field, message)) = fault {
            self.fault(format!("{ramp}.{field}"), message);
        }
    }

    /// Checks that a plan by hand has no field that only steps use.
    fn by_hand(&mut self, draft: &Draft) {
        if draft.by_hand == Some(false) {
            self.fault("by_hand", "expected true, or no such field");
        }
        let without_effect = [
            ("min_calls", draft.min_calls.is_some()),
            ("step_deadline", draft.step_deadline.is_some()),
            ("advance_when", draft.advance_when.is_some()),
            ("without_proof_after", draft.without_proof_after.is_some()),
            ("start", !draft.start.is_empty()),
            ("promote", !draft.promote.gates.is_empty()),
            ("bake", draft.bake.is_some()),
            ("deadline", draft.deadline.is_some()),
            ("on_inconclusive", draft.on_inconclusive != OnInconclusive::Hold),
            ("gates", !draft.gates.is_empty()),
            ("probes", !draft.probes.is_empty()),
            ("calendar", draft.calendar.is_some()),
        ];
        for (field, _) in without_effect.iter().filter(|(_, is_set)| *is_set) {
            self.fault(*field, format!("a plan by hand has no steps, so `{field}` has no effect"));
        }
    }

    fn on_degraded(&mut self, draft: &Draft) -> OnDegraded {
        let is_by_hand = draft.by_hand.is_some();
        let default = if is_by_hand { OnDegraded::Report } else { OnDegraded::default() };
        let on_degraded = draft.on_degraded.unwrap_or(default);
        if on_degraded == OnDegraded::Report && !is_by_hand {
            let expected = "expected `roll_back`, `ramp_down` or `freeze`";
            self.fault("on_degraded", format!("{expected}: only a plan by hand can only report"));
        }
        on_degraded
    }

    fn durations(&mut self, plan: &Plan, origins: &Origins) {
        for (index, step) in plan.steps.iter().enumerate() {
            if step.min_calls == 0 && step.weight > Weight::ZERO {
                let message = "expected at least 1 call, found 0";
                self.fault_once(origins.min_calls(index), message);
            }
            if let Some(deadline) = step.deadline.filter(|it| *it <= step.min_duration) {
                let (deadline, min_duration) = (Span(deadline), Span(step.min_duration));
                let message =
                    format!("{deadline} is not above `min_duration`, which is {min_duration}");
                self.fault_once(origins.deadline(index), message);
            }
        }
        if let Some(bake) = &plan.bake {
            self.above_zero("bake.duration", bake.duration);
            if let Some(deadline) = bake.deadline.filter(|it| *it <= bake.duration) {
                let (deadline, duration) = (Span(deadline), Span(bake.duration));
                self.fault(
                    "bake.deadline",
                    format!("{deadline} is not above `duration`, which is {duration}"),
                );
            }
        }
        if let OnDegraded::RampDown(RampDown { over }) = plan.on_degraded {
            self.above_zero("on_degraded.ramp_down.over", over);
        }
        let bake = plan.bake.as_ref().map_or(Duration::ZERO, |bake| bake.duration);
        let shortest: Duration =
            plan.steps.iter().map(|step| step.min_duration).sum::<Duration>() + bake;
        if let Some(deadline) = plan.deadline.filter(|deadline| *deadline <= shortest) {
            let (deadline, shortest) = (Span(deadline), Span(shortest));
            let message =
                format!("{deadline} is not above the plan's minimum duration of {shortest}");
            self.fault("deadline", message);
        }
    }

    /// Returns the listed or else the default monitors, and those that the judge always has.
    fn monitors(
        &mut self,
        listed: Option<Vec<MonitorSpec>>,
        unwatched: &[AlwaysWatched],
    ) -> Vec<MonitorSpec> {
        let is_listed = listed.is_some();
        let mut monitors = listed.unwrap_or_else(MonitorSpec::defaults);
        for (index, watched) in unwatched.iter().enumerate() {
            let field = format!("unwatched[{index}]");
            if unwatched[..index].contains(watched) {
                self.fault(field, "the measure is listed twice");
            } else if is_listed && watched.is_in(&monitors) {
                let message = "`monitors` has a monitor of this measure: remove one of the two";
                self.fault(field, message);
            }
        }
        if !is_listed {
            monitors.retain(|it| !unwatched.iter().any(|watched| watched.measure() == it.measure));
        }
        // Not left to the judge: a canary must not be promoted because callers do not cancel its calls.
        if !monitors.iter().any(MonitorSpec::must_be_proven) {
            let message = "no monitor decides: all are watch-only, or watch the share or unanswered \
                           calls";
            self.fault("monitors", message);
        }
        for watched in AlwaysWatched::ALL {
            if !unwatched.contains(&watched) && !watched.is_in(&monitors) {
                monitors.push(MonitorSpec::new(watched.measure()));
            }
        }
        monitors
    }

    /// Returns the default warm-up of monitors, if it is valid.
    fn warm_up(&mut self, warm_up: Option<Duration>) -> Option<Duration> {
        let warm_up = warm_up?;
        if let Err(message) = check_warm_up(warm_up) {
            self.fault("warm_up", message);
            return None;
        }
        Some(warm_up)
    }

    /// Checks that the judge accepts the levels and monitors.
    fn judge(&mut self, plan: &Plan) {
        let levels = Levels::try_new(plan.alpha, plan.beta);
        let default = Levels::default();
        if let Err(error) = Levels::try_new(plan.alpha, default.beta()) {
            self.fault("alpha", error.to_string());
        }
        if let Err(error) = Levels::try_new(default.alpha(), plan.beta) {
            self.fault("beta", error.to_string());
        }
        if let Some(Err(error)) = plan.second_proof.map(SecondProofSpec::second_proof) {
            self.fault("second_proof", error.to_string());
        }
        let mut monitors = Vec::new();
        for (index, spec) in plan.monitors.iter().enumerate() {
            match spec.monitor(Unit::Calls) {
                Ok(monitor) => monitors.push(monitor),
                Err((field, message)) => self.fault(format!("monitors[{index}].{field}"), message),
            }
        }
        self.at_most("monitors", monitors.len(), MAX_MONITORS);
        if monitors.len() > MAX_MONITORS || monitors.len() != plan.monitors.len() {
            return;
        }
        let levels = levels.unwrap_or_default();
        let judges = [
            Judge::try_new(levels, monitors),
            Judge::try_new(levels, plan.judge_monitors_by(Unit::Keys)),
        ];
        if let Some(error) = judges.into_iter().find_map(Result::err) {
            self.fault("monitors", error.to_string());
        }
    }

    fn size(&mut self, plan: &Plan) {
        let size = serde_json::to_string(plan).map_or(usize::MAX, |text| text.len());
        if self.0.is_empty() && size > Plan::MAX_BYTES {
            let max = Plan::MAX_BYTES;
            self.fault("", format!("the plan has {size} bytes as JSON, expected at most {max}"));
        }
    }

    fn calendar(&mut self, written: WrittenCalendar) -> Option<Calendar> {
        let faults = match written.check() {
            Ok(calendar) => return Some(calendar),
            Err(faults) => faults,
        };
        for (field, message) in faults {
            self.fault(format!("calendar.{field}"), message);
        }
        None
    }
}

impl Bake {
    fn of(time: Duration) -> Self {
        let holdback = Weight::from_percent(1);
        Self {
            duration: time,
            holdback,
            deadline: Some(DEFAULT_DEADLINE),
            without_proof_after: None,
            probes: Vec::new(),
        }
    }
}

fn resolve(step: StepDraft, draft: &Draft) -> Step {
    let StepDraft {
        weight,
        min_duration,
        min_calls,
        deadline,
        advance_when,
        without_proof_after,
        gates,
        probes,
    } = step;
    // Some defaults of the plan are for steps with calls, and some for steps with calls to compare.
    let default_calls = if weight == Weight::ZERO { Some(0) } else { draft.min_calls };
    let (default_verdict, default_time) = match weight {
        Weight::ZERO | Weight::FULL => (None, None),
        _ => (draft.advance_when, draft.without_proof_after),
    };
    Step {
        weight,
        min_duration,
        min_calls: min_calls.or(default_calls).unwrap_or(DEFAULT_CALLS),
        deadline: deadline.or(draft.step_deadline).map_or(Some(DEFAULT_DEADLINE), |it| it.0),
        advance_when: advance_when.or(default_verdict).unwrap_or_default(),
        without_proof_after: without_proof_after.or(default_time),
        gates,
        probes,
    }
}

const MAX_MONITORS: usize = 16;
