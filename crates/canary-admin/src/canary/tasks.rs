use std::{
    sync::{Arc, PoisonError, Weak},
    time::Duration,
};

use super::{Canary, EventLog};
use crate::shared::Shared;

/// Follows the status and the events of a canary until its controller stops.
///
/// The tasks hold the canary weakly, so that they end if the server is gone.
pub(crate) fn spawn(shared: &Arc<Shared>, canary: &Arc<Canary>) {
    tokio::spawn(follow_status(Arc::downgrade(shared), Arc::downgrade(canary)));
    tokio::spawn(follow_events(Arc::downgrade(canary)));
}

async fn follow_status(shared: Weak<Shared>, canary: Weak<Canary>) {
    let Some(mut statuses) = canary.upgrade().map(|canary| canary.rollout.watch()) else { return };
    while statuses.changed().await.is_ok() {
        let status = statuses.borrow_and_update().clone();
        let Some(canary) = canary.upgrade() else { return };
        canary.recorder().record(&status);
        if let Some(ticks) = &*canary.ticks.lock().unwrap_or_else(PoisonError::into_inner) {
            ticks.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
    // The controller has stopped: the canary is gone.
    if let (Some(shared), Some(canary)) = (shared.upgrade(), canary.upgrade()) {
        shared.canaries.remove(&canary);
        canary.ticks.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

async fn follow_events(canary: Weak<Canary>) {
    let Some(mut feed) = canary.upgrade().map(|canary| canary.rollout.feed()) else { return };
    feed.mark_changed();
    while feed.changed().await.is_ok() {
        feed.borrow_and_update();
        loop {
            // The store can be slow, so the canary is not held while it answers.
            let Some(rollout) = canary.upgrade().map(|canary| canary.rollout.clone()) else {
                return;
            };
            let read = rollout.history(EventLog::MOST).await;
            let Some(canary) = canary.upgrade() else { return };
            match read {
                Ok(events) => {
                    canary.events.send_replace(Some(Arc::new(EventLog::new(&events))));
                    break;
                }
                Err(error) => {
                    let name = canary.name();
                    tracing::warn!(
                        target: "canary_admin", canary = name, "cannot read the events: {error}",
                    );
                }
            }
            if !rollout.is_running() {
                return;
            }
            drop(canary);
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// The pause before the events are read again after a fault of the store.
const RETRY: Duration = Duration::from_secs(2);
