use std::{
    fmt, io,
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::metrics::publish_all;

/// A thread that publishes the metrics of all canaries of the process at an interval.
///
/// Use it for recorders that push, or that serve scrapes with their own listener. When it is
/// dropped, it publishes once more and stops.
///
/// ```
/// use std::time::Duration;
/// use tower_canary::metrics::Publisher;
///
/// let publisher = Publisher::spawn(Duration::from_secs(1))?;
/// // Serve here.
/// drop(publisher);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "dropping the publisher stops it"]
pub struct Publisher {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    /// Starts a publisher. The interval is at least 10 ms; shorter ones are raised to that.
    ///
    /// # Errors
    ///
    /// Returns an error if the operating system fails to create the thread.
    pub fn spawn(interval: Duration) -> io::Result<Self> {
        let interval = interval.max(MIN_INTERVAL);
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new().name("canary-metrics".to_owned()).spawn(move || {
            publish_all();
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                publish_all();
            }
            publish_all();
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the recorder was already reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

/// Prevents a busy loop for an interval of zero.
const MIN_INTERVAL: Duration = Duration::from_millis(10);
