use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The bytes that all copies of a mirror may hold together.
pub(crate) struct Memory {
    limit: usize,
    used: AtomicUsize,
}

/// A part of the [`Memory`], given back when it is dropped.
pub(crate) struct Lease {
    memory: Arc<Memory>,
    bytes: usize,
}

/// There is no memory left.
#[derive(Debug)]
pub(crate) struct MemoryFull;

impl Memory {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0) }
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl Lease {
    pub(crate) const fn new(memory: Arc<Memory>) -> Self {
        Self { memory, bytes: 0 }
    }

    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), MemoryFull> {
        let add = |used: usize| {
            used.checked_add(bytes).filter(|used_then| *used_then <= self.memory.limit)
        };
        let used = &self.memory.used;
        used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).map_err(|_| MemoryFull)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Takes over what another lease of the same memory holds.
    pub(crate) fn merge(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_never_exceed_the_limit_and_give_back_what_they_had() {
        let memory = Arc::new(Memory::new(10));
        let (mut one, mut other) =
            (Lease::new(Arc::clone(&memory)), Lease::new(Arc::clone(&memory)));
        one.grow(6).unwrap();
        other.grow(5).unwrap_err();
        other.grow(4).unwrap();
        one.grow(usize::MAX).unwrap_err();
        assert_eq!(memory.used(), 10);
        drop(one);
        other.grow(6).unwrap();
        drop(other);
        assert_eq!(memory.used(), 0);
    }
}
