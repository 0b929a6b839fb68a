//! Where handlers wait until the test lets them go on.

use tokio::sync::Semaphore;

use crate::patience::soon;

/// Stops handlers until the test has seen them and lets them pass.
#[derive(Debug)]
pub struct Gate {
    arrived: Semaphore,
    open: Semaphore,
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub const fn new() -> Self {
        Self { arrived: Semaphore::const_new(0), open: Semaphore::const_new(0) }
    }

    /// Waits, in the test, until one more handler has arrived.
    pub async fn arrival(&self) {
        soon(self.arrived.acquire()).await.expect("never closed").forget();
    }

    /// Lets one handler pass.
    pub fn open(&self) {
        self.open.add_permits(1);
    }

    /// Says, in a handler, that it has arrived.
    pub fn arrive(&self) {
        self.arrived.add_permits(1);
    }

    /// Waits, in a handler, until the test opens the gate.
    pub async fn pass(&self) {
        self.arrive();
        self.open.acquire().await.expect("never closed").forget();
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}
