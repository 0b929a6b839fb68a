use std::sync::Arc as StdArc;

use canary_core::{PerChannel, Weight};

use crate::{counting::key_watch::KeyWatch, select::salt::Salt, variables::Variables};

/// The settings of an epoch. They do not change during a call.
#[derive(Clone, PartialEq)]
pub(crate) struct EpochSettings {
    pub(crate) weight: Weight,
    /// Whether the canary is halted, and serves not even testers.
    pub(crate) is_halted: bool,
    pub(crate) salt: StdArc<Salt>,
    /// `None` if keys are not watched.
    pub(crate) keys: Option<KeyWatch>,
    /// The variables that handlers of each channel see.
    pub(crate) variables: StdArc<PerChannel<Variables>>,
}
