//! One canary as the API shows it: its rollout, its recent past, and the JSON that all clients share.

mod event_log;
mod tasks;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use canary_api::CanaryView;
use canary_controller::{RolloutHandle, Status, rollout::event::EventId};
use tokio::sync::watch;
use tower_canary_mirror::MirrorHandle;

pub(crate) use self::{
    event_log::{EventLog, StoredEvent},
    tasks::spawn,
};
use crate::{recorder::Recorder, view};

/// A canary with its rollout.
pub(crate) struct Canary {
    rollout: RolloutHandle,
    /// Identifies the controller.
    source: u64,
    mirror: Option<MirrorHandle>,
    recorder: Mutex<Recorder>,
    /// The latest view that a client has asked for.
    rendered: Mutex<Option<Rendered>>,
    /// The number of statuses so far. It is taken out when the canary is gone, so that its receivers
    /// learn it.
    ticks: Mutex<Option<watch::Sender<u64>>>,
    events: watch::Sender<Option<Arc<EventLog>>>,
}

struct Rendered {
    of: Arc<Status>,
    /// An event can be stored after its status: a view must not name an older one until the next
    /// status, because a command based on it would be refused.
    latest: Option<EventId>,
    view: Arc<CanaryView>,
    json: Bytes,
}

impl Canary {
    pub(crate) fn new(rollout: RolloutHandle, source: u64, mirror: Option<MirrorHandle>) -> Self {
        Self {
            rollout,
            source,
            mirror,
            recorder: Mutex::default(),
            rendered: Mutex::default(),
            ticks: Mutex::new(Some(watch::Sender::new(0))),
            events: watch::Sender::new(None),
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.rollout.name().as_str()
    }

    pub(crate) const fn rollout(&self) -> &RolloutHandle {
        &self.rollout
    }

    pub(crate) const fn source(&self) -> u64 {
        self.source
    }

    pub(crate) fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a receiver that changes with each status; `None` if the canary is gone.
    pub(crate) fn ticks(&self) -> Option<watch::Receiver<u64>> {
        let ticks = self.ticks.lock().unwrap_or_else(PoisonError::into_inner);
        ticks.as_ref().map(watch::Sender::subscribe)
    }

    /// Returns a receiver of the latest stored events; `None` until they are read.
    pub(crate) fn events(&self) -> watch::Receiver<Option<Arc<EventLog>>> {
        self.events.subscribe()
    }

    /// Returns the canary as it is now.
    pub(crate) fn view(&self) -> CanaryView {
        view::canary(self, &self.rollout.status())
    }

    /// Returns the canary as it is now, as JSON. It is computed at most once for each status and each
    /// event, however many clients ask.
    pub(crate) fn json(&self) -> Bytes {
        self.rendered().1
    }

    /// Returns the canary as [`json`](Self::json) has it.
    #[cfg(feature = "grpc")]
    pub(crate) fn shared_view(&self) -> Arc<CanaryView> {
        self.rendered().0
    }

    fn rendered(&self) -> (Arc<CanaryView>, Bytes) {
        let latest = *self.rollout.feed().borrow();
        let status = self.rollout.status();
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of_now = |it: &&Rendered| Arc::ptr_eq(&it.of, &status) && it.latest == latest;
        if let Some(known) = rendered.as_ref().filter(is_of_now) {
            return (Arc::clone(&known.view), known.json.clone());
        }
        let view = Arc::new(view::canary(self, &status));
        let json = serde_json::to_vec(&*view).expect("a view has texts and numbers only");
        let json = Bytes::from(json);
        let shown = (Arc::clone(&view), json.clone());
        *rendered = Some(Rendered { of: status, latest, view, json });
        shown
    }

    pub(crate) const fn mirror(&self) -> Option<&MirrorHandle> {
        self.mirror.as_ref()
    }
}
