use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::receipt::{Receipt, Signature};
use crate::select::Secret;

/// Signs receipts with the first of its secrets, and knows the signatures of all.
#[derive(Clone, Default)]
pub(super) struct Signer(Vec<Hmac<Sha256>>);

impl Signer {
    pub(super) fn add_first(&mut self, secret: &Secret) {
        self.0.insert(0, keyed(secret));
    }

    pub(super) fn add_last(&mut self, secret: &Secret) {
        self.0.push(keyed(secret));
    }

    pub(super) const fn has_secret(&self) -> bool {
        !self.0.is_empty()
    }

    pub(super) fn sign(&self, receipt: &Receipt) -> Option<Signature> {
        let mac = self.0.first()?.clone().chain_update(receipt.payload()).finalize().into_bytes();
        Some(*mac.first_chunk().expect("it has 32 bytes"))
    }

    /// Whether the receipt is genuine, as far as one can tell: without a secret, all that have no
    /// signature are. How long it takes says nothing about how much of a signature was right.
    pub(super) fn admits(&self, receipt: &Receipt) -> bool {
        let Some(signature) = &receipt.signature else { return !self.has_secret() };
        let payload = receipt.payload();
        let is_by = |mac: &Hmac<Sha256>| {
            mac.clone().chain_update(payload).verify_truncated_left(signature).is_ok()
        };
        self.0.iter().any(is_by)
    }
}

fn keyed(secret: &Secret) -> Hmac<Sha256> {
    let key = secret.as_bytes();
    assert!(
        key.len() >= 32,
        "a secret for signing has at least 32 bytes, but this has {}",
        key.len()
    );
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("an HMAC takes keys of any length");
    // Nothing else that the same secret may sign begins so.
    mac.chain_update(b"tower-canary receipt\0")
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({} secrets)", self.0.len())
    }
}
