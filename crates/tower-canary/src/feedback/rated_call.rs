use canary_core::{Channel, Rating, RatingsByWeight, Weight};

use crate::counting::counter_key::Scope;

/// The properties of a call that determine where its ratings are counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RatedCall {
    pub(crate) channel: Channel,
    pub(crate) scope: Scope,
    pub(crate) weight: Weight,
    /// A part of the hash of the caller's key, if the weight assigned the call by a key.
    pub(crate) key: Option<u32>,
}

impl RatedCall {
    pub(super) fn count_in(self, ratings: &mut RatingsByWeight, rating: Rating) {
        match self.scope {
            Scope::Evidence => ratings.count(self.channel, self.weight, rating),
            Scope::Excluded => ratings.count_excluded(self.channel, rating),
        }
    }
}
