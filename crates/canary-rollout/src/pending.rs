//! The conditions that a rollout waits for.

use std::{fmt, time::Duration};

use canary_core::Weight;
use serde::Serialize;

use crate::{
    plan::GateKind,
    rollout::{
        Rollout,
        needs::{CallsNeeded, TimeNeeded},
    },
    serialize,
    span::{Span, rough},
    state::{GateState, Stage, phase::State},
    text::grouped,
    timestamp::Timestamp,
};

/// The status of a rollout, with everything that it is waiting for. It prints as one sentence.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Pending {
    /// The status, such as "step 2 of 5, holding at 10%".
    pub status: String,
    /// The missing conditions; empty if the rollout has finished or is about to continue.
    pub waiting_for: Vec<PendingItem>,
}

/// A condition that a rollout is waiting for. It prints as a part of a sentence.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PendingItem {
    /// Canary calls.
    Calls {
        /// Calls that ended at this weight.
        observed: u64,
        /// Calls that the plan requires.
        required: u64,
    },
    /// Time at this weight.
    Time {
        /// The time for which the weight has been in force.
        #[serde(with = "serialize::span")]
        elapsed: Duration,
        /// The time that the plan requires.
        #[serde(with = "serialize::span")]
        required: Duration,
    },
    /// The end of the canary's warm-up. Its calls until then are no proof.
    WarmUp {
        /// The time until the end.
        #[serde(with = "serialize::span")]
        left: Duration,
    },
    /// A "healthy" verdict of the judge.
    Proof,
    /// A "healthy" verdict of the judge, or else time at this weight without a "degraded" one.
    ProofOrTime {
        /// The time for which the weight has been in force.
        #[serde(with = "serialize::span")]
        elapsed: Duration,
        /// The time after which the plan goes on without proof.
        #[serde(with = "serialize::span")]
        without_proof_after: Duration,
    },
    /// A probe that has not passed.
    Probe {
        /// The probe's name.
        probe: String,
        /// The latest failure; it may be empty.
        message: String,
    },
    /// Replicas that are heard. The evidence of fewer may not be that of the fleet.
    Replicas {
        /// The replicas that are heard.
        heard: usize,
        /// All replicas.
        of: usize,
        /// The number of replicas that must be heard.
        required: usize,
    },
    /// A gate that is not open.
    Gate {
        /// The gate's name.
        gate: String,
        /// The people who may approve; `None` if the gate is not an approval.
        approvers: Option<String>,
        /// The reason of the latest "not yet"; it may be empty.
        message: String,
    },
    /// An opening of the calendar.
    Calendar {
        /// The next opening; `None` if there is none within 400 days.
        opens: Option<Timestamp>,
    },
    /// An operator's decision.
    Operator {
        /// The decision that is needed.
        reason: String,
    },
}

impl Rollout {
    /// Returns the status and everything that the rollout is waiting for.
    ///
    /// ```
    /// use std::time::Duration;
    /// use canary_core::Verdict;
    /// use canary_rollout::{Actor, Command, Order, Plan, Releases, Rollout, Tick, Timestamp};
    ///
    /// let plan = "steps = [{ weight = '10%', min_duration = '5m', min_calls = 1000 }]";
    /// let plan = Plan::from_toml(plan)?;
    /// let releases = Releases { stable: "v1".parse()?, canary: "v2".parse()? };
    /// let mut rollout = Rollout::new("checkout".parse()?, releases, plan);
    /// let mut now: Timestamp = "2026-11-24T09:00:00Z".parse()?;
    /// rollout.command(now, &Order::new(Command::Start, Actor::person("anna"), ""))?;
    /// for _ in 0..12 {
    ///     now = now + Duration::from_secs(10);
    ///     rollout.tick(now, &Tick::new(Verdict::Inconclusive, "").with_calls(26));
    /// }
    /// assert_eq!(
    ///     rollout.pending(now).to_string(),
    ///     "step 1 of 1, holding at 10%: 312 of 1,000 needed canary calls; 2m of 5m; \
    ///      proof that the canary is healthy",
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn pending(&self, now: Timestamp) -> Pending {
        let weight = self.weight();
        let operator = |reason: String| vec![PendingItem::Operator { reason }];
        let (status, waiting_for) = match self.state() {
            State::Idle => ("idle".to_owned(), operator("a start".to_owned())),
            State::Starting { .. } => ("starting".to_owned(), self.stage_waits(now)),
            State::Running { step, progress } => {
                let how = if progress.since.is_some() { "holding" } else { "still" };
                (format!("{}, {how} at {weight}", self.step_of(*step)), self.stage_waits(now))
            }
            State::Paused { reason, .. } => {
                let how = if self.plan().is_by_hand() { "by hand" } else { "paused" };
                (format!("{how} at {weight}"), operator(format!("an operator ({reason})")))
            }
            State::RampingDown { from, reason, .. } => {
                (format!("ramping down from {from}, now at {weight} ({reason})"), Vec::new())
            }
            State::Baking { progress, .. } => {
                let how = if progress.since.is_some() { "baking" } else { "about to bake, still" };
                (format!("{how} at {weight}"), self.stage_waits(now))
            }
            State::Promoted { basis, .. } => (format!("promoted ({basis})"), Vec::new()),
            State::RolledBack { reason, .. } => (format!("rolled back ({reason})"), Vec::new()),
            State::Halted { by, reason, .. } => {
                let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                (format!("halted by {by}{reason}"), operator("the halt to be lifted".to_owned()))
            }
        };
        Pending { status, waiting_for }
    }

    fn stage_waits(&self, now: Timestamp) -> Vec<PendingItem> {
        let (Some(stage), Some(progress)) = (self.state().stage(), self.state().progress()) else {
            return Vec::new();
        };
        let calendar = || {
            let calendar = self.plan().calendar();
            vec![PendingItem::Calendar { opens: calendar.and_then(|it| it.next_opening(now)) }]
        };
        if progress.since.is_none() {
            return calendar();
        }
        let needs = self.needs(now);
        let mut waits = Vec::new();
        waits.extend(
            needs.calls.map(|CallsNeeded { observed, required }| PendingItem::Calls {
                observed,
                required,
            }),
        );
        waits.extend(
            needs
                .time
                .map(|TimeNeeded { elapsed, required }| PendingItem::Time { elapsed, required }),
        );
        waits.extend(needs.warm_up.map(|left| PendingItem::WarmUp { left }));
        waits.extend(needs.lacks_proof.then_some(match needs.without_proof {
            Some(TimeNeeded { elapsed, required: without_proof_after }) => {
                PendingItem::ProofOrTime { elapsed, without_proof_after }
            }
            None => PendingItem::Proof,
        }));
        waits.extend(needs.probes.into_iter().map(|probe| {
            let message = progress.probes.get(&probe).map(|state| state.message.clone());
            PendingItem::Probe { probe, message: message.unwrap_or_default() }
        }));
        waits.extend(needs.without_quorum.map(|fleet| PendingItem::Replicas {
            heard: fleet.heard,
            of: fleet.of,
            required: fleet.quorum(),
        }));
        if !waits.is_empty() {
            return waits;
        }
        for gate in self.gates_of(&stage) {
            let message = match progress.gates.get(&gate) {
                Some(GateState::Open { .. }) => continue,
                Some(GateState::Asked { message, .. }) => message.clone(),
                None => String::new(),
            };
            let approvers = match self.plan().gates().get(&gate).map(|gate| &gate.kind) {
                Some(GateKind::Approval(approvers)) => Some(approvers.clone()),
                _ => None,
            };
            waits.push(PendingItem::Gate { gate, approvers, message });
        }
        let raises_next = !matches!(stage, Stage::Start) && self.weight() < Weight::FULL;
        if waits.is_empty() && raises_next && !self.is_raising_allowed(now) {
            return calendar();
        }
        waits
    }
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.status)?;
        for (index, item) in self.waiting_for.iter().enumerate() {
            write!(f, "{}{item}", if index == 0 { ": " } else { "; " })?;
        }
        Ok(())
    }
}

impl fmt::Display for PendingItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let because = |message: &String| match message.as_str() {
            "" => String::new(),
            message => format!(" ({message})"),
        };
        match self {
            Self::Calls { observed, required } => {
                write!(f, "{} of {} needed canary calls", grouped(*observed), grouped(*required))
            }
            Self::Time { elapsed, required } => {
                write!(f, "{} of {}", rough(*elapsed), Span(*required))
            }
            Self::WarmUp { left } => write!(f, "the canary's warm-up, {} more", rough(*left)),
            Self::Proof => f.write_str("proof that the canary is healthy"),
            Self::ProofOrTime { elapsed, without_proof_after } => write!(
                f,
                "proof that the canary is healthy, or {} of {} without it",
                rough(*elapsed),
                Span(*without_proof_after),
            ),
            Self::Probe { probe, message } => write!(f, "probe {probe:?}{}", because(message)),
            Self::Replicas { heard, of, required } => {
                write!(f, "{heard} of {of} replicas heard, at least {required} needed")
            }
            Self::Gate { gate, approvers: Some(approvers), message } => {
                write!(f, "approval of {approvers} (gate {gate:?}){}", because(message))
            }
            Self::Gate { gate, approvers: None, message } => {
                write!(f, "gate {gate:?}{}", because(message))
            }
            Self::Calendar { opens: Some(at) } => write!(f, "the calendar, which opens at {at}"),
            Self::Calendar { opens: None } => f.write_str("the calendar, which stays closed"),
            Self::Operator { reason } => write!(f, "waiting for {reason}"),
        }
    }
}
