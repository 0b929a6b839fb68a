use std::{
    fmt, io,
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::Duration,
};

use super::publish_all;

/// A thread that publishes the metrics of all canaries of the process at an interval.
///
/// For recorders that push, or answer scrapes by a listener of their own. It publishes once more, and
/// stops, when it is dropped.
///
/// ```
/// use std::time::Duration;
/// use tower_canary::metrics::Publisher;
///
/// let publisher = Publisher::spawn(Duration::from_secs(1))?;
/// // .. serve ..
/// drop(publisher);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "it stops when it is dropped"]
pub struct Publisher {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    /// Starts a publisher. An interval below ten milliseconds is taken for ten.
    ///
    /// # Errors
    ///
    /// If the system refuses a thread.
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
            // A recorder that panicked has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

/// An interval of zero would keep a core busy.
const MIN_INTERVAL: Duration = Duration::from_millis(10);
