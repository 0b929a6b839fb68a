use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::{
    feedback::receipt::{Receipt, Signature},
    select::Secret,
};

/// Signs receipts with its first secret, and accepts the signatures of all its secrets. Without a
/// secret, receipts are unsigned.
#[derive(Clone, Default)]
pub(super) struct Signer(Vec<Hmac<Sha256>>);

impl Signer {
    /// Signs with a random secret, which no other process knows.
    pub(super) fn of_process() -> Self {
        Self(vec![keyed(&rand::random::<[u8; 32]>())])
    }

    pub(super) fn add_first(&mut self, secret: &Secret) {
        self.0.insert(0, keyed(secret.as_bytes()));
    }

    pub(super) fn add_last(&mut self, secret: &Secret) {
        self.0.push(keyed(secret.as_bytes()));
    }

    pub(super) const fn signs(&self) -> bool {
        !self.0.is_empty()
    }

    pub(super) fn sign(&self, receipt: &Receipt) -> Option<Signature> {
        let mac = self.0.first()?.clone().chain_update(receipt.payload()).finalize().into_bytes();
        Some(*mac.first_chunk().expect("an HMAC-SHA256 has 32 bytes"))
    }

    /// Returns whether the signature is valid, in constant time for each secret. Without a secret,
    /// accepts only unsigned receipts.
    pub(super) fn accepts(&self, receipt: &Receipt) -> bool {
        let Some(signature) = &receipt.signature else { return !self.signs() };
        let payload = receipt.payload();
        let is_signed_by = |mac: &Hmac<Sha256>| {
            mac.clone().chain_update(payload).verify_truncated_left(signature).is_ok()
        };
        self.0.iter().any(is_signed_by)
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("an HMAC takes keys of any length");
    // The prefix separates receipts from anything else that is signed with the same secret.
    mac.chain_update(b"tower-canary receipt\0")
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({} secrets)", self.0.len())
    }
}
