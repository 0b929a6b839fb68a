//! One call of the store.

use canary_controller::store::CALL_DEADLINE;
use tokio::time::Instant;

pub(crate) struct Call {
    /// What the caller wants, for errors.
    pub(crate) operation: String,
    pub(crate) access: Access,
    pub(crate) deadline: Instant,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Access {
    Read,
    Write,
}

impl Call {
    pub(crate) fn new(access: Access, operation: String) -> Self {
        Self { operation, access, deadline: Instant::now() + CALL_DEADLINE }
    }

    /// Returns the read that follows a change that was not made: it cannot leave anything unknown.
    pub(crate) fn reading(&self) -> Self {
        Self { operation: self.operation.clone(), access: Access::Read, deadline: self.deadline }
    }
}
