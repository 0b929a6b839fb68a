//! Points at which handlers stop until the test resumes them.

use tokio::sync::Semaphore;

use crate::timeout::complete;

/// A point at which handlers stop until the test has observed and resumed them.
#[derive(Debug)]
pub struct Breakpoint {
    arrivals: Semaphore,
    resumptions: Semaphore,
}

impl Breakpoint {
    /// Creates a breakpoint that stops every handler.
    #[must_use]
    pub const fn new() -> Self {
        Self { arrivals: Semaphore::const_new(0), resumptions: Semaphore::const_new(0) }
    }

    /// Waits, in the test, until one more handler has arrived.
    pub async fn wait_for_arrival(&self) {
        complete(self.arrivals.acquire()).await.expect("the semaphore is never closed").forget();
    }

    /// Resumes one handler, also one that has not arrived yet.
    pub fn resume(&self) {
        self.resumptions.add_permits(1);
    }

    /// Reports, in a handler, that it has arrived, without stopping.
    pub fn arrive(&self) {
        self.arrivals.add_permits(1);
    }

    /// Stops a handler until the test resumes it.
    pub async fn stop(&self) {
        self.arrive();
        self.resumptions.acquire().await.expect("the semaphore is never closed").forget();
    }
}

impl Default for Breakpoint {
    fn default() -> Self {
        Self::new()
    }
}
