use std::{sync::Arc, time::Instant};

use canary_core::{KeySample, RouteClass, Snapshot, StickySecret, Weight};

use crate::{
    config::canary_config::FailureHook,
    control::{
        callers::Callers, epoch_settings::EpochSettings, handle::CanaryHandle, owner::Owner,
    },
    counting::key_watch::KeyWatch,
    select::{Select, StickyKey, salt::Salt},
    variables::{InvalidVariables, Variables},
};

/// The part of a [`CanaryHandle`] that only a controller needs: the salt, the keys of sticky calls, a
/// check of variables, options that it shows, and the hook for failures.
///
/// This trait is sealed: only `CanaryHandle` implements it.
pub trait ControlExt: sealed::Sealed {
    /// Returns the salt of the hash that assigns [sticky](crate::select::Sticky) keys to channels.
    ///
    /// It is public, unlike the [secret](Self::set_sticky_secret). The default is `NAME:RELEASE`,
    /// with the name and the release of the canary. Without a release, it is `NAME:`.
    #[must_use]
    fn salt(&self) -> String;

    /// Sets the salt. Other keys get the canary from then on.
    ///
    /// All replicas of a service need the same salt. A new salt lets another attempt with the same
    /// release reach other callers. The secret of the hash stays.
    fn set_salt(&self, salt: &str);

    /// Sets the secret of the hash that assigns sticky keys to channels. Other keys get the canary
    /// from then on.
    ///
    /// It has no effect if the options chose [another hash](crate::CanaryOptions::sticky_hash). All
    /// replicas of a service need the same secret.
    fn set_sticky_secret(&self, secret: StickySecret);

    /// Hashes a key as the layer does for a sticky call, with the salt and the secret in force.
    #[must_use]
    fn sticky_key(&self, key: impl AsRef<[u8]>) -> StickyKey;

    /// Returns the route classes that are counted separately; see
    /// [`RouteClasses`](crate::RouteClasses).
    #[must_use]
    fn route_classes(&self) -> &[RouteClass];

    /// Returns whether the [policy](crate::CanaryOptions::select) may assign calls by a key; see
    /// [`Select::may_be_sticky`](crate::select::Select::may_be_sticky). Without a policy no call is
    /// sticky.
    #[must_use]
    fn may_be_sticky(&self) -> bool;

    /// Returns whether shared caches may store responses of the canary; see
    /// [`CanaryOptions::cacheable_canary`](crate::CanaryOptions::cacheable_canary).
    #[must_use]
    fn is_canary_cacheable(&self) -> bool;

    /// Checks a [change](CanaryHandle::change_variables) of the variables without making it.
    ///
    /// A controller that stores variables checks them first, so that it stores none that no handler
    /// can read.
    ///
    /// # Errors
    ///
    /// Returns the error that the change would return.
    ///
    /// ```
    /// use tower_canary::{CanaryLayer, CanaryOptions, Channel, Variables, control::ControlExt};
    ///
    /// # let v2 = tower::service_fn(|_: http::Request<()>| async {
    /// #     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    /// # });
    /// #[derive(serde::Deserialize)]
    /// struct Settings {
    ///     page_size: u32,
    /// }
    ///
    /// let stage = Variables::new().with("page_size", 20);
    /// let options = CanaryOptions::new().variables(stage.clone(), Variables::new());
    /// let options = options.typed_variables::<Settings>();
    /// let canary = CanaryLayer::with_options("checkout", v2, options).handle();
    /// let checked = canary.check_variables(|_stage, overrides| overrides.set("page_size", "many"));
    /// assert!(checked.is_err());
    /// assert_eq!(canary.variables(Channel::Canary), stage);
    /// ```
    fn check_variables(
        &self,
        change: impl FnOnce(&mut Variables, &mut Variables),
    ) -> Result<(), InvalidVariables>;

    /// Records the keys of sticky calls in `sample` that are assigned from now on, and as many of
    /// the calls that the weight assigns without a key. This replaces an earlier watch.
    ///
    /// Keys are identified by their hashes. After a change of the [salt](Self::set_salt), watch
    /// again.
    ///
    /// ```
    /// use tower_canary::{
    ///     CanaryLayer, CanaryOptions,
    ///     control::{ControlExt, KeySample},
    ///     select::Sticky,
    /// };
    ///
    /// # let v2 = tower::service_fn(|_: http::Request<()>| async {
    /// #     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    /// # });
    /// let options = CanaryOptions::new().select(Sticky::by_cookie("session"));
    /// let canary = CanaryLayer::with_options("checkout", v2, options).handle();
    /// let keys = canary.watch_keys(KeySample::ALL);
    /// assert!(keys.take().events.is_empty());
    /// ```
    #[must_use]
    fn watch_keys(&self, sample: KeySample) -> KeyWatch;

    /// Stops recording keys.
    fn unwatch_keys(&self);

    /// Returns who makes the calls at the current settings.
    #[must_use]
    fn callers(&self) -> Callers;

    /// Sets the hook that runs after each canary call that is evidence and fails or spills. It
    /// replaces an earlier hook.
    ///
    /// The hook gets the weight at which the call was assigned. It lets a judge react to a failure
    /// without waiting for its next tick. It runs on the thread of the call, so it should be quick.
    /// A panic in the hook is caught. Use the handle that is passed in: a handle stored in the hook
    /// would keep the canary alive forever.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// use tower_canary::control::ControlExt;
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
    fn on_canary_failure(&self, hook: impl Fn(&CanaryHandle, Weight) + Send + Sync + 'static);

    /// Claims the canary: only the returned [`Owner`] can promote it until the owner is dropped.
    ///
    /// [`CanaryHandle::promote`] then returns an error that contains `advice`.
    ///
    /// ```
    /// use tower_canary::control::ControlExt;
    ///
    /// # let v2 = tower::service_fn(|_: http::Request<()>| async {
    /// #     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    /// # });
    /// # let canary = tower_canary::CanaryLayer::new("checkout", v2).handle();
    /// let owner = canary.claim("use `Pilot::promote`");
    /// assert_eq!(
    ///     canary.promote().unwrap_err().to_string(),
    ///     "a controller owns canary checkout: use `Pilot::promote`",
    /// );
    /// owner.promote()?;
    /// drop(owner);
    /// canary.promote()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "dropping the owner ends the claim"]
    fn claim(&self, advice: impl Into<Arc<str>>) -> Owner;

    /// Returns whether the counts are not those of this earlier snapshot any more.
    ///
    /// If that has no open calls, this takes a small part of the time of another snapshot.
    ///
    /// ```
    /// use tower_canary::control::ControlExt;
    ///
    /// # let v2 = tower::service_fn(|_: http::Request<()>| async {
    /// #     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    /// # });
    /// # let canary = tower_canary::CanaryLayer::new("checkout", v2).handle();
    /// let before = canary.counts();
    /// assert!(!canary.has_changed_since(&before));
    /// canary.set_weight("1%".parse()?)?;
    /// assert!(canary.has_changed_since(&before));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    fn has_changed_since(&self, before: &Snapshot) -> bool;

    /// Records the time of a decision about the canary, whether it changed anything or not.
    ///
    /// A controller calls this on every tick. The metric `canary_decision_age_seconds`, which
    /// exists from the first call on, grows when the controller is gone.
    fn note_decision(&self);
}

impl ControlExt for CanaryHandle {
    fn salt(&self) -> String {
        self.control().settings().salt.as_str().to_owned()
    }

    fn set_salt(&self, salt: &str) {
        self.control().with(|history, control| {
            let settings = control.settings();
            if settings.salt.as_str() != salt {
                let salt = Arc::new(Salt::new(salt, settings.salt.secret()));
                history.begin(control, EpochSettings { salt, ..settings });
            }
        });
    }

    fn set_sticky_secret(&self, secret: StickySecret) {
        if !self.control().config().sticky_hash.is_from_controller() {
            return;
        }
        self.control().with(|history, control| {
            let settings = control.settings();
            if settings.salt.secret() != Some(secret) {
                let salt = Arc::new(Salt::new(settings.salt.as_str(), Some(secret)));
                history.begin(control, EpochSettings { salt, ..settings });
            }
        });
    }

    fn sticky_key(&self, key: impl AsRef<[u8]>) -> StickyKey {
        self.control().settings().salt.hash(key.as_ref())
    }

    fn route_classes(&self) -> &[RouteClass] {
        self.control().config().route_classes.names()
    }

    fn may_be_sticky(&self) -> bool {
        self.control().config().select.as_ref().is_some_and(Select::may_be_sticky)
    }

    fn is_canary_cacheable(&self) -> bool {
        self.control().config().cacheable_canary
    }

    fn check_variables(
        &self,
        change: impl FnOnce(&mut Variables, &mut Variables),
    ) -> Result<(), InvalidVariables> {
        let mut sets = self.control().with(|history, _| history.variables.clone());
        change(&mut sets.stage, &mut sets.overrides);
        sets.merge(self.control().config().parse_variables).map(drop)
    }

    fn watch_keys(&self, sample: KeySample) -> KeyWatch {
        let watch = KeyWatch::new(sample, self.route_classes());
        set_watch(self, Some(watch.clone()));
        watch
    }

    fn unwatch_keys(&self) {
        set_watch(self, None);
    }

    fn callers(&self) -> Callers {
        self.control().callers()
    }

    fn on_canary_failure(&self, hook: impl Fn(&Self, Weight) + Send + Sync + 'static) {
        let control = Arc::downgrade(self.control());
        let hook: FailureHook = Box::new(move |weight| {
            if let Some(control) = control.upgrade() {
                hook(&Self::new(control), weight);
            }
        });
        self.control().config().failure_hook.store(Some(Arc::new(hook)));
    }

    fn claim(&self, advice: impl Into<Arc<str>>) -> Owner {
        let advice = advice.into();
        self.control().with(|history, _| history.owner = Some(Arc::downgrade(&advice)));
        Owner::new(self.clone(), advice)
    }

    fn has_changed_since(&self, before: &Snapshot) -> bool {
        self.control().has_changed_since(before)
    }

    fn note_decision(&self) {
        self.control().with(|history, _| history.last_decision = Some(Instant::now()));
    }
}

fn set_watch(canary: &CanaryHandle, keys: Option<KeyWatch>) {
    canary.control().with(|history, control| {
        let settings = control.settings();
        if settings.keys != keys {
            history.begin(control, EpochSettings { keys, ..settings });
        }
    });
}

mod sealed {
    #[expect(unnameable_types, reason = "the trait is sealed")]
    pub trait Sealed {}

    impl Sealed for crate::control::handle::CanaryHandle {}
}
