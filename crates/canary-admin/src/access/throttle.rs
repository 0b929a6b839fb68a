use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use http::request::Parts;
use tokio::time::Instant;

use super::peer::{network, peer};

/// Slows down callers who try tokens: after ten wrong ones, an address has one attempt per second.
///
/// A valid token always passes. Operators can share an address with an attacker, such as that of a
/// proxy, and must still be able to roll back.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<HashMap<IpAddr, Attempts>>);

struct Attempts {
    /// The number of wrong tokens that are allowed now.
    left: f64,
    at: Instant,
}

impl Throttle {
    /// Returns whether a caller with a wrong token has to wait.
    pub(super) fn blocks(&self, parts: &Parts) -> bool {
        let Some(peer) = peer(parts).map(network) else { return false };
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(attempts) = peers.get_mut(&peer) else { return false };
        attempts.refill(Instant::now());
        attempts.left < 1.0
    }

    /// Notes a wrong token.
    pub(super) fn note(&self, parts: &Parts) {
        let Some(peer) = peer(parts).map(network) else { return };
        let now = Instant::now();
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= MAX_PEERS && !peers.contains_key(&peer) {
            let oldest =
                peers.iter().min_by_key(|(_, attempts)| attempts.at).map(|(peer, _)| *peer);
            oldest.and_then(|oldest| peers.remove(&oldest));
        }
        let new = Attempts { left: ATTEMPTS, at: now };
        let attempts = peers.entry(peer).or_insert(new);
        attempts.refill(now);
        attempts.left = (attempts.left - 1.0).max(0.0);
    }
}

impl Attempts {
    fn refill(&mut self, now: Instant) {
        self.left = (self.left + now.duration_since(self.at).as_secs_f64()).min(ATTEMPTS);
        self.at = now;
    }
}

const ATTEMPTS: f64 = 10.0;

/// The number of addresses that are remembered. Then the one that was silent the longest is forgotten.
const MAX_PEERS: usize = 1024;
