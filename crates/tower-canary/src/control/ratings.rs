use canary_core::{Channel, Rating, Weight};

#[cfg(feature = "feedback")]
use crate::feedback::{Receipt, ReceiptError, store::RatingSeries};
use crate::{control::handle::CanaryHandle, feedback::UnknownWeight};

impl CanaryHandle {
    /// Counts a user's rating of a call that was assigned to `channel` at random at `weight`.
    ///
    /// This is for applications that store the channel and the weight themselves, for example with
    /// an order. Do not take them from the client; use a
    /// [receipt](crate::feedback#rating-a-call-later) for that.
    ///
    /// # Errors
    ///
    /// Returns an error if `weight` has not been in force in this process with the current
    /// [salt](crate::control::ControlExt::salt). Nothing is counted in that case.
    pub fn rate(
        &self,
        channel: Channel,
        weight: Weight,
        rating: Rating,
    ) -> Result<(), UnknownWeight> {
        self.control().config().feedback.rate_random(channel, weight, rating)
    }
}

#[cfg(feature = "feedback")]
impl CanaryHandle {
    /// Counts a user's rating of the call that `receipt` was issued for.
    ///
    /// The rating counts for the channel that served the call, at the weight at which the call was
    /// assigned. If the call was not assigned at random, its rating is excluded from the evidence.
    ///
    /// ```
    /// use tower_canary::{CanaryHandle, Rating, feedback::Receipt};
    ///
    /// # #[derive(Debug)]
    /// struct Complaint {
    ///     receipt: String,
    /// }
    ///
    /// fn complain(
    ///     canary: &CanaryHandle,
    ///     complaint: &Complaint,
    /// ) -> Result<(), Box<dyn std::error::Error>> {
    ///     let receipt: Receipt = complaint.receipt.parse()?;
    ///     Ok(canary.rate_receipt(&receipt, Rating::Bad)?)
    /// }
    /// # let canary = tower_canary::CanaryLayer::new("checkout", ()).handle();
    /// # assert!(complain(&canary, &Complaint { receipt: String::new() }).is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the receipt is forged, belongs to another canary, has expired or was
    /// already used at this replica. Nothing is counted in that case.
    pub fn rate_receipt(&self, receipt: &Receipt, rating: Rating) -> Result<(), ReceiptError> {
        self.control().config().feedback.redeem(RatingSeries::Feedback, receipt, rating)
    }

    /// Counts an [event](crate::feedback::FeedbackOptions::event) of the application for the call
    /// that `receipt` was issued for, such as an order that was paid days later.
    ///
    /// A receipt counts once for each event, and once more for the user's own rating.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`rate_receipt`](Self::rate_receipt), and an error if the options do
    /// not name the event.
    pub fn rate_receipt_event(
        &self,
        receipt: &Receipt,
        event: &str,
        rating: Rating,
    ) -> Result<(), ReceiptError> {
        self.control().config().feedback.redeem(RatingSeries::Event(event), receipt, rating)
    }
}
