use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use canary_core::{CanaryName, Channel};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::{
    Clock, Managed, RolloutHandle, Unmet,
    driver::{Driver, Keys, Lines, Settings},
    effects::Effects,
    gate::GateRunner,
    monitors,
    notify::Notifier,
    store::{InvalidPrefix, StateStore, StoreKey},
    webhook::WebhookClient,
    weight_lock::Alarm,
};

/// Runs the rollouts of any number of canaries, each in a task of its own.
///
/// For each it reads the counts once a second, asks the judge, lets the plan go on, stores what came of
/// that, and sets the weight. It needs a Tokio runtime, and stops when it is dropped: the weights stay as
/// they are then, and the guards still roll failing canaries back.
///
/// See the [crate's documentation](crate) for an example.
pub struct Controller {
    store: Arc<dyn StateStore>,
    prefix: String,
    clock: Clock,
    every: Duration,
    webhooks: WebhookClient,
    notifier: Arc<Notifier>,
    running: Mutex<BTreeMap<CanaryName, Running>>,
}

struct Running {
    handle: RolloutHandle,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Controller {
    /// A controller that keeps its state in this store.
    pub fn new(store: impl StateStore) -> Self {
        Self {
            store: Arc::new(store),
            prefix: "default".to_owned(),
            clock: Clock::default(),
            every: Duration::from_secs(1),
            webhooks: WebhookClient::without_transport(),
            notifier: Arc::new(Notifier::new(WebhookClient::without_transport())),
            running: Mutex::default(),
        }
    }

    /// Keeps the state under another prefix than `default`, for a store that environments share.
    ///
    /// # Errors
    ///
    /// If it is no [prefix](StoreKey::try_new), or longer than 54 characters.
    pub fn prefix(mut self, prefix: &str) -> Result<Self, InvalidPrefix> {
        StoreKey::check_prefix(&evidence_prefix(prefix))?;
        prefix.clone_into(&mut self.prefix);
        Ok(self)
    }

    /// Takes the time from another clock than the system's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Looks at each canary that often, instead of once a second.
    ///
    /// # Panics
    ///
    /// If it is zero, or longer than ten seconds, which is the most that the plan counts at once.
    #[must_use]
    pub fn interval(mut self, every: Duration) -> Self {
        let longest = canary_rollout::Rollout::MAX_TICK;
        assert!(
            !every.is_zero() && every <= longest,
            "a controller ticks at least every {longest:?}, and not every {every:?}"
        );
        self.every = every;
        self
    }

    /// Sends the webhooks of plans by this client. Without one, plans with webhooks are refused.
    #[must_use]
    pub fn webhooks(mut self, client: WebhookClient) -> Self {
        self.notifier = Arc::new(Notifier::new(client.clone()));
        self.webhooks = client;
        self
    }

    /// Runs the rollout of a canary, from where it was when it was last stored.
    ///
    /// The canary's weight stays zero until the store has answered.
    ///
    /// # Errors
    ///
    /// If a canary of the name runs already, its releases are not known, or the plan names what is not
    /// there.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    pub fn add(&self, managed: Managed) -> Result<RolloutHandle, AddError> {
        let name = managed.canary.name().clone();
        let mut running = self.running();
        if running.get(&name).is_some_and(|running| !running.task.is_finished()) {
            return Err(AddError::NameIsTaken(name));
        }
        let releases = managed.releases().map_err(AddError::ReleaseIsMissing)?;
        let Managed { canary, plan, auto_start, probes, gates, .. } = managed;
        let gates = gates.unwrap_or_else(|| GateRunner::new(self.webhooks.clone()));
        let effects = Effects { probes, gates, notifier: Arc::clone(&self.notifier) };
        Unmet::all([effects.check_plan(&plan), monitors::check_plan(&plan, &canary)])?;
        let settings = Settings { plan, releases, auto_start, every: self.every };
        let alarm = Arc::new(Alarm::default());
        let driver = Driver::new(
            canary.clone(),
            settings,
            (Arc::clone(&self.store), self.keys(&name)),
            self.clock.clone(),
            Arc::new(effects),
            Arc::clone(&alarm),
        );
        let (send, requests) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel();
        let handle = RolloutHandle::new(canary, alarm, send, driver.status(), driver.events());
        let task = tokio::spawn(driver.run(Lines { requests, stop: stopped }));
        running.insert(name, Running { handle: handle.clone(), stop, task });
        Ok(handle)
    }

    /// The rollout of the canary of this name.
    #[must_use]
    pub fn rollout(&self, name: &str) -> Option<RolloutHandle> {
        let running = self.running();
        let found = running.iter().find(|(known, _)| known.as_str() == name)?;
        Some(found.1.handle.clone())
    }

    /// All rollouts, by the names of their canaries.
    #[must_use]
    pub fn rollouts(&self) -> Vec<RolloutHandle> {
        self.running().values().map(|running| running.handle.clone()).collect()
    }

    /// Stops, once everything is stored and receivers were told, which takes some seconds at most. The
    /// weights stay as they are.
    pub async fn stop(self) {
        let running = std::mem::take(&mut *self.running());
        let tasks: Vec<_> = running
            .into_values()
            .map(|Running { stop, task, .. }| {
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

    fn keys(&self, name: &CanaryName) -> Keys {
        let key = |prefix: &str| StoreKey::try_new(prefix, name).expect("the prefix was checked");
        Keys { rollout: key(&self.prefix), evidence: key(&evidence_prefix(&self.prefix)) }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<CanaryName, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Evidence is of one driver, while rollouts are shared: watches of rollouts must not see it.
fn evidence_prefix(prefix: &str) -> String {
    format!("{prefix}/evidence")
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
            .field("prefix", &self.prefix)
            .field("canaries", &names)
            .finish_non_exhaustive()
    }
}

/// A canary that a controller cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// The controller runs a canary of this name already.
    #[error("a rollout of canary {0} runs already")]
    NameIsTaken(CanaryName),
    /// The layer was not told which release a channel runs.
    #[error("the release of {0} is not known: give it to `CanaryOptions::{0}_release`")]
    ReleaseIsMissing(Channel),
    /// The plan names something that is not there.
    #[error("the plan cannot be run: {0}")]
    Plan(#[from] Unmet),
}

/// How long receivers may take to be told the last events.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
