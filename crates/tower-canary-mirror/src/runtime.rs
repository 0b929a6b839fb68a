use std::{pin::Pin, time::Duration};

/// What a mirror runs on: a place for its tasks, and a clock for their time limit.
///
/// [`Tokio`] is one. For any other runtime, a pair of closures is one:
///
/// ```
/// use std::time::Duration;
/// use tower_canary_mirror::{BoxFuture, MirrorLayer, MirrorOptions};
///
/// let spawn = |task: BoxFuture| {
///     // smol::spawn(task).detach()
/// #   drop(task);
/// };
/// let sleep = |time: Duration| -> BoxFuture {
///     // Box::pin(async move { smol::Timer::after(time).await; })
/// #   Box::pin(async move { let _ = time; })
/// };
/// # let v2 = ();
/// let layer = MirrorLayer::with_runtime("shop", v2, MirrorOptions::new(), (spawn, sleep));
/// # let _ = layer;
/// ```
///
/// Both are one trait since neither is of use without the other: without a limit, calls to a canary that
/// hangs would occupy all places for ever.
pub trait Runtime: Send + Sync + 'static {
    /// Runs a task. One that cannot be run is to be dropped; a panic is taken for this.
    ///
    /// Called by stable's calls, when they have ended: it must not block.
    fn spawn(&self, task: BoxFuture);

    /// Ends after `time`. Called by the tasks.
    fn sleep(&self, time: Duration) -> BoxFuture;
}

impl<F, G> Runtime for (F, G)
where
    F: Fn(BoxFuture) + Send + Sync + 'static,
    G: Fn(Duration) -> BoxFuture + Send + Sync + 'static,
{
    fn spawn(&self, task: BoxFuture) {
        self.0(task);
    }

    fn sleep(&self, time: Duration) -> BoxFuture {
        self.1(time)
    }
}

/// A task, or a moment to wait for.
pub type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

pub use self::with_tokio::Tokio;

mod with_tokio {
    use tokio::runtime::Handle;

    use super::{BoxFuture, Duration, Runtime};

    /// Runs mirrored calls by tokio.
    ///
    /// On the runtime of the call that is copied, or [on](Self::on) one of their own, whose threads then
    /// do all of the mirror's work: a canary that blocks a thread blocks none of stable's.
    #[derive(Clone, Debug, Default)]
    pub struct Tokio {
        handle: Option<Handle>,
    }

    impl Tokio {
        /// Runs mirrored calls on this runtime. It must have its timers enabled.
        #[must_use]
        pub const fn on(handle: Handle) -> Self {
            Self { handle: Some(handle) }
        }
    }

    impl Runtime for Tokio {
        fn spawn(&self, task: BoxFuture) {
            let handle = self.handle.clone().or_else(|| Handle::try_current().ok());
            // Without a runtime the task is dropped, and counted.
            if let Some(handle) = handle {
                handle.spawn(task);
            }
        }

        fn sleep(&self, time: Duration) -> BoxFuture {
            Box::pin(tokio::time::sleep(time))
        }
    }
}
