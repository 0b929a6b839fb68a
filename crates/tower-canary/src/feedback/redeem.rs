use std::{error, fmt, time::Duration};

use canary_core::Rating;

use super::{
    UnknownEvent, UnknownWeight,
    ledger::{Ledger, Rater, Served},
    receipt::{CanaryTag, Receipt, SaltTag},
    seen::NotAdmitted,
};
use crate::{control::handle::CanaryHandle, select::salt::Salt};

impl CanaryHandle {
    /// Counts what a user says later of the call that this receipt was made for.
    ///
    /// It counts for the channel that served the call and at the weight at which the call was assigned,
    /// whatever the weight is now; beside the evidence, if chance did not assign the call.
    ///
    /// ```
    /// use tower_canary::{CanaryHandle, Rating, feedback::Receipt};
    ///
    /// # #[derive(Debug)]
    /// struct Complaint {
    ///     receipt: String,
    /// }
    ///
    /// fn complain(canary: &CanaryHandle, complaint: &Complaint) -> Result<(), Box<dyn std::error::Error>> {
    ///     let receipt: Receipt = complaint.receipt.parse()?;
    ///     Ok(canary.rate_receipt(&receipt, Rating::Bad)?)
    /// }
    /// # let canary = tower_canary::CanaryLayer::new("checkout", ()).handle();
    /// # assert!(complain(&canary, &Complaint { receipt: String::new() }).is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// If the receipt is not to be believed, not this canary's, too old, or was used: each counts once, at
    /// each replica. Nothing is counted then.
    pub fn rate_receipt(&self, receipt: &Receipt, rating: Rating) -> Result<(), ReceiptError> {
        self.control().config().feedback.redeem(Rater::User, receipt, rating)
    }

    /// Counts one of the application's [events](super::FeedbackOptions::event) for the call that this
    /// receipt was made for, such as the order that was paid days later.
    ///
    /// A receipt counts once for each event, and for what the user says besides.
    ///
    /// # Errors
    ///
    /// As for [`rate_receipt`](Self::rate_receipt), and if the options name no such event.
    pub fn rate_receipt_event(
        &self,
        receipt: &Receipt,
        event: &str,
        rating: Rating,
    ) -> Result<(), ReceiptError> {
        self.control().config().feedback.redeem(Rater::Event(event), receipt, rating)
    }
}

impl Ledger {
    /// A receipt for a call that was assigned while `salt` was in force.
    pub(crate) fn issue(&self, salt: &Salt, served: Served) -> Receipt {
        let rules = &self.rules;
        let mut receipt = Receipt {
            canary: CanaryTag::of(&self.canary),
            salt: SaltTag::of(salt.as_str()),
            served,
            issued: rules.now(),
            id: rand::random(),
            signature: None,
        };
        receipt.signature = rules.signer.sign(&receipt);
        receipt
    }

    /// Whether receipts are signed, and outsiders therefore cannot make any.
    #[cfg(feature = "axum")]
    pub(crate) const fn signs(&self) -> bool {
        self.rules.signer.has_secret()
    }

    pub(crate) fn redeem(
        &self,
        rater: Rater<'_>,
        receipt: &Receipt,
        rating: Rating,
    ) -> Result<(), ReceiptError> {
        let rules = &self.rules;
        if !rules.signer.admits(receipt) {
            return Err(ReceiptError::Signature);
        }
        if receipt.canary != CanaryTag::of(&self.canary) {
            return Err(ReceiptError::OtherCanary);
        }
        let now = rules.now();
        if receipt.issued > now.saturating_add(MAX_SKEW) {
            return Err(ReceiptError::FromTheFuture);
        }
        let age = Duration::from_secs(now.saturating_sub(receipt.issued).into());
        if age > rules.max_age {
            return Err(ReceiptError::Expired { age, max_age: rules.max_age });
        }
        let mut books = self.books();
        let rater_number = books.number(rater).map_err(ReceiptError::UnknownEvent)?;
        let salt = books.salt.as_ref().map(|salt| SaltTag::of(salt.as_str()));
        if salt != Some(receipt.salt) {
            return Err(ReceiptError::OtherSalt);
        }
        // What is signed may be of a replica that is a step ahead.
        if !rules.signer.has_secret() {
            books.refuse_unknown(receipt.served.weight).map_err(ReceiptError::UnknownWeight)?;
        }
        books.seen.admit((receipt.issued, receipt.id, rater_number))?;
        let rated = books.rated(rater).map_err(ReceiptError::UnknownEvent)?;
        receipt.served.count_in(rated, rating);
        Ok(())
    }
}

/// Why a receipt does not count.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ReceiptError {
    /// It is not signed by one of the canary's secrets: it is forged, damaged or of another service.
    Signature,
    /// It is another canary's.
    OtherCanary,
    /// It was made before the canary got its present [salt](CanaryHandle::salt): in an earlier attempt, or
    /// of an earlier release.
    OtherSalt,
    /// It is not signed, and names a weight that this process never had.
    UnknownWeight(UnknownWeight),
    /// It was made too long ago.
    Expired {
        /// How long ago it was made.
        age: Duration,
        /// How long receipts count.
        max_age: Duration,
    },
    /// It was made more than a minute from now.
    FromTheFuture,
    /// It has counted.
    Used,
    /// It is so old that nobody can tell any more whether it was used: more receipts than are
    /// [remembered](super::FeedbackOptions::remember) have come.
    Forgotten,
    /// The options name no such event.
    UnknownEvent(UnknownEvent),
}

impl From<NotAdmitted> for ReceiptError {
    fn from(reason: NotAdmitted) -> Self {
        match reason {
            NotAdmitted::Used => Self::Used,
            NotAdmitted::Forgotten => Self::Forgotten,
        }
    }
}

impl fmt::Display for ReceiptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature => f.write_str("the receipt is not signed by a secret of this canary"),
            Self::OtherCanary => f.write_str("the receipt is another canary's"),
            Self::OtherSalt => f.write_str("the receipt is of an earlier attempt or release"),
            Self::UnknownWeight(unknown) => fmt::Display::fmt(unknown, f),
            Self::Expired { age, max_age } => {
                write!(f, "the receipt is {age:?} old, and counts for {max_age:?}")
            }
            Self::FromTheFuture => {
                write!(f, "the receipt was made more than {MAX_SKEW} s from now: do clocks differ?")
            }
            Self::Used => f.write_str("the receipt has counted already"),
            Self::Forgotten => f.write_str(
                "the receipt is older than those that are remembered: it may have counted",
            ),
            Self::UnknownEvent(unknown) => fmt::Display::fmt(unknown, f),
        }
    }
}

impl error::Error for ReceiptError {}

/// How far, in seconds, the clock of another replica may be ahead.
const MAX_SKEW: u32 = 60;

#[cfg(test)]
mod tests;
