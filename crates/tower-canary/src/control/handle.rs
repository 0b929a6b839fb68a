use std::{
    error, fmt,
    sync::{Arc, Weak},
    time::Instant,
};

use canary_core::{CanaryName, Channel, ReleaseId, RouteClass, Snapshot, Weight};

use crate::{
    config::canary_config::FailureHook,
    control::{
        drain::Drain,
        epoch_settings::{Salt, Terms},
        state::{History, SplitMode, Switch},
    },
};

/// Controls a canary and reads its counts, from anywhere in the process.
///
/// Handles are cheap to clone. All verbs take effect before they return: the next call, on whichever
/// thread, is assigned by what they set. Calls that are under way stay where they are.
///
/// ```
/// use tower_canary::{CanaryLayer, SplitMode};
///
/// # let v2 = tower::service_fn(|_: http::Request<()>| async {
/// #     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
/// # });
/// let canary = CanaryLayer::new("checkout", v2).handle();
/// canary.set_weight("0.1%".parse()?)?;
/// canary.promote()?;
/// assert_eq!(canary.mode(), SplitMode::Promoted);
///
/// canary.halt("totals are wrong");
/// assert!(canary.set_weight("5%".parse()?).is_err());
/// canary.lift_halt();
/// canary.set_weight("5%".parse()?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct CanaryHandle {
    switch: Arc<Switch>,
}

impl CanaryHandle {
    pub(crate) const fn new(switch: Arc<Switch>) -> Self {
        Self { switch }
    }

    pub(crate) fn switch(&self) -> &Switch {
        &self.switch
    }

    /// The canary's name.
    #[must_use]
    pub fn name(&self) -> &CanaryName {
        &self.switch.config().name
    }

    /// The release that a channel runs, if the layer was told.
    #[must_use]
    pub fn release(&self, channel: Channel) -> Option<&ReleaseId> {
        self.switch.config().releases[channel].as_ref()
    }

    /// The share of calls that is asked of the canary now.
    #[must_use]
    pub fn weight(&self) -> Weight {
        self.switch.weight()
    }

    /// What the canary is at: splitting, promoted, or halted.
    #[must_use]
    pub fn mode(&self) -> SplitMode {
        self.switch.with(|history, _| history.mode.clone())
    }

    /// Asks this share of calls of the canary. A promoted canary is split from stable again, and the stage
    /// has the variables that it had before the promotion.
    ///
    /// # Errors
    ///
    /// If the canary is halted; nothing changes then.
    pub fn set_weight(&self, weight: Weight) -> Result<(), Halted> {
        self.change_unless_halted("set the weight", weight, SplitMode::Splitting)
    }

    /// Makes the canary the new stable: it serves every call, and its [variables](crate::Variables) become
    /// the stage's, both in one step. Promoting twice is promoting once.
    ///
    /// Stable's open calls stay open; [`drain`](Self::drain) asks them to end.
    ///
    /// # Errors
    ///
    /// If the canary is halted; nothing changes then.
    pub fn promote(&self) -> Result<(), Halted> {
        self.change_unless_halted("promoted", Weight::FULL, SplitMode::Promoted)
    }

    /// Sends every call to stable, from now on and whatever the canary was at, and tells the handlers of
    /// the canary's open calls ([`Assignment::draining`](crate::Assignment::draining)), those of testers
    /// among them, who may call the canary anew. After a promotion the stage has the variables again that it
    /// had before.
    ///
    /// To wait for those calls or to close them, see [`drain`](Self::drain).
    pub fn roll_back(&self) {
        self.change("rolled back", |history, switch| {
            if !matches!(history.mode, SplitMode::Halted { .. }) {
                history.enter(switch, Weight::ZERO, SplitMode::Splitting);
            }
            // Testers have calls at weight zero, which belong to the terms in force.
            if history.in_force().is_some_and(|epoch| epoch.in_flight(Channel::Canary) > 0) {
                history.begin(switch, switch.terms());
            }
            history.drain_superseded(Channel::Canary);
        });
    }

    /// Rolls back, and refuses every higher weight until [`lift_halt`](Self::lift_halt).
    ///
    /// The reason is shown to whoever tries. A second halt replaces the first one's reason.
    pub fn halt(&self, reason: impl Into<String>) {
        let mode = SplitMode::Halted { reason: reason.into() };
        self.change("halted", |history, switch| {
            history.enter(switch, Weight::ZERO, mode);
            history.drain_superseded(Channel::Canary);
        });
    }

    /// Ends a halt. The weight stays zero until somebody sets it.
    pub fn lift_halt(&self) {
        self.change("released the halt", |history, switch| {
            if matches!(history.mode, SplitMode::Halted { .. }) {
                history.enter(switch, Weight::ZERO, SplitMode::Splitting);
            }
        });
    }

    /// What the keys of [sticky](crate::select::Sticky) calls are hashed with.
    ///
    /// It is the canary's name, a colon and the canary's release, until somebody sets it.
    #[must_use]
    pub fn salt(&self) -> String {
        self.switch.terms().salt.as_str().to_owned()
    }

    /// Hashes keys with another salt, and so gives the canary to other callers than before.
    ///
    /// All replicas of a service must have the same. Another attempt with the same release, which should
    /// not meet the same callers, takes another salt.
    pub fn set_salt(&self, salt: &str) {
        self.switch.with(|history, switch| {
            let terms = switch.terms();
            if terms.salt.as_str() != salt {
                history.begin(switch, Terms { salt: Arc::new(Salt::new(salt)), ..terms });
            }
        });
    }

    /// The classes of routes that are counted by themselves; see
    /// [`RouteClasses`](crate::RouteClasses).
    #[must_use]
    pub fn route_classes(&self) -> &[RouteClass] {
        self.switch.config().route_classes.names()
    }

    /// Whether a [policy](crate::CanaryOptions::select) assigns calls: without one none is sticky.
    #[must_use]
    pub fn has_policy(&self) -> bool {
        self.switch.config().select.is_some()
    }

    /// Everything counted so far, by the weight at which calls were assigned.
    ///
    /// This adds up the counters of all threads, some microseconds of work, and disturbs none of them.
    #[must_use]
    pub fn counts(&self) -> Snapshot {
        self.switch.snapshot()
    }

    /// How many calls of a channel are open: those in the handler, and those whose response, stream or
    /// upgraded connection has not ended.
    #[must_use]
    pub fn open(&self, channel: Channel) -> u64 {
        self.switch.with(|history, _| history.in_flight(channel))
    }

    /// Asks the open calls of a channel to end, and returns what waits for them or closes them.
    ///
    /// Calls that are assigned later are not concerned. After a rollback this is for the canary's
    /// streams, after a promotion for stable's:
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_canary::{CanaryHandle, Channel};
    /// async fn take_back(canary: CanaryHandle, grace: Duration) {
    ///     canary.roll_back();
    ///     let drain = canary.drain(Channel::Canary);
    ///     if tokio::time::timeout(grace, drain.ended()).await.is_err() {
    ///         drain.close();
    ///     }
    /// }
    /// ```
    #[must_use = "a drain that nobody waits for is only a request"]
    pub fn drain(&self, channel: Channel) -> Drain {
        let epochs = self.switch.with(|history, switch| {
            // Later calls belong to a new epoch, of the same weight.
            history.begin(switch, switch.terms());
            history.drain_superseded(channel);
            history
                .superseded()
                .iter()
                .filter(|epoch| epoch.in_flight(channel) > 0)
                .cloned()
                .collect()
        });
        Drain::new(epochs, channel)
    }

    /// Calls `hook` for each call of the canary that failed or spilled, once it is counted, with the
    /// weight at which it was assigned. It takes the place of an earlier hook.
    ///
    /// So a judge need not wait for its next look when everything burns. The hook runs on the thread of
    /// the call and should be quick; other calls do not pay for it, and a panic in it is not the
    /// caller's. It is given the handle; one that it holds itself would keep the canary alive for ever.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// # let v2 = tower::service_fn(|_: http::Request<()>| async {
    /// #     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    /// # });
    /// # let canary = tower_canary::CanaryLayer::new("checkout", v2).handle();
    /// let failures = AtomicU32::new(0);
    /// canary.on_canary_failure(move |canary, _weight| {
    ///     if failures.fetch_add(1, Ordering::Relaxed) == 10 {
    ///         canary.halt("ten failures");
    ///     }
    /// });
    /// ```
    pub fn on_canary_failure(&self, hook: impl Fn(&Self, Weight) + Send + Sync + 'static) {
        let switch = Arc::downgrade(&self.switch);
        let hook: FailureHook = Box::new(move |weight| {
            if let Some(switch) = switch.upgrade() {
                hook(&Self { switch }, weight);
            }
        });
        self.switch.config().failure_hook.store(Some(Arc::new(hook)));
    }

    /// Takes note that whoever decides about the canary has looked at it.
    ///
    /// A controller does so each time. If it is gone the split keeps its weight, and the metric
    /// `canary_decision_age_seconds` tells, which is there from the first note on.
    pub fn note_decision(&self) {
        self.switch.with(|history, _| history.decided = Some(Instant::now()));
    }

    /// A handle that does not keep the canary alive.
    #[must_use]
    pub fn downgrade(&self) -> WeakCanaryHandle {
        WeakCanaryHandle { switch: Arc::downgrade(&self.switch) }
    }

    /// Copies the counts to the recorder of the `metrics` crate; see [`metrics`](crate::metrics).
    #[cfg(feature = "metrics")]
    pub fn publish_metrics(&self) {
        crate::metrics::publish(&self.switch, crate::metrics::Extent::All);
    }

    /// Says that the canary is there.
    pub(crate) fn announce(&self) {
        #[cfg(feature = "metrics")]
        crate::metrics::publish(&self.switch, crate::metrics::Extent::WithoutSamples);
    }

    fn change_unless_halted(
        &self,
        what: &'static str,
        weight: Weight,
        mode: SplitMode,
    ) -> Result<(), Halted> {
        self.switch.with(|history, switch| {
            history.refuse_if_halted(switch)?;
            history.enter(switch, weight, mode);
            Ok(())
        })?;
        self.changed(what);
        Ok(())
    }

    fn change(&self, what: &'static str, change: impl FnOnce(&mut History, &Switch)) {
        self.switch.with(change);
        self.changed(what);
    }

    pub(crate) fn changed(&self, what: &'static str) {
        crate::service::span::changed(&self.switch, what);
        self.announce();
    }
}

impl fmt::Debug for CanaryHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CanaryHandle")
            .field("name", self.name())
            .field("weight", &self.weight())
            .field("mode", &self.mode())
            .finish()
    }
}

impl History {
    fn refuse_if_halted(&self, switch: &Switch) -> Result<(), Halted> {
        match &self.mode {
            SplitMode::Halted { reason } => {
                Err(Halted { name: switch.config().name.clone(), reason: reason.clone() })
            }
            SplitMode::Splitting | SplitMode::Promoted => Ok(()),
        }
    }

    fn enter(&mut self, switch: &Switch, weight: Weight, mode: SplitMode) {
        let before = switch.terms();
        let is_halted = matches!(mode, SplitMode::Halted { .. });
        let mut terms = Terms { weight, is_halted, ..before.clone() };
        match mode {
            SplitMode::Promoted => self.promote_variables(&mut terms),
            SplitMode::Splitting | SplitMode::Halted { .. } => self.take_back_variables(&mut terms),
        }
        self.mode = mode;
        if terms != before {
            self.begin(switch, terms);
        }
    }

    fn drain_superseded(&self, channel: Channel) {
        for epoch in self.superseded() {
            epoch.drain(channel);
        }
    }
}

/// A [`CanaryHandle`] that does not keep the canary alive, for what the canary itself holds.
#[derive(Clone)]
pub struct WeakCanaryHandle {
    switch: Weak<Switch>,
}

impl WeakCanaryHandle {
    /// The handle, if the layer, one of its services, or another handle is still there.
    #[must_use]
    pub fn upgrade(&self) -> Option<CanaryHandle> {
        self.switch.upgrade().map(CanaryHandle::new)
    }
}

impl fmt::Debug for WeakCanaryHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakCanaryHandle")
            .field("is_alive", &(self.switch.strong_count() > 0))
            .finish_non_exhaustive()
    }
}

/// The canary is halted: its weight stays zero until the halt is released.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Halted {
    name: CanaryName,
    reason: String,
}

impl Halted {
    /// Why, in the words of who halted it.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Halted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, reason } = self;
        write!(f, "canary {name} is halted ({reason}): release the halt first")
    }
}

impl error::Error for Halted {}
