use std::{
    num::NonZeroU64,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use siphasher::sip::SipHasher13;

/// The gRPC methods that stable serves: those that it answered with `OK`.
///
/// It separates a canary that lacks a method from a caller that asks for one that never existed.
/// Both get `UNIMPLEMENTED`. Until stable has responded to any call, nothing is known.
///
/// The set is a Bloom filter with two bits per method. With 100 methods, one in 100,000 unknown
/// methods seems to be served. Its hash has a random key, so that callers cannot find such methods
/// in advance, and they cannot add any: no service answers an unknown method with `OK`.
pub(crate) struct ServedMethods {
    /// SipHash 1-3, as std uses it, with a random key. It reads a whole path at once.
    hasher: SipHasher13,
    has_response: AtomicBool,
    /// Allocated with the first method, because an HTTP service has none.
    bits: OnceLock<Box<[AtomicU64; WORDS]>>,
}

/// The hash of a method's path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Method(NonZeroU64);

impl ServedMethods {
    pub(crate) fn new() -> Self {
        Self {
            hasher: SipHasher13::new_with_keys(rand::random(), rand::random()),
            has_response: AtomicBool::new(false),
            bits: OnceLock::new(),
        }
    }

    pub(crate) fn method(&self, path: &str) -> Method {
        Method(NonZeroU64::MIN | self.hasher.hash(path.as_bytes()))
    }

    /// Records that stable has responded to a call.
    #[inline]
    pub(crate) fn record_response(&self) {
        // The load keeps the cache line shared. Relaxed: the flag orders no other memory.
        if !self.has_response.load(Ordering::Relaxed) {
            self.has_response.store(true, Ordering::Relaxed);
        }
    }

    /// Returns whether stable has responded to any call, of any protocol.
    pub(crate) fn has_response(&self) -> bool {
        self.has_response.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, method: Method) {
        if self.contains(method) {
            return;
        }
        let bits = self.bits.get_or_init(|| Box::new(std::array::from_fn(|_| AtomicU64::new(0))));
        for (word, bit) in method.positions() {
            // Relaxed: the bits order no other memory.
            bits[word].fetch_or(bit, Ordering::Relaxed);
        }
    }

    pub(crate) fn contains(&self, method: Method) -> bool {
        self.bits.get().is_some_and(|bits| {
            let mut positions = method.positions().into_iter();
            positions.all(|(word, bit)| bits[word].load(Ordering::Relaxed) & bit != 0)
        })
    }
}

impl Method {
    /// Returns the words and bits of the method.
    fn positions(self) -> [(usize, u64); 2] {
        // The lowest bit of the hash is always set and not used.
        [1, 32].map(|shift| {
            let [low, high, ..] = (self.0.get() >> shift).to_le_bytes();
            let bit = usize::from(u16::from_le_bytes([low, high]));
            (bit / 64 % WORDS, 1 << (bit % 64))
        })
    }
}

/// 8 KiB.
const WORDS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_contains_the_methods_that_were_added_and_hardly_any_other() {
        let served = ServedMethods::new();
        let methods = |range: std::ops::Range<u32>| {
            range.map(|n| served.method(&format!("/shop.Shop/Method{n}"))).collect::<Vec<_>>()
        };
        assert!(!methods(0..100).into_iter().any(|method| served.contains(method)));
        methods(0..100).into_iter().for_each(|method| served.add(method));
        assert!(methods(0..100).into_iter().all(|method| served.contains(method)));
        // About 0.1 of these seem to be served.
        let others = methods(100..10_100);
        assert!(others.into_iter().filter(|method| served.contains(*method)).count() <= 5);
    }
}
