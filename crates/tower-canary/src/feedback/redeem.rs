use std::{error, fmt, time::Duration};

use canary_core::Rating;

use crate::{
    feedback::{
        error::{UnknownEvent, UnknownWeight},
        rated_call::RatedCall,
        receipt::{CanaryTag, Receipt, SaltTag},
        replay_guard::ReplayError,
        store::{RatingSeries, RatingStore},
    },
    select::salt::Salt,
};

impl RatingStore {
    /// Issues a receipt for a call that was assigned with `salt`.
    pub(crate) fn issue(&self, salt: &Salt, call: RatedCall) -> Receipt {
        let options = &self.receipts;
        let mut receipt = Receipt {
            canary: CanaryTag::of(&self.canary),
            salt: SaltTag::of(salt.as_str()),
            call,
            issued: options.now(),
            id: draw_id(call.key),
            signature: None,
        };
        receipt.signature = self.signer.sign(&receipt);
        receipt
    }

    /// Returns whether receipts are signed, so that clients cannot forge them.
    #[cfg(feature = "axum")]
    pub(crate) const fn signs(&self) -> bool {
        self.signer.signs()
    }

    /// Returns how long the route for feedback waits for a request body.
    #[cfg(all(feature = "axum", feature = "tokio"))]
    pub(crate) const fn body_time_limit(&self) -> Duration {
        self.receipts.body_time_limit
    }

    pub(crate) fn redeem(
        &self,
        series: RatingSeries<'_>,
        receipt: &Receipt,
        rating: Rating,
    ) -> Result<(), ReceiptError> {
        let options = &self.receipts;
        if !self.signer.accepts(receipt) {
            return Err(ReceiptError::Signature);
        }
        if receipt.canary != CanaryTag::of(&self.canary) {
            return Err(ReceiptError::OtherCanary);
        }
        let now = options.now();
        // Only the clock of another replica can be ahead. An unsigned receipt may be made up.
        let max_skew = if self.signer.signs() { MAX_SKEW } else { 0 };
        if receipt.issued > now.saturating_add(max_skew) {
            return Err(ReceiptError::FromTheFuture);
        }
        let age = Duration::from_secs(now.saturating_sub(receipt.issued).into());
        if age > options.max_age {
            return Err(ReceiptError::Expired { age, max_age: options.max_age });
        }
        let mut state = self.state();
        let series_number = state.series_number(series).map_err(ReceiptError::UnknownEvent)?;
        let salt = state.salt.as_ref().map(|salt| SaltTag::of(salt.as_str()));
        if salt != Some(receipt.salt) {
            return Err(ReceiptError::OtherSalt);
        }
        // A signed receipt may come from a replica that is already at the next weight.
        if !self.signer.signs() {
            state.refuse_unknown(receipt.call.weight).map_err(ReceiptError::UnknownWeight)?;
        }
        state.replay_guard.admit((receipt.issued, receipt.id, series_number), now)?;
        let ratings = state.series(series).map_err(ReceiptError::UnknownEvent)?;
        receipt.call.count_in(ratings, rating);
        let event = match series {
            RatingSeries::Feedback => None,
            RatingSeries::Event(event) => Some(event),
        };
        state.record_key(event, receipt.call, rating);
        Ok(())
    }
}

/// Draws the id of a receipt. The first half is that of the caller's key, if there is one.
fn draw_id(key: Option<u32>) -> u64 {
    let random: u64 = rand::random();
    key.map_or(random, |key| u64::from(key) << 32 | random & u64::from(u32::MAX))
}

/// The reason why a receipt is refused.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum ReceiptError {
    /// No secret of this canary has signed the receipt: it is forged, damaged or from another
    /// service.
    Signature,
    /// The receipt belongs to another canary.
    OtherCanary,
    /// The receipt was issued before the last change of the
    /// [salt](crate::control::ControlExt::salt), in an earlier attempt or for an earlier release.
    OtherSalt,
    /// The receipt is unsigned and names a weight that has not been in force in this process.
    UnknownWeight(UnknownWeight),
    /// The receipt has expired.
    Expired {
        /// The time since the receipt was issued.
        age: Duration,
        /// The maximum [age](super::FeedbackOptions::max_age) of a receipt.
        max_age: Duration,
    },
    /// The receipt was issued in the future: a signed one by more than a minute, for the clock of
    /// another replica.
    FromTheFuture,
    /// The receipt was already used.
    Used,
    /// More receipts of the same time were used than can be
    /// [remembered](super::FeedbackOptions::remember), so this one may be among them.
    Forgotten,
    /// The options do not name the event.
    UnknownEvent(UnknownEvent),
}

impl From<ReplayError> for ReceiptError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Used => Self::Used,
            ReplayError::Forgotten => Self::Forgotten,
        }
    }
}

impl fmt::Display for ReceiptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature => {
                f.write_str("the receipt is not signed with a secret of this canary")
            }
            Self::OtherCanary => f.write_str("the receipt belongs to another canary"),
            Self::OtherSalt => f.write_str("the receipt is from an earlier attempt or release"),
            Self::UnknownWeight(unknown) => fmt::Display::fmt(unknown, f),
            Self::Expired { age, max_age } => {
                write!(f, "the receipt is {age:?} old, the maximum is {max_age:?}")
            }
            Self::FromTheFuture => {
                f.write_str("the receipt was issued in the future: check the clocks")
            }
            Self::Used => f.write_str("the receipt was already used"),
            Self::Forgotten => f.write_str(
                "too many receipts of the same time were used to know whether this one was",
            ),
            Self::UnknownEvent(unknown) => fmt::Display::fmt(unknown, f),
        }
    }
}

canary_core::debug_as_display!(ReceiptError);

impl error::Error for ReceiptError {}

/// The seconds by which another replica's clock may be ahead.
const MAX_SKEW: u32 = 60;

#[cfg(test)]
mod tests;
