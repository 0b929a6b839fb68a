use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

use canary_analysis::{Judge, JudgeState, Judgment};

use crate::compact::CompactText;

/// A judge with what follows from its evidence, which takes longer to derive than a tick without calls
/// otherwise takes.
pub(super) struct CachedJudge {
    judge: Judge,
    judgment: OnceLock<Arc<Judgment>>,
    /// The state as it is stored. As a value, it is larger than the judge.
    state: OnceLock<CompactText<JudgeState>>,
}

impl CachedJudge {
    /// Returns the judge for a change, after which everything is derived again.
    pub(super) fn change(&mut self) -> &mut Judge {
        (self.judgment, self.state) = (OnceLock::new(), OnceLock::new());
        &mut self.judge
    }

    pub(super) fn judgment(&self) -> &Arc<Judgment> {
        self.judgment.get_or_init(|| Arc::new(self.judge.judgment()))
    }

    pub(super) fn stored(&self) -> &CompactText<JudgeState> {
        self.state.get_or_init(|| CompactText::new(&self.judge.state()))
    }
}

impl From<Judge> for CachedJudge {
    fn from(judge: Judge) -> Self {
        Self { judge, judgment: OnceLock::new(), state: OnceLock::new() }
    }
}

/// Reads the judge. Its own `judgment` is hidden by the cached one.
impl Deref for CachedJudge {
    type Target = Judge;

    fn deref(&self) -> &Judge {
        &self.judge
    }
}
