use bytes::{Bytes, BytesMut};

use crate::memory::Lease;

/// A copy of a body, up to a bound.
///
/// The bytes are copied, not shared: a chunk of a few bytes may keep a whole read buffer of the server
/// alive, and the bounds would mean nothing.
pub(crate) struct Recording {
    bytes: BytesMut,
    limit: usize,
    leased: usize,
    lease: Lease,
}

/// Why a body is not copied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Overflow {
    /// It is longer than the bound.
    TooLarge,
    /// All copies together are.
    MemoryFull,
}

impl Recording {
    pub(crate) fn new(limit: usize, lease: Lease) -> Self {
        Self { bytes: BytesMut::new(), limit, leased: 0, lease }
    }

    pub(crate) fn push(&mut self, data: &[u8]) -> Result<(), Overflow> {
        if self.limit - self.bytes.len() < data.len() {
            return Err(Overflow::TooLarge);
        }
        self.bytes.reserve(data.len());
        let more = self.bytes.capacity().saturating_sub(self.leased);
        self.lease.grow(more).map_err(|_| Overflow::MemoryFull)?;
        self.leased += more;
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    pub(crate) fn finish(self) -> (Bytes, Lease) {
        (self.bytes.freeze(), self.lease)
    }
}
