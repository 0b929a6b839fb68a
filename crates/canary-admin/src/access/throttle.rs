use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use http::request::Parts;
use tokio::time::Instant;

use super::peer::{network, peer};
use crate::budget::Budget;

/// Slows down callers who try tokens: after ten wrong ones, an address has one attempt per second.
///
/// A valid token always passes. Operators can share an address with an attacker, such as that of a
/// proxy, and must still be able to roll back.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<HashMap<IpAddr, Budget>>);

impl Throttle {
    /// Returns whether a caller with a wrong token has to wait.
    pub(super) fn blocks(&self, parts: &Parts) -> bool {
        let Some(peer) = peer(parts).map(network) else { return false };
        let peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        peers.get(&peer).is_some_and(|attempts| attempts.is_empty(Instant::now()))
    }

    /// Notes a wrong token.
    pub(super) fn note(&self, parts: &Parts) {
        let Some(peer) = peer(parts).map(network) else { return };
        let now = Instant::now();
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= MAX_PEERS && !peers.contains_key(&peer) {
            let oldest =
                peers.iter().min_by_key(|(_, attempts)| attempts.at()).map(|(peer, _)| *peer);
            oldest.and_then(|oldest| peers.remove(&oldest));
        }
        peers.entry(peer).or_insert_with(|| Budget::new(now)).take(now);
    }
}

/// The number of addresses that are remembered. Then the one that was silent the longest is forgotten.
const MAX_PEERS: usize = 1024;
