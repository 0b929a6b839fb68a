use std::time::Duration;

use canary_controller::{
    Command, CommandError, CommandName, Event, Order, RolloutHandle, Status,
    rollout::{event::EventId, variables::VariablePatch},
};
use tower_canary::{Variables, control::ControlExt as _};

use super::{effect::Effect, operation::Operation, stage::Stage};
use crate::{
    access::Caller,
    canary::Canary,
    problem::{ApiError, Kind},
    routes::commands::{failed, wait_until_shown},
};

/// Carries out all operations, or none if one of them is refused.
///
/// They are checked against one state of the rollout, and their commands are accepted in that state
/// only. If the rollout changes in between, they are checked again. So requests do not mix, although
/// clients of the gateway send no `If-Match`.
pub(super) async fn apply(
    canary: &Canary,
    stage_name: &str,
    caller: &Caller,
    operations: &[Operation],
) -> Result<(), ApiError> {
    let rollout = canary.rollout();
    let reason = format!("patch of stage {stage_name}");
    let order = |command| Order::new(command, caller.actor(), &reason);
    for _ in 0..ATTEMPTS {
        let status = rollout.status();
        let stage = Stage::of(stage_name, &status, rollout.canary());
        let commands = Effect::of(operations, &stage)?.commands(&stage);
        let orders: Vec<_> = commands.into_iter().map(order).collect();
        check(canary, &status, &orders).await?;
        match give(rollout, stage.latest, orders).await {
            Ok(()) => return Ok(()),
            Err(Failure::Changed) => wait_for_change(rollout, &status).await,
            Err(Failure::Whole(error)) => return Err(failed(canary, error).await),
            Err(Failure::Part { done, missing, error }) => {
                let detail = format!("{done} is done, but {missing} is not: {error}");
                // The message can repeat values.
                return Err(ApiError::new(Kind::Changed, detail).secret());
            }
        }
    }
    Err(ApiError::new(Kind::Changed, "the rollout keeps changing: try again"))
}

/// Refuses commands of which one would be refused after the ones before it.
async fn check(canary: &Canary, status: &Status, orders: &[Order]) -> Result<(), ApiError> {
    let is_rollback = |order: &Order| matches!(order.command, Command::RollBack);
    if orders.iter().all(is_rollback) {
        // A rollback always goes through, even before the stored rollout is loaded.
        return Ok(());
    }
    if let Some(reason) = &status.load_error {
        return Err(failed(canary, CommandError::NotLoaded(reason.clone())).await);
    }
    let mut after = status.rollout.clone();
    for order in orders {
        if let Err(refusal) = after.command(canary.rollout().now(), order) {
            return Err(failed(canary, refusal.into()).await);
        }
        if let Command::SetVariables(patches) = &order.command {
            let checked = canary.rollout().canary().check_variables(|stage, overrides| {
                change(stage, &patches.stage);
                change(overrides, &patches.overrides);
            });
            if let Err(invalid) = checked {
                return Err(failed(canary, invalid.into()).await);
            }
        }
    }
    Ok(())
}

fn change(variables: &mut Variables, patch: &VariablePatch) {
    for (name, value) in patch.iter() {
        match value {
            Some(value) => variables.set(name, value.clone()),
            None => variables.remove(name),
        }
    }
}

enum Failure {
    /// The rollout has changed, and no command was carried out.
    Changed,
    /// No command was carried out.
    Whole(CommandError),
    /// The first of two commands was carried out.
    Part { done: CommandName, missing: CommandName, error: CommandError },
}

/// Gives commands to a rollout whose latest event is `seen`.
async fn give(
    rollout: &RolloutHandle,
    mut seen: Option<EventId>,
    orders: Vec<Order>,
) -> Result<(), Failure> {
    let mut done = None;
    for order in orders {
        let missing = order.command.name();
        let result = match &seen {
            Some(seen) => rollout.command_at(seen, order).await,
            None => rollout.command(order).await,
        };
        match (result, done) {
            (Ok(transition), _) => {
                seen = transition.events.last().map(Event::id).or(seen);
                done = Some(missing);
                wait_until_shown(rollout, &transition).await;
            }
            (Err(CommandError::Changed { .. }), None) => return Err(Failure::Changed),
            (Err(error), None) => return Err(Failure::Whole(error)),
            (Err(error), Some(done)) => return Err(Failure::Part { done, missing, error }),
        }
    }
    Ok(())
}

async fn wait_for_change(rollout: &RolloutHandle, status: &Status) {
    let mut statuses = rollout.watch();
    let latest = status.rollout.latest();
    let changed = statuses.wait_for(|status| status.rollout.latest() != latest);
    let _ = tokio::time::timeout(STATUS_DELAY, changed).await;
}

/// Enough for a few people and programs that change the same rollout at the same time.
const ATTEMPTS: usize = 4;

/// The longest time by which a status is late.
const STATUS_DELAY: Duration = Duration::from_secs(1);
