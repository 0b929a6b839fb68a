use std::{
    fmt,
    sync::{Arc, Weak},
};

use canary_core::{CanaryName, Channel, ReleaseId, Snapshot, Weight};

use crate::control::{
    drain::Drain,
    epoch_settings::EpochSettings,
    error::{Halted, PromoteError},
    state::{ControlState, EpochHistory, SplitMode},
};

/// Controls a canary and reads its counts, from anywhere in the process.
///
/// Handles are cheap to clone. Every change takes effect before the method returns: the next call,
/// on any thread, is assigned by the new settings. Calls in flight stay where they are.
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
///
/// The methods that only a controller needs are in [`ControlExt`](crate::control::ControlExt).
#[derive(Clone)]
pub struct CanaryHandle {
    control: Arc<ControlState>,
}

impl CanaryHandle {
    pub(crate) const fn new(control: Arc<ControlState>) -> Self {
        Self { control }
    }

    pub(crate) const fn control(&self) -> &Arc<ControlState> {
        &self.control
    }

    /// Returns the current weight: the share of calls requested for the canary.
    #[must_use]
    pub fn weight(&self) -> Weight {
        self.control.weight()
    }

    /// Sets the weight.
    ///
    /// On a promoted canary this undoes the promotion: calls are split again, and the stage gets
    /// back the variables that it had before.
    ///
    /// # Errors
    ///
    /// Returns an error if the canary is halted. Nothing changes in that case.
    pub fn set_weight(&self, weight: Weight) -> Result<(), Halted> {
        let check = EpochHistory::refuse_if_halted;
        self.try_change("set the weight", weight, SplitMode::Splitting, check)
    }

    /// Makes the canary the new stable: it serves every call, and in the same step its
    /// [variables](crate::Variables) become the variables of the stage.
    ///
    /// Promoting a promoted canary changes nothing. Open calls of stable stay open; use
    /// [`drain`](Self::drain) to end them.
    ///
    /// # Errors
    ///
    /// Returns an error if the canary is halted or a controller [owns](crate::control::Owner) it.
    /// Nothing changes in that case.
    pub fn promote(&self) -> Result<(), PromoteError> {
        self.try_change("promoted", Weight::FULL, SplitMode::Promoted, |history, control| {
            history.refuse_if_owned(control)?;
            Ok(history.refuse_if_halted(control)?)
        })
    }

    pub(crate) fn promote_as_owner(&self) -> Result<(), Halted> {
        let check = EpochHistory::refuse_if_halted;
        self.try_change("promoted", Weight::FULL, SplitMode::Promoted, check)
    }

    /// Sets the weight to zero. This works in any mode; a halt stays in force.
    ///
    /// After a promotion the stage gets back the variables that it had before.
    /// [`Assignment::draining`](crate::Assignment::draining) notifies the handlers of the canary's
    /// open calls, including those of testers. Later calls can still be
    /// [forced](crate::select::Forced) to the canary. To wait for the open calls or to close them,
    /// use [`drain`](Self::drain).
    pub fn roll_back(&self) {
        self.change("rolled back", |history, control| {
            if !matches!(history.mode, SplitMode::Halted { .. }) {
                history.enter(control, Weight::ZERO, SplitMode::Splitting);
            }
            // Testers have canary calls at weight zero. Those belong to the current epoch, which
            // has to be superseded before they can be drained.
            if history.in_force().is_some_and(|epoch| epoch.in_flight(Channel::Canary) > 0) {
                history.begin(control, control.settings());
            }
            history.drain_superseded(Channel::Canary);
        });
    }

    /// Rolls back and sends every call to stable, including forced calls, until
    /// [`lift_halt`](Self::lift_halt).
    ///
    /// [`set_weight`](Self::set_weight) and [`promote`](Self::promote) return an error with the
    /// reason. A second halt replaces the reason of the first.
    pub fn halt(&self, reason: impl Into<String>) {
        let mode = SplitMode::Halted { reason: reason.into() };
        self.change("halted", |history, control| {
            history.enter(control, Weight::ZERO, mode);
            history.drain_superseded(Channel::Canary);
        });
    }

    /// Lifts a halt. The weight stays zero until it is set.
    pub fn lift_halt(&self) {
        self.change("lifted the halt", |history, control| {
            if matches!(history.mode, SplitMode::Halted { .. }) {
                history.enter(control, Weight::ZERO, SplitMode::Splitting);
            }
        });
    }

    /// Returns the current mode: splitting, promoted or halted.
    #[must_use]
    pub fn mode(&self) -> SplitMode {
        self.control.with(|history, _| history.mode.clone())
    }

    /// Returns the name of the canary.
    #[must_use]
    pub fn name(&self) -> &CanaryName {
        &self.control.config().name
    }

    /// Returns the release that a channel runs, if the options name one.
    #[must_use]
    pub fn release(&self, channel: Channel) -> Option<&ReleaseId> {
        self.control.config().releases[channel].as_ref()
    }

    /// Returns all counts so far, by the weight at which the calls were assigned.
    ///
    /// This adds up the counters of all threads without stopping them, which takes some
    /// microseconds.
    #[must_use]
    pub fn counts(&self) -> Snapshot {
        self.control.snapshot()
    }

    /// Returns the number of open calls of a channel. A call is open while its handler runs, and
    /// until its response body, stream or upgraded connection ends.
    #[must_use]
    pub fn open(&self, channel: Channel) -> u64 {
        self.control.with(|history, _| history.in_flight(channel))
    }

    /// Asks the open calls of a channel to end. The returned [`Drain`] waits for them or closes
    /// them.
    ///
    /// Calls that are assigned later are not affected. Drain the canary after a rollback, and
    /// stable after a promotion:
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
    #[must_use = "a drain only asks the calls to end; wait for it or close it"]
    pub fn drain(&self, channel: Channel) -> Drain {
        let epochs = self.control.with(|history, control| {
            // A new epoch of the same settings keeps later calls out of the drain.
            history.begin(control, control.settings());
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

    /// Returns a handle that does not keep the canary alive.
    #[must_use]
    pub fn downgrade(&self) -> WeakCanaryHandle {
        WeakCanaryHandle { control: Arc::downgrade(&self.control) }
    }

    /// Copies the counts to the recorder of the `metrics` crate; see [`metrics`](crate::metrics).
    #[cfg(feature = "metrics")]
    pub fn publish_metrics(&self) {
        crate::metrics::publish(&self.control, crate::metrics::MetricsSubset::All);
    }

    /// Publishes the metrics that do not depend on calls.
    pub(crate) fn announce(&self) {
        #[cfg(feature = "metrics")]
        crate::metrics::publish(&self.control, crate::metrics::MetricsSubset::WithoutLatencies);
    }

    fn try_change<E>(
        &self,
        description: &'static str,
        weight: Weight,
        mode: SplitMode,
        check: impl FnOnce(&EpochHistory, &ControlState) -> Result<(), E>,
    ) -> Result<(), E> {
        self.control.with(|history, control| {
            check(history, control)?;
            history.enter(control, weight, mode);
            Ok(())
        })?;
        self.changed(description);
        Ok(())
    }

    fn change(
        &self,
        description: &'static str,
        change: impl FnOnce(&mut EpochHistory, &ControlState),
    ) {
        self.control.with(change);
        self.changed(description);
    }

    pub(crate) fn changed(&self, description: &'static str) {
        crate::service::span::changed(&self.control, description);
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

impl EpochHistory {
    fn refuse_if_owned(&self, control: &ControlState) -> Result<(), PromoteError> {
        match self.owner.as_ref().and_then(Weak::upgrade) {
            Some(advice) => {
                Err(PromoteError::Owned { name: control.config().name.clone(), advice })
            }
            None => Ok(()),
        }
    }

    fn refuse_if_halted(&self, control: &ControlState) -> Result<(), Halted> {
        match &self.mode {
            SplitMode::Halted { reason } => {
                Err(Halted { name: control.config().name.clone(), reason: reason.clone() })
            }
            SplitMode::Splitting | SplitMode::Promoted => Ok(()),
        }
    }

    fn enter(&mut self, control: &ControlState, weight: Weight, mode: SplitMode) {
        let before = control.settings();
        let is_halted = matches!(mode, SplitMode::Halted { .. });
        let mut settings = EpochSettings { weight, is_halted, ..before.clone() };
        match mode {
            SplitMode::Promoted => self.promote_variables(&mut settings),
            SplitMode::Splitting | SplitMode::Halted { .. } => {
                self.restore_variables(&mut settings);
            }
        }
        self.mode = mode;
        if settings != before {
            self.begin(control, settings);
        }
    }

    fn drain_superseded(&self, channel: Channel) {
        for epoch in self.superseded() {
            epoch.drain(channel);
        }
    }
}

/// A [`CanaryHandle`] that does not keep the canary alive. Use it inside the canary itself.
#[derive(Clone)]
pub struct WeakCanaryHandle {
    control: Weak<ControlState>,
}

impl WeakCanaryHandle {
    /// Returns the handle, if the layer, one of its services or another handle still exists.
    #[must_use]
    pub fn upgrade(&self) -> Option<CanaryHandle> {
        self.control.upgrade().map(CanaryHandle::new)
    }
}

impl fmt::Debug for WeakCanaryHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakCanaryHandle")
            .field("is_alive", &(self.control.strong_count() > 0))
            .finish_non_exhaustive()
    }
}
