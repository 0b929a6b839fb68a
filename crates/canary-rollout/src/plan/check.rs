//! From a draft that was read to a plan that is valid, or all that is wrong with it.

use std::{collections::BTreeMap, time::Duration};

use canary_analysis::{Judge, Levels};
use canary_core::Weight;

use super::{
    calendar::Calendar,
    definition::Plan,
    draft::{Draft, StepDraft},
    gate::{Gate, GateKind, NotifyTarget, Webhook},
    monitor::{MeasureSpec, MonitorSpec},
    policy::{OnDegraded, RampDown},
    preset::Preset,
    probe::{HttpProbe, Probe, ProbeKind},
    step::{Bake, Step},
};
use crate::{event::EventKind, span::Span};

/// A field, and what is wrong with it.
pub(crate) type Fault = (String, String);

/// More steps tell no more, and a plan has to fit into the document that is shared.
pub(crate) const MAX_STEPS: usize = 32;

impl TryFrom<Draft> for Plan {
    type Error = Vec<Fault>;

    fn try_from(draft: Draft) -> Result<Self, Vec<Fault>> {
        let mut check = Check(Vec::new());
        let (steps, bake) = check.shape(&draft);
        let plan = Self {
            start: draft.start,
            bake,
            max_weight: draft.max_weight.unwrap_or(Weight::FULL),
            deadline: draft.deadline,
            on_degraded: draft.on_degraded,
            on_inconclusive: draft.on_inconclusive,
            alpha: draft.alpha.unwrap_or_else(|| Levels::default().alpha()),
            beta: draft.beta.unwrap_or_else(|| Levels::default().beta()),
            monitors: draft.monitors.unwrap_or_else(|| {
                [MeasureSpec::Failures, MeasureSpec::Cancelled, MeasureSpec::Share]
                    .map(MonitorSpec::of)
                    .to_vec()
            }),
            calendar: draft.calendar.and_then(|it| check.calendar(Calendar::try_new(it))),
            gates: draft.gates,
            probes: draft.probes,
            notify: draft.notify,
            steps,
        };
        check.weights(&plan);
        check.waits(&plan);
        check.names(&plan, draft.promote.gates.len());
        check.gates(&plan.gates);
        check.probes(&plan.probes);
        check.notices(&plan.notify);
        check.judge(&plan);
        check.size(&plan);
        if check.0.is_empty() { Ok(plan) } else { Err(check.0) }
    }
}

struct Check(Vec<Fault>);

impl Check {
    fn fault(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push((field.into(), message.into()));
    }

    /// The steps and the bake, from whichever field says them.
    fn shape(&mut self, draft: &Draft) -> (Vec<Step>, Option<Bake>) {
        let said = [
            draft.steps.as_ref().map(|_| "steps"),
            draft.preset.as_ref().map(|_| "preset"),
            draft.linear.as_ref().map(|_| "linear"),
            draft.exponential.as_ref().map(|_| "exponential"),
        ];
        let said: Vec<&str> = said.into_iter().flatten().collect();
        if said.len() != 1 {
            let found = if said.is_empty() { "none".to_owned() } else { said.join(" and ") };
            let expected = "expected one of `steps`, `preset`, `linear` and `exponential`";
            let field = said.last().copied().unwrap_or_default();
            self.fault(field, format!("{expected}, found {found}"));
        }
        let mut bake = draft.bake.clone();
        let drafts: Vec<StepDraft> = if let Some(steps) = &draft.steps {
            steps.clone()
        } else if let Some(linear) = &draft.linear {
            linear.steps().into_iter().map(StepDraft::new).collect()
        } else if let Some(exponential) = &draft.exponential {
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
        let field = said.first().copied().unwrap_or_default();
        if self.0.is_empty() && !(1..=MAX_STEPS).contains(&drafts.len()) {
            let found = if drafts.is_empty() { "none" } else { "more" };
            self.fault(field, format!("expected 1 to {MAX_STEPS} steps, found {found}"));
        }
        let mut steps: Vec<Step> = drafts.into_iter().map(|step| resolve(step, draft)).collect();
        if let Some(last) = steps.last_mut() {
            last.gates.extend(draft.promote.gates.iter().cloned());
        }
        (steps, bake)
    }

    fn weights(&mut self, plan: &Plan) {
        let mut before = Weight::ZERO;
        for (index, step) in plan.steps.iter().enumerate() {
            let field = format!("steps[{index}].weight");
            let weight = step.weight;
            if weight == Weight::ZERO {
                self.fault(&*field, "0% is no step: expected a weight above it");
            } else if weight <= before {
                self.fault(&*field, format!("{weight} is not above the step before, {before}"));
            }
            if weight == Weight::FULL {
                let why = "leaves nothing to compare with: expected a weight below it, since the \
                           promotion follows the last step by itself";
                self.fault(&*field, format!("100% {why}"));
            } else if weight > plan.max_weight {
                let maximum = plan.max_weight;
                self.fault(field, format!("{weight} is above `max_weight`, {maximum}"));
            }
            before = weight;
        }
        let Some(Bake { holdback, .. }) = &plan.bake else { return };
        let left = Weight::FULL.ppm() - holdback.ppm();
        if !(1..=500_000).contains(&holdback.ppm()) {
            let expected = "expected a weight above 0% and up to 50%";
            self.fault("bake.holdback", format!("{holdback}: {expected}"));
        } else if left < before.ppm() {
            let message = format!("{holdback} leaves the canary less than the last step, {before}");
            self.fault("bake.holdback", message);
        }
    }

    fn waits(&mut self, plan: &Plan) {
        for (index, step) in plan.steps.iter().enumerate() {
            if step.min_calls == 0 {
                let message = "0 calls: expected at least 1, since no data is no reason to go on";
                self.fault(format!("steps[{index}].min_calls"), message);
            }
            if step.deadline <= step.min_duration {
                let (deadline, min_duration) = (Span(step.deadline), Span(step.min_duration));
                let message = format!("{deadline} is not above `min_duration`, {min_duration}");
                self.fault(format!("steps[{index}].deadline"), message);
            }
        }
        if let Some(bake) = &plan.bake {
            self.above_zero("bake.duration", bake.duration);
            if bake.deadline <= bake.duration {
                let (deadline, duration) = (Span(bake.deadline), Span(bake.duration));
                self.fault(
                    "bake.deadline",
                    format!("{deadline} is not above `duration`, {duration}"),
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
                format!("{deadline} is not above what the plan takes at least, {shortest}");
            self.fault("deadline", message);
        }
    }

    /// Every gate and probe that is asked for is there, once per step; names are names.
    fn names(&mut self, plan: &Plan, promote_gates: usize) {
        let ask = |field: &str, names: &[String]| -> Vec<Fault> {
            let of = |(index, name): (usize, &String)| (format!("{field}[{index}]"), name.clone());
            names.iter().enumerate().map(of).collect()
        };
        let mut gates = vec![ask("start.gates", &plan.start.gates)];
        let mut probes = vec![ask("start.probes", &plan.start.probes)];
        for (index, step) in plan.steps.iter().enumerate() {
            let mut of_step = ask(&format!("steps[{index}].gates"), &step.gates);
            if index + 1 == plan.steps.len() {
                let own = of_step.len() - promote_gates;
                for (at, (field, _)) in of_step.iter_mut().skip(own).enumerate() {
                    *field = format!("promote.gates[{at}]");
                }
            }
            gates.push(of_step);
            probes.push(ask(&format!("steps[{index}].probes"), &step.probes));
        }
        if let Some(bake) = &plan.bake {
            probes.push(ask("bake.probes", &bake.probes));
        }
        self.references(&gates, "gate", |name| plan.gates.contains_key(name));
        self.references(&probes, "probe", |name| plan.probes.contains_key(name));
    }

    fn references(&mut self, asked: &[Vec<Fault>], what: &str, is_there: impl Fn(&str) -> bool) {
        for list in asked {
            for (index, (field, name)) in list.iter().enumerate() {
                if !is_there(name) {
                    self.fault(field, format!("the plan has no {what} {name:?}"));
                } else if list[..index].iter().any(|(_, other)| other == name) {
                    self.fault(field, format!("{what} {name:?} is there twice"));
                }
            }
        }
    }

    fn gates(&mut self, gates: &BTreeMap<String, Gate>) {
        self.few("gates", gates.len());
        for (name, gate) in gates {
            let field = format!("gates.{name}");
            self.name(&field, name);
            self.above_zero(&format!("{field}.deadline"), gate.deadline);
            self.above_zero(&format!("{field}.every"), gate.every);
            match &gate.kind {
                GateKind::Webhook(webhook) => {
                    self.webhook(&format!("{field}.kind.webhook"), webhook)
                }
                GateKind::Approval(who) => self.text(&format!("{field}.kind.approval"), who),
                GateKind::Function(function) => {
                    self.text(&format!("{field}.kind.function"), function)
                }
            }
        }
    }

    fn probes(&mut self, probes: &BTreeMap<String, Probe>) {
        self.few("probes", probes.len());
        for (name, probe) in probes {
            let field = format!("probes.{name}");
            self.name(&field, name);
            self.above_zero(&format!("{field}.every"), probe.every);
            self.above_zero(&format!("{field}.timeout"), probe.timeout);
            for (count, value) in [
                ("failure_threshold", probe.failure_threshold),
                ("success_threshold", probe.success_threshold),
            ] {
                if value == 0 {
                    self.fault(format!("{field}.{count}"), "0 runs: expected at least 1");
                }
            }
            match &probe.kind {
                ProbeKind::Http(http) => self.http(&format!("{field}.kind.http"), http),
                ProbeKind::Function(function) => {
                    self.text(&format!("{field}.kind.function"), function)
                }
                ProbeKind::GrpcHealth(_) => {}
            }
        }
    }

    fn http(&mut self, field: &str, http: &HttpProbe) {
        let HttpProbe { method, path, status } = http;
        if !path.starts_with('/') || path.len() > LONGEST_TEXT || !path.bytes().all(is_visible) {
            let message = format!("path {path:?}: expected one such as \"/health\"");
            self.fault(format!("{field}.path"), message);
        }
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            let message = format!("method {method:?}: expected one such as \"GET\"");
            self.fault(format!("{field}.method"), message);
        }
        if status.is_empty() {
            self.fault(format!("{field}.status"), "no status passes: expected one at least");
        }
        for (index, status) in status.iter().enumerate() {
            if !(100..=599).contains(status) {
                let message = format!("status {status}: expected 100 to 599");
                self.fault(format!("{field}.status[{index}]"), message);
            }
        }
    }

    fn notices(&mut self, notices: &BTreeMap<String, NotifyTarget>) {
        self.few("notify", notices.len());
        for (name, notice) in notices {
            let field = format!("notify.{name}");
            self.name(&field, name);
            self.webhook(&format!("{field}.webhook"), &notice.webhook);
            for (index, event) in notice.events.iter().enumerate() {
                if !EventKind::NAMES.contains(&event.as_str()) {
                    let expected = EventKind::NAMES.join(", ");
                    let message =
                        format!("there is no event {event:?}: expected one of {expected}");
                    self.fault(format!("{field}.events[{index}]"), message);
                }
            }
        }
    }

    fn webhook(&mut self, field: &str, webhook: &Webhook) {
        let Webhook { url, timeout, secret_env, .. } = webhook;
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let has_host = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
        if !has_host || url.len() > LONGEST_TEXT || !url.bytes().all(is_visible) {
            let message = format!("URL {url:?}: expected one that begins with https:// or http://");
            self.fault(format!("{field}.url"), message);
        }
        self.above_zero(&format!("{field}.timeout"), *timeout);
        let is_name = |name: &String| {
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && name.starts_with(|first: char| !first.is_ascii_digit())
        };
        if let Some(name) = secret_env.as_ref().filter(|name| !is_name(name)) {
            let expected = "expected the name of an environment variable, not the secret itself";
            self.fault(format!("{field}.secret_env"), format!("{name:?}: {expected}"));
        }
    }

    /// Whether a judge can be made of the monitors.
    fn judge(&mut self, plan: &Plan) {
        let levels = Levels::try_new(plan.alpha, plan.beta);
        if let Err(error) = &levels {
            let is_alpha = Levels::try_new(plan.alpha, 0.1).is_err();
            self.fault(if is_alpha { "alpha" } else { "beta" }, error.to_string());
        }
        let mut monitors = Vec::new();
        for (index, watch) in plan.monitors.iter().enumerate() {
            match watch.monitor() {
                Ok(monitor) => monitors.push(monitor),
                Err((field, message)) => self.fault(format!("monitors[{index}].{field}"), message),
            }
        }
        if monitors.len() > MOST_MONITORS {
            self.fault("monitors", format!("expected up to {MOST_MONITORS} monitors, found more"));
        } else if monitors.len() == plan.monitors.len()
            && let Err(error) = Judge::try_new(levels.unwrap_or_default(), monitors)
        {
            self.fault("monitors", error.to_string());
        }
    }

    fn size(&mut self, plan: &Plan) {
        let size = serde_json::to_string(plan).map_or(usize::MAX, |text| text.len());
        if self.0.is_empty() && size > Plan::MAX_BYTES {
            let most = Plan::MAX_BYTES;
            self.fault("", format!("the plan has {size} bytes as JSON, expected up to {most}"));
        }
    }

    fn calendar(&mut self, calendar: Result<Calendar, Fault>) -> Option<Calendar> {
        let fault = |(field, message)| self.fault(format!("calendar.{field}"), message);
        calendar.map_err(fault).ok()
    }

    fn above_zero(&mut self, field: &str, span: Duration) {
        if span.is_zero() {
            self.fault(field, "0s: expected a time above it");
        }
    }

    fn few(&mut self, field: &str, count: usize) {
        if count > MOST_NAMES {
            self.fault(field, format!("expected up to {MOST_NAMES} of them, found {count}"));
        }
    }

    fn name(&mut self, field: &str, name: &str) {
        if name.parse::<canary_core::CanaryName>().is_err() {
            let expected = "expected 1 to 63 characters of a-z, 0-9 and '-'";
            self.fault(field, format!("name {name:?}: {expected}"));
        }
    }

    fn text(&mut self, field: &str, text: &str) {
        if text.trim().is_empty() || text.len() > LONGEST_TEXT {
            self.fault(field, format!("{text:?}: expected 1 to {LONGEST_TEXT} bytes"));
        }
    }
}

impl Bake {
    fn of(time: Duration) -> Self {
        let holdback = Weight::from_percent(1);
        Self { duration: time, holdback, deadline: DEFAULT_DEADLINE, probes: Vec::new() }
    }
}

fn resolve(step: StepDraft, draft: &Draft) -> Step {
    let StepDraft { weight, min_duration, min_calls, deadline, advance_when, gates, probes } = step;
    Step {
        weight,
        min_duration,
        min_calls: min_calls.or(draft.min_calls).unwrap_or(DEFAULT_CALLS),
        deadline: deadline.or(draft.step_deadline).unwrap_or(DEFAULT_DEADLINE),
        advance_when: advance_when.or(draft.advance_when).unwrap_or_default(),
        gates,
        probes,
    }
}

const fn is_visible(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

/// Of a canary that fails one call in twenty, a hundred calls show a failure in 99 cases of 100.
const DEFAULT_CALLS: u64 = 100;

/// Long enough for a service with a call a minute at 10%.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(86_400);

const LONGEST_TEXT: usize = 256;

const MOST_NAMES: usize = 8;

const MOST_MONITORS: usize = 16;
