//! The messages, from the views of the HTTP API.

use canary_api as api;
use canary_core::Weight;

use super::proto;

pub(super) fn canary(view: api::CanaryView) -> proto::Canary {
    let allowed = view.offers.iter().filter(|offer| offer.refused.is_none());
    let mut allowed: Vec<_> = allowed.map(|offer| command_name(offer.command)).collect();
    // Each waiting gate has an offer of its own.
    allowed.dedup();
    let is_waiting = |gate: &api::GateView| gate.state == api::GateState::Waiting;
    proto::Canary {
        name: view.name,
        at: view.at,
        phase: phase(view.phase).into(),
        summary: view.summary,
        waiting_for: view.waiting_for.into_iter().map(|wait| wait.text).collect(),
        attempt: view.attempt,
        weight_ppm: view.weight_ppm,
        observed_share: view.observed_share,
        stable: Some(channel(view.channels.stable)),
        canary: Some(channel(view.channels.canary)),
        by_hand: view.by_hand,
        gates: view.gates.into_iter().filter(is_waiting).map(gate).collect(),
        verdict: verdict(view.judgment.verdict).into(),
        judgment: view.judgment.sentence,
        findings: view.judgment.findings.into_iter().map(finding).collect(),
        outlook: view.outlook.map(|outlook| outlook.sentence).unwrap_or_default(),
        allowed: allowed.into_iter().map(Into::into).collect(),
        latest: view.latest.map(|id| id.to_string()),
        stored: view.storage.unsaved_for_s.is_none() && view.storage.load_error.is_none(),
        fleet: view.fleet.map(fleet),
    }
}

fn fleet(view: api::FleetView) -> proto::Fleet {
    let number = |replicas: usize| u32::try_from(replicas).unwrap_or(u32::MAX);
    proto::Fleet { heard: number(view.heard), of: number(view.of), silent: view.silent }
}

pub(super) fn event(view: api::EventView) -> proto::Event {
    proto::Event {
        id: view.id.map(|id| id.to_string()),
        at: view.at,
        by: Some(proto::Actor { kind: actor_kind(view.by.kind).into(), name: view.by.name }),
        kind: view.kind,
        sentence: view.sentence,
        reason: view.reason,
        verdict: verdict(view.verdict).into(),
        evidence: view.evidence,
        phase: phase(view.phase).into(),
        weight_ppm: view.weight.parse().map_or(0, Weight::ppm),
    }
}

fn channel(view: api::ChannelView) -> proto::Channel {
    proto::Channel {
        release: view.release,
        calls_per_second: view.calls_per_second,
        failure_rate: view.failure_rate,
        p50_ms: view.p50_ms,
        p99_ms: view.p99_ms,
        open: view.open,
        calls: view.calls,
        failed: view.failed,
        cancelled: view.cancelled,
    }
}

fn gate(view: api::GateView) -> proto::Gate {
    proto::Gate { name: view.name, approvers: view.approvers, message: view.message }
}

fn finding(view: api::FindingView) -> proto::Finding {
    proto::Finding {
        monitor: view.monitor,
        decides: view.decides,
        verdict: verdict(view.verdict).into(),
        sentence: view.sentence,
        ratio: view.ratio.estimate,
        ratio_lower: view.ratio.lower,
        ratio_upper: view.ratio.upper,
        harm: view.harm.progress,
        good: view.good.map(|good| good.progress),
    }
}

const fn phase(phase: api::Phase) -> proto::Phase {
    match phase {
        api::Phase::Idle => proto::Phase::Idle,
        api::Phase::Starting => proto::Phase::Starting,
        api::Phase::Running => proto::Phase::Running,
        api::Phase::Paused => proto::Phase::Paused,
        api::Phase::RampingDown => proto::Phase::RampingDown,
        api::Phase::Baking => proto::Phase::Baking,
        api::Phase::Promoted => proto::Phase::Promoted,
        api::Phase::RolledBack => proto::Phase::RolledBack,
        api::Phase::Halted => proto::Phase::Halted,
        _ => proto::Phase::Unspecified,
    }
}

const fn verdict(verdict: api::Verdict) -> proto::Verdict {
    match verdict {
        api::Verdict::Healthy => proto::Verdict::Healthy,
        api::Verdict::Degraded => proto::Verdict::Degraded,
        api::Verdict::Inconclusive => proto::Verdict::Inconclusive,
        _ => proto::Verdict::Unspecified,
    }
}

const fn actor_kind(kind: api::ActorKind) -> proto::ActorKind {
    match kind {
        api::ActorKind::Plan => proto::ActorKind::Plan,
        api::ActorKind::Judge => proto::ActorKind::Judge,
        api::ActorKind::Store => proto::ActorKind::Store,
        api::ActorKind::Probe => proto::ActorKind::Probe,
        api::ActorKind::Gate => proto::ActorKind::Gate,
        api::ActorKind::Person => proto::ActorKind::Person,
        api::ActorKind::Program => proto::ActorKind::Program,
        _ => proto::ActorKind::Unspecified,
    }
}

pub(super) const fn command_name(name: api::CommandName) -> proto::CommandName {
    match name {
        api::CommandName::Start => proto::CommandName::Start,
        api::CommandName::Pause => proto::CommandName::Pause,
        api::CommandName::Resume => proto::CommandName::Resume,
        api::CommandName::SkipStep => proto::CommandName::SkipStep,
        api::CommandName::SetWeight => proto::CommandName::SetWeight,
        api::CommandName::Promote => proto::CommandName::Promote,
        api::CommandName::PromoteFully => proto::CommandName::PromoteFully,
        api::CommandName::RollBack => proto::CommandName::RollBack,
        api::CommandName::Halt => proto::CommandName::Halt,
        api::CommandName::LiftHalt => proto::CommandName::LiftHalt,
        api::CommandName::Restart => proto::CommandName::Restart,
        api::CommandName::Approve => proto::CommandName::Approve,
        api::CommandName::Reject => proto::CommandName::Reject,
        api::CommandName::SetVariables => proto::CommandName::SetVariables,
        _ => proto::CommandName::Unspecified,
    }
}
