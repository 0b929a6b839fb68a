use bytes::{Buf, Bytes, BytesMut};

use crate::copy::budget::Reservation;

/// A copy of a body, up to a limit.
///
/// It copies the bytes instead of sharing them. A small chunk can keep a whole read buffer of the
/// server alive, so shared chunks could exceed the limits.
pub(crate) struct Capture {
    bytes: BytesMut,
    limit: usize,
    reserved: usize,
    reservation: Reservation,
}

/// The reason why a capture failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CaptureError {
    /// The body exceeds the limit.
    TooLarge,
    /// The copy would exceed the memory budget of the mirror.
    MemoryFull,
}

impl Capture {
    pub(crate) fn new(limit: usize, reservation: Reservation) -> Self {
        Self { bytes: BytesMut::new(), limit, reserved: 0, reservation }
    }

    pub(crate) fn push(&mut self, data: &[u8]) -> Result<(), CaptureError> {
        if self.limit - self.bytes.len() < data.len() {
            return Err(CaptureError::TooLarge);
        }
        self.bytes.reserve(data.len());
        let growth = self.bytes.capacity().saturating_sub(self.reserved);
        self.reservation.grow(growth).map_err(|_| CaptureError::MemoryFull)?;
        self.reserved += growth;
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    /// Pushes all chunks of `data`.
    pub(crate) fn push_all(&mut self, mut data: impl Buf) -> Result<(), CaptureError> {
        while data.has_remaining() {
            let chunk = data.chunk();
            self.push(chunk)?;
            let length = chunk.len();
            data.advance(length);
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> (Bytes, Reservation) {
        (self.bytes.freeze(), self.reservation)
    }
}
