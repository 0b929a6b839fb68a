use std::sync::Arc as StdArc;

use canary_core::{PerChannel, Weight};

use crate::{counting::key_watch::KeyWatch, select::salt::Salt, variables::Variables};

/// What is in force during an epoch, and what a call therefore never sees change.
#[derive(Clone, PartialEq)]
pub(crate) struct EpochSettings {
    pub(crate) weight: Weight,
    /// Whether nobody may be served by the canary, testers included.
    pub(crate) is_halted: bool,
    pub(crate) salt: StdArc<Salt>,
    /// None, if nobody counts keys.
    pub(crate) keys: Option<KeyWatch>,
    /// What the handlers of each channel see.
    pub(crate) variables: StdArc<PerChannel<Variables>>,
}
