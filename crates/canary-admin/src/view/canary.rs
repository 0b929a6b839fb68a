use canary_api::{
    CanaryView, DriverView, EventId, FleetView, GateState, GateView, MirrorView, OutlookView,
    StageKind, StageState, StageView, StorageView, StoreFailureView, WaitView,
};
use canary_controller::{
    Phase, RolloutHandle, Status,
    rollout::{
        fleet::Fleet,
        outlook::{Obstacle, Promotion},
        pending::PendingItem,
        plan::GateKind,
        state::{GateState as Asked, Progress, Stage},
    },
    store::StoreFailure,
};
use tower_canary_mirror::MirrorHandle;

use super::{channels::channels, event, findings::judgment, offers::offers, phase};
use crate::canary::Canary;

/// Returns the canary as this status shows it.
pub(crate) fn canary(canary: &Canary, status: &Status) -> CanaryView {
    let (rollout, handle) = (&status.rollout, canary.rollout());
    let pending = rollout.pending(status.at);
    let is_loaded = status.load_error.is_none();
    let waiting_for = pending.waiting_for.iter().filter(|_| is_loaded);
    let (rates, observed_share) = {
        let recorder = canary.recorder();
        (recorder.rates(), recorder.observed_share())
    };
    CanaryView {
        name: canary.name().to_owned(),
        at: status.at.to_string(),
        // The rollout of a status without a stored one is a placeholder, which is idle.
        phase: if is_loaded { phase(rollout.phase()) } else { canary_api::Phase::Unknown },
        summary: status.summary.clone(),
        status: if is_loaded { pending.status } else { status.summary.clone() },
        waiting_for: waiting_for.map(wait).collect(),
        attempt: rollout.attempt(),
        weight: status.weight.to_string(),
        weight_ppm: status.weight.ppm(),
        observed_share,
        channels: channels(status, &rates),
        by_hand: rollout.plan().is_by_hand(),
        max_weight: rollout.plan().max_weight().to_string(),
        stages: stages(status),
        gates: gates(status),
        judgment: judgment(status),
        outlook: outlook(handle),
        offers: offers(handle, status),
        latest: handle.feed().borrow().map(|id| EventId::new(id.to_string())),
        storage: StorageView {
            load_error: status.load_error.clone(),
            unsaved_for_s: status.unsaved_for.map(|time| time.as_secs_f64()),
            unsaved: status.unsaved.iter().map(|unsaved| event(unsaved, false)).collect(),
            failures: status.store_failures.iter().map(store_failure).collect(),
        },
        driver: DriverView {
            name: status.driver.as_ref().map(ToString::to_string),
            is_this: status.is_driving,
        },
        fleet: status.fleet.as_ref().map(fleet),
        mirror: canary.mirror().map(mirror),
    }
}

fn fleet(fleet: &Fleet) -> FleetView {
    FleetView {
        heard: fleet.heard,
        of: fleet.of,
        silent: fleet.silent.iter().map(ToString::to_string).collect(),
        sentence: fleet.to_string(),
    }
}

fn store_failure(failure: &StoreFailure) -> StoreFailureView {
    StoreFailureView {
        operation: failure.operation.to_string(),
        path: failure.path.clone(),
        error: failure.error.clone(),
        since: failure.since.to_string(),
        sentence: failure.to_string(),
    }
}

fn wait(item: &PendingItem) -> WaitView {
    let (kind, progress) = match item {
        PendingItem::Calls { observed, required } => {
            ("calls", Some(fraction(*observed, *required)))
        }
        PendingItem::Time { elapsed, required } => {
            let progress = elapsed.as_secs_f64() / required.as_secs_f64();
            ("time", Some(if progress.is_finite() { progress.min(1.0) } else { 1.0 }))
        }
        PendingItem::WarmUp { .. } => ("warm_up", None),
        PendingItem::Proof | PendingItem::ProofOrTime { .. } => ("proof", None),
        PendingItem::Probe { .. } => ("probe", None),
        PendingItem::Replicas { heard, required, .. } => {
            let count = |replicas: usize| u64::try_from(replicas).unwrap_or(u64::MAX);
            ("replicas", Some(fraction(count(*heard), count(*required))))
        }
        PendingItem::Gate { .. } => ("gate", None),
        PendingItem::Calendar { .. } => ("calendar", None),
        _ => ("operator", None),
    };
    WaitView { kind: kind.to_owned(), text: item.to_string(), progress }
}

fn stages(status: &Status) -> Vec<StageView> {
    let (rollout, plan) = (&status.rollout, status.rollout.plan());
    let steps = plan.steps().len();
    // The index of the current stage; the bake follows the steps.
    let current = match rollout.state().stage() {
        Some(Stage::Step { step }) => Some(step),
        Some(Stage::Bake { .. }) => Some(steps),
        _ => None,
    };
    let is_promoted = rollout.phase() == Phase::Promoted;
    let state = |index: usize| match current {
        Some(current) if index < current => StageState::Done,
        Some(current) if index == current => StageState::Current,
        None if is_promoted => StageState::Done,
        _ => StageState::Ahead,
    };
    let progress = |index: usize, min_duration: f64, min_calls: u64| {
        let progress = rollout.state().progress().filter(|_| current == Some(index))?;
        Some(progress_of(progress, status, min_duration, min_calls))
    };
    let step = |(index, step): (usize, &canary_controller::rollout::plan::Step)| {
        let min_duration_s = step.min_duration.as_secs_f64();
        StageView {
            kind: StageKind::Step,
            state: state(index),
            weight: step.weight.to_string(),
            min_duration_s,
            min_calls: step.min_calls,
            gates: step.gates.clone(),
            progress: progress(index, min_duration_s, step.min_calls),
        }
    };
    let bake = plan.bake().map(|bake| {
        let min_duration_s = bake.duration.as_secs_f64();
        let weight = canary_core::Weight::FULL.ppm() - bake.holdback.ppm();
        StageView {
            kind: StageKind::Bake,
            state: state(steps),
            weight: canary_core::Weight::from_ppm(weight).to_string(),
            min_duration_s,
            min_calls: 0,
            gates: Vec::new(),
            progress: progress(steps, min_duration_s, 0),
        }
    });
    plan.steps().iter().enumerate().map(step).chain(bake).collect()
}

fn progress_of(progress: &Progress, status: &Status, min_duration: f64, min_calls: u64) -> f64 {
    let time = progress.time_at_weight(status.at).as_secs_f64() / min_duration;
    let time = if time.is_finite() { time.min(1.0) } else { 1.0 };
    time.min(fraction(progress.calls, min_calls))
}

/// Returns the gates of the current stage that are not open.
fn gates(status: &Status) -> Vec<GateView> {
    let (rollout, plan) = (&status.rollout, status.rollout.plan());
    let names: &[String] = match rollout.state().stage() {
        Some(Stage::Start) => &plan.start().gates,
        Some(Stage::Step { step }) => plan.steps().get(step).map_or(&[], |step| &step.gates),
        _ => &[],
    };
    let asked = rollout.state().progress().map(|progress| &progress.gates);
    let gate = |name: &String| {
        let (state, message) = match asked.and_then(|gates| gates.get(name)) {
            Some(Asked::Open { .. }) => return None,
            Some(Asked::Asked { message, .. }) => (GateState::Waiting, message.clone()),
            _ => (GateState::NotAsked, String::new()),
        };
        let approvers = match plan.gates().get(name).map(|gate| &gate.kind) {
            Some(GateKind::Approval(approvers)) => Some(approvers.clone()),
            _ => None,
        };
        Some(GateView { name: name.clone(), approvers, message, state })
    };
    names.iter().filter_map(gate).collect()
}

fn outlook(rollout: &RolloutHandle) -> Option<OutlookView> {
    let outlook = rollout.outlook()?;
    let promoted_at = match &outlook.promotion {
        Promotion::At(at) => Some(at.to_string()),
        Promotion::Never(Obstacle::Ended(_)) => return None,
        _ => None,
    };
    Some(OutlookView {
        sentence: outlook.to_string(),
        promoted_at,
        caught_failure_rate: outlook.caught.map(|caught| caught.canary),
    })
}

fn mirror(mirror: &MirrorHandle) -> MirrorView {
    let counts = mirror.counts();
    let compared = counts.matched.saturating_add(counts.mismatched);
    let mut places: Vec<_> = mirror
        .fields()
        .into_iter()
        .filter(|field| field.differed > 0)
        .map(|field| (field.field.to_string(), field.differed))
        .collect();
    places.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    places.truncate(MAX_PLACES);
    MirrorView { copied: counts.mirrored, compared, different: counts.mismatched, places }
}

#[expect(clippy::cast_precision_loss, reason = "a progress need not be exact")]
fn fraction(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { (part as f64 / whole as f64).min(1.0) }
}

const MAX_PLACES: usize = 32;
