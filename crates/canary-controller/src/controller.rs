use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use canary_core::{CanaryName, Channel, StickySecret};
use canary_rollout::{Rollout, replica::Build};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};

use crate::{
    clock::Clock,
    driver::{DocumentKeys, Driver, DriverInputs, DriverParts},
    effects::Effects,
    gate::GateRunner,
    handle::{HandleParts, RolloutHandle},
    history::History,
    managed::Managed,
    monitors,
    notify::{Notifier, PageUrl},
    requirements::Unmet,
    rollouts::Rollouts,
    store::{InvalidPrefix, KeyRange, StateStore},
    viewers::Viewers,
    webhook::WebhookClient,
    weight_lock::WeightLock,
};

/// Runs the rollouts of any number of canaries, each in its own task.
///
/// Once per [interval](Self::interval), or less often at rest, each task reads the counts, asks the
/// judge, advances the plan, stores the result and sets the weight. A controller needs a Tokio runtime. It stops when
/// it is dropped: the weights then stay as they are, and the guards still roll back failing
/// canaries.
///
/// See the [crate documentation](crate) for an example.
pub struct Controller {
    store: Arc<dyn StateStore>,
    copies: Option<Arc<dyn StateStore>>,
    rollout_keys: KeyRange,
    clock: Clock,
    interval: Duration,
    webhooks: WebhookClient,
    notifier: Arc<Notifier>,
    page: Option<PageUrl>,
    running: Mutex<BTreeMap<CanaryName, RunningRollout>>,
    rollouts: watch::Sender<Arc<[RolloutHandle]>>,
}

struct RunningRollout {
    handle: RolloutHandle,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Controller {
    /// Creates a controller that keeps the state of its rollouts in `store`.
    #[expect(clippy::missing_panics_doc, reason = "the prefix is valid")]
    pub fn new(store: impl StateStore) -> Self {
        Self {
            store: Arc::new(store),
            copies: None,
            rollout_keys: KeyRange::rollouts("default").expect("the prefix is valid"),
            clock: Clock::default(),
            interval: Duration::from_secs(1),
            webhooks: WebhookClient::without_transport(),
            notifier: Arc::new(Notifier::new(WebhookClient::without_transport())),
            page: None,
            running: Mutex::default(),
            rollouts: watch::Sender::new(Arc::default()),
        }
    }

    /// Sets the prefix of the keys in the store. Environments that share a store need different
    /// prefixes. The default is `default`.
    ///
    /// # Errors
    ///
    /// Returns an error if `prefix` is not a valid [prefix](crate::store::StoreKey).
    pub fn prefix(mut self, prefix: &str) -> Result<Self, InvalidPrefix> {
        self.rollout_keys = KeyRange::rollouts(prefix)?;
        Ok(self)
    }

    /// Keeps copies of the rollouts in `store`, which must not depend on what can take the controller's
    /// own store away: a [`FileStore`](crate::store::FileStore) on a disk that outlives the process.
    /// Each replica needs a store of its own. Without copies, a process that starts while its store is
    /// away sends all calls to stable until the store answers.
    ///
    /// With them, it begins with the weight, the mode and the variables that were last in force on this
    /// machine, if they are of the same releases. Until the stored rollout is loaded and takes the place
    /// of the copy, nothing raises the weight. It falls if a guard, an operator or the application lowers
    /// it; the copy is then removed. No judge runs, so a plan whose monitors all count users has no
    /// automatic rollback. The guards share their alpha as in a fleet of 50 replicas. **The fleet may have
    /// rolled back in the meantime**, and this process does not know it. So keep copies where a canary
    /// that was promoted must not go back to stable with each restart during an outage.
    ///
    /// A copy is replaced with each event of the rollout. A rollback or halt that could be written to the
    /// copy and not to the store is stored by the next process. If a copy cannot be written or read, that
    /// is among the [store failures](crate::Status::store_failures), and it is tried again every ten
    /// seconds. A damaged file has to be deleted by hand.
    ///
    /// ```
    /// # use canary_controller::{Controller, store::{FileStore, MemoryStore}};
    /// # let directory = tempfile::tempdir()?;
    /// # let directory = directory.path();
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
    /// # let fleet_store = MemoryStore::new();
    /// let controller = Controller::new(fleet_store).copies(FileStore::open(directory).await?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn copies(mut self, store: impl StateStore) -> Self {
        self.copies = Some(Arc::new(store));
        self
    }

    /// Sets the clock. The default is the system clock.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the time between two ticks of a rollout. The default is one second.
    ///
    /// At rest, while this process has no calls of the canary and nothing of the plan is due, most ticks are
    /// left out: the next one comes after 5 s, or after a minute if no rollout is in progress. The first
    /// call, a direct change of the canary, and each due time of the plan end the rest at the next regular
    /// tick. Commands, the guard, and changes in the store never wait for a tick. These never rest: a rollout
    /// with several replicas, a canary with monitors per key, and one whose store fails. A status that is
    /// [viewed](RolloutHandle::keep_current) is still published in each interval.
    ///
    /// # Panics
    ///
    /// Panics if `interval` is zero or longer than ten seconds. A plan counts at most ten seconds
    /// per tick.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        let longest = Rollout::MAX_TICK;
        assert!(
            !interval.is_zero() && interval <= longest,
            "expected an interval above zero and up to {longest:?}, got {interval:?}"
        );
        self.interval = interval;
        self
    }

    /// Sets the client for the webhooks of plans. Without a client, [`add`](Self::add) refuses
    /// plans with webhooks.
    #[must_use]
    pub fn webhooks(mut self, client: WebhookClient) -> Self {
        self.notifier = Arc::new(Notifier::new(client.clone()));
        self.webhooks = client;
        self
    }

    /// Sets the page that shows the canaries. Notifications then have a link to it, and a request for
    /// an approval has a link to its gate.
    ///
    /// ```
    /// use canary_controller::{Controller, store::MemoryStore};
    ///
    /// let page = "https://ops.example/canary".parse()?;
    /// let controller = Controller::new(MemoryStore::new()).page(page);
    /// # Ok::<(), canary_controller::notify::InvalidPageUrl>(())
    /// ```
    #[must_use]
    pub fn page(mut self, page: PageUrl) -> Self {
        self.page = Some(page);
        self
    }

    /// Runs the rollout of a canary. A stored rollout continues where it stopped.
    ///
    /// The weight is zero until the store has answered, unless there is a [copy](Self::copies). Until the controller stops, only the rollout
    /// can promote the canary:
    /// [`CanaryHandle::promote`](tower_canary::CanaryHandle::promote) returns an error.
    ///
    /// # Errors
    ///
    /// Returns an error if the controller already runs a canary of this name, if the release of a
    /// channel is unknown, or if the plan has unmet requirements.
    ///
    /// # Panics
    ///
    /// Panics outside of a Tokio runtime.
    pub fn add(&self, managed: Managed) -> Result<RolloutHandle, AddError> {
        let name = managed.canary.name().clone();
        let mut running = self.running();
        if running.get(&name).is_some_and(|running| !running.task.is_finished()) {
            return Err(AddError::NameIsTaken(name));
        }
        let releases = managed.releases().map_err(AddError::ReleaseIsMissing)?;
        let Managed { canary, plan, auto_start, probes, gates, .. } = managed;
        let gates = gates.unwrap_or_else(|| GateRunner::new(self.webhooks.clone()));
        let (notifier, page) = (Arc::clone(&self.notifier), self.page.clone());
        let effects = Effects { probes, gates, notifier, page };
        Unmet::all([effects.check_plan(&plan), monitors::check_plan(&plan, &canary)])?;
        let effects = Arc::new(effects);
        let weight_lock = Arc::new(WeightLock::default());
        let viewers = Viewers::default();
        let driver = Box::new(Driver::new(DriverParts {
            canary: canary.clone(),
            build: Build {
                releases,
                plan,
                auto_start,
                sticky_secret: StickySecret::from_bytes(rand::random()),
            },
            interval: self.interval,
            store: Arc::clone(&self.store),
            copies: self.copies.clone(),
            keys: self.document_keys(&name),
            clock: self.clock.clone(),
            effects: Arc::clone(&effects),
            weight_lock: Arc::clone(&weight_lock),
            viewers: viewers.clone(),
        }));
        let (sender, requests) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let history = History::new(Arc::clone(&self.store), self.document_keys(&name).rollout);
        let handle = RolloutHandle::new(HandleParts {
            canary,
            weight_lock,
            effects,
            requests: sender,
            status: driver.status(),
            events: driver.events(),
            latest: driver.latest(),
            history,
            clock: self.clock.clone(),
            viewers,
        });
        #[cfg(feature = "metrics")]
        crate::metrics::register(name.clone(), driver.status());
        let task = tokio::spawn(driver.run(DriverInputs { requests, stop: stopped }));
        running.insert(name, RunningRollout { handle: handle.clone(), stop, task });
        self.rollouts.send_replace(running.values().map(|it| it.handle.clone()).collect());
        Ok(handle)
    }

    /// Returns the rollout of the canary with this name.
    #[must_use]
    pub fn rollout(&self, name: &str) -> Option<RolloutHandle> {
        self.rollouts().get(name)
    }

    /// Returns a handle that lists all rollouts, including those that are added later.
    #[must_use]
    pub fn rollouts(&self) -> Rollouts {
        Rollouts::new(self.rollouts.subscribe())
    }

    /// Waits until all stored rollouts are loaded and their weights are in force, but at most for
    /// `limit`. Returns whether they are.
    ///
    /// Call it after [`add`](Self::add) and before the service accepts calls, so that a new replica
    /// serves the share of its fleet from its first call on. If the store does not answer in time, the
    /// weight is zero until it does, or that of the [copy](Self::copies).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use canary_controller::{Controller, store::MemoryStore};
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// let controller = Controller::new(MemoryStore::new());
    /// // .. add the canaries
    /// if !controller.ready(Duration::from_secs(5)).await {
    ///     eprintln!("the store does not answer: the canaries begin at weight 0");
    /// }
    /// # });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn ready(&self, limit: Duration) -> bool {
        let handles = self.running().values().map(|it| it.handle.clone()).collect::<Vec<_>>();
        let ready = async {
            for handle in &handles {
                let mut status = handle.watch();
                // Fails if the rollout has stopped.
                if status.wait_for(|status| status.load_error.is_none()).await.is_err() {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(limit, ready).await.unwrap_or(false)
    }

    /// Stops all rollouts. Stores their state, and sends queued notifications for up to five
    /// seconds. The weights stay as they are.
    pub async fn stop(self) {
        let running = std::mem::take(&mut *self.running());
        let tasks: Vec<_> = running
            .into_values()
            .map(|RunningRollout { stop, task, .. }| {
                drop(stop);
                task
            })
            .collect();
        for task in tasks {
            if let Err(error) = task.await {
                tracing::error!(target: "canary_controller", "{error}");
            }
        }
        self.notifier.shutdown(SHUTDOWN_GRACE).await;
    }

    fn document_keys(&self, name: &CanaryName) -> DocumentKeys {
        let rollout = self.rollout_keys.key(name);
        DocumentKeys { evidence: rollout.evidence(), rollout }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<CanaryName, RunningRollout>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        for running in self.running().values() {
            running.task.abort();
        }
    }
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.running().keys().cloned().collect();
        f.debug_struct("Controller")
            .field("store", &self.store)
            .field("keys", &self.rollout_keys)
            .field("canaries", &names)
            .finish_non_exhaustive()
    }
}

/// The error of [`Controller::add`].
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// The controller already runs a canary of this name.
    #[error("the controller already runs a rollout of canary {0}")]
    NameIsTaken(CanaryName),
    /// The layer was built without the release of a channel.
    #[error("the release of {0} is unknown: set it with `CanaryOptions::{0}_release`")]
    ReleaseIsMissing(Channel),
    /// The plan has requirements that this process does not meet.
    #[error("the plan has unmet requirements: {0}")]
    Plan(#[from] Unmet),
}

canary_core::debug_as_display!(AddError);

/// The time limit for sending queued notifications when the controller stops.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
