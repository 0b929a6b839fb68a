use std::collections::BTreeMap;

use canary_rollout::fleet::Roster;
use tokio::time::Instant;

use crate::store::{Revision, StoreKey};

/// The entries of other lineages and of later attempts, and the times since which they have not
/// changed.
#[derive(Default)]
pub(super) struct ForeignEntries(BTreeMap<StoreKey, (Revision, Instant)>);

impl ForeignEntries {
    /// Replaces the entries, and returns those that have not changed for a
    /// [quarter of an hour](Roster::FORGOTTEN). The others may be of replicas that know of a new document
    /// of the rollout before this one does.
    pub(super) fn replace(
        &mut self,
        entries: Vec<(StoreKey, Revision)>,
    ) -> Vec<(StoreKey, Revision)> {
        let now = Instant::now();
        let before = std::mem::take(&mut self.0);
        for (key, revision) in entries {
            let since = before.get(&key).filter(|(known, _)| *known == revision);
            let since = since.map_or(now, |(_, since)| *since);
            self.0.insert(key, (revision, since));
        }
        let is_left = |since: &Instant| now - *since >= Roster::FORGOTTEN;
        let left = self.0.iter().filter(|(_, (_, since))| is_left(since));
        left.map(|(key, (revision, _))| (key.clone(), revision.clone())).collect()
    }
}
