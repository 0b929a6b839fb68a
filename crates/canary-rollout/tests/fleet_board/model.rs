//! Random happenings in a fleet of three replicas.

use std::{collections::BTreeMap, time::Duration};

use canary_core::Weight;
use canary_rollout::fleet::{
    BoardList, BoardSign, ClosedWeights, FleetCounts, JudgedCounts, OwnPart, Roster,
};
use proptest::prelude::*;

use crate::{
    at, calls,
    happenings::{Fault, Happening, Losses, happenings},
    id,
};

/// The stored evidence: the observed calls stand for the state of the judge.
#[derive(Clone, Debug, Default)]
struct Evidence {
    revision: u64,
    lineage: u64,
    judged: JudgedCounts,
    roster: Roster,
    observed: FleetCounts,
}

#[derive(Clone, Debug)]
struct Node {
    id: u64,
    lineage: u64,
    beat: u64,
    /// The calls since it knows of its lineage.
    served: FleetCounts,
    /// The counts that were read. A driver reads them only to look.
    own: FleetCounts,
    is_driving: bool,
    /// The counts of each attempt of a publication, of which its guard knows that the judge has them.
    published: BTreeMap<u64, FleetCounts>,
    /// Whether the judge in memory has observed the own counts.
    is_judged: bool,
    /// The evidence in memory, and the roster that is stored as far as this node knows.
    evidence: Evidence,
    stored: Roster,
}

#[derive(Clone)]
struct Entry {
    lineage: u64,
    sign: BoardSign,
    counts: FleetCounts,
}

#[derive(Default)]
struct Store {
    /// The lineage of the rollout.
    lineage: u64,
    board: BTreeMap<u64, Entry>,
    backups: BTreeMap<u64, Entry>,
    evidence: Evidence,
    /// Whether the store has lost an entry, or an entry of an earlier lineage is gone.
    has_lost: bool,
}

impl Node {
    fn new(id: u64, store: &Store) -> Self {
        let mut node = Self {
            id,
            lineage: store.lineage,
            beat: 0,
            served: FleetCounts::default(),
            own: FleetCounts::default(),
            is_driving: false,
            published: BTreeMap::from([(0, FleetCounts::default())]),
            is_judged: true,
            evidence: Evidence::default(),
            stored: Roster::default(),
        };
        node.follow(store);
        node
    }

    fn follow(&mut self, store: &Store) {
        if store.evidence.lineage == self.lineage {
            self.evidence = store.evidence.clone();
            self.stored = store.evidence.roster.clone();
        } else {
            // This replica judges without evidence.
            let mut roster = std::mem::take(&mut self.evidence.roster);
            roster.begin();
            let (revision, lineage) = (store.evidence.revision, self.lineage);
            self.evidence = Evidence { revision, lineage, roster, ..Evidence::default() };
            self.stored = Roster::default();
        }
        (self.is_judged, self.is_driving) = (false, false);
    }

    fn enter_lineage(&mut self, store: &Store) {
        if self.lineage != store.lineage {
            let beat = self.beat;
            *self = Self { beat, ..Self::new(self.id, store) };
        }
    }

    fn weight(&self) -> u32 {
        u32::try_from(self.id).unwrap() + 1
    }
}

impl Store {
    fn publish(
        &mut self,
        node: &mut Node,
        has_left: bool,
        closes: Option<u32>,
        fault: Fault,
    ) -> bool {
        if !node.is_driving {
            node.own = node.served.clone();
            node.is_judged = false;
        }
        node.beat += 1;
        node.published.insert(node.beat, node.own.clone());
        if !matches!(fault, Fault::RequestLost) {
            let mut closed = node.evidence.judged.closed().clone();
            closed.extend(&weights(closes));
            let mut counts = node.own.clone();
            counts.close(&closed);
            let sign = BoardSign { has_left, closed, ..BoardSign::new(id(node.id), node.beat) };
            let entry = Entry { lineage: node.lineage, sign, counts };
            let before = self.board.insert(node.id, entry);
            self.backups.extend(before.map(|entry| (node.id, entry)));
        }
        let is_done = matches!(fault, Fault::None);
        if is_done {
            node.evidence.roster.note_published(&id(node.id), node.beat, 1);
        }
        is_done
    }

    /// The driver has the same order: publish the own counts, then swap the evidence.
    fn swap(&mut self, node: &mut Node, closes: Option<u32>, fault: Fault) {
        if !self.publish(node, false, closes, Fault::None) {
            return;
        }
        if node.is_judged {
            node.evidence.roster.note_judged(&id(node.id), 1);
        }
        if self.evidence.revision != node.evidence.revision {
            node.follow(self);
            return;
        }
        if !matches!(fault, Fault::RequestLost) {
            let revision = self.evidence.revision + 1;
            self.evidence = Evidence { revision, lineage: node.lineage, ..node.evidence.clone() };
            self.evidence.judged.close(&weights(closes));
            if matches!(fault, Fault::None) {
                node.evidence.revision = revision;
                node.evidence.judged.close(&weights(closes));
                node.stored = node.evidence.roster.clone();
            }
        }
    }

    fn list(&mut self, node: &Node) -> BoardList {
        let is_present = |entry: &Entry| entry.lineage == node.lineage;
        self.board.retain(|_, it| !is_present(it) || !node.stored.has_folded(&it.sign));
        let mut list = BoardList::default();
        for entry in self.board.values().filter(|entry| is_present(entry)) {
            list.push(entry.sign.clone(), entry.counts.clone());
        }
        list
    }

    fn look(&mut self, node: &mut Node, minutes: u64, gives_up: bool) {
        let list = self.list(node);
        let before = (std::mem::replace(&mut node.own, node.served.clone()), node.is_judged);
        (node.is_driving, node.is_judged) = (true, false);
        let Evidence { judged, roster, observed, .. } = &mut node.evidence;
        roster.observe(Duration::from_secs(60 * minutes), list.signs());
        roster.note_present(&id(node.id), 1);
        let own = OwnPart { replica: &id(node.id), counts: &node.own, step: 1 };
        match list.look(own, judged, roster) {
            Ok(look) => {
                observed.merge(&look.counts);
                node.is_judged = true;
            }
            Err(_) if gives_up => {
                self.has_lost = true;
                list.give_up(own, judged, roster);
                node.is_judged = true;
            }
            // A driver that was replaced does not know which entries its successor has removed, and one
            // of another lineage not whose entries belong to the latest.
            Err(missing) => {
                let is_replaced = node.evidence.revision != self.evidence.revision
                    || node.lineage != self.lineage;
                assert!(self.has_lost || is_replaced, "{missing}");
                self.has_lost = true;
                (node.own, node.is_judged) = before;
            }
        }
    }
}

/// A set of at most one weight.
fn weights(ppm: Option<u32>) -> ClosedWeights {
    ppm.map(Weight::from_ppm).into_iter().collect()
}

/// Runs the happenings, checks the stored evidence after each one, and returns the store, the nodes,
/// and the counts of all replicas that have ever started.
fn run(happenings: Vec<Happening>) -> Result<(Store, Vec<Node>), TestCaseError> {
    let mut store = Store::default();
    let mut nodes: Vec<_> = (0..3).map(|id| Node::new(id, &store)).collect();
    let mut gone: Vec<Node> = Vec::new();
    let mut ids = 3;
    let mut restart = |nodes: &mut Vec<Node>, gone: &mut Vec<Node>, store: &Store, replica| {
        gone.push(std::mem::replace(&mut nodes[replica], Node::new(ids, store)));
        ids += 1;
    };
    for happening in happenings {
        match happening {
            Happening::Calls { replica, calls: more } => {
                let node = &mut nodes[replica];
                node.served.merge(&calls(node.weight(), more));
            }
            Happening::Publication { replica, closes, fault } => {
                store.publish(&mut nodes[replica], false, closes, fault);
            }
            Happening::Leave { replica, fault } => {
                store.publish(&mut nodes[replica], true, None, fault);
                restart(&mut nodes, &mut gone, &store, replica);
            }
            Happening::Look { replica, minutes } => {
                store.look(&mut nodes[replica], minutes, false);
            }
            Happening::GiveUp { replica } => store.look(&mut nodes[replica], 1, true),
            Happening::Swap { replica, closes, fault } => {
                store.swap(&mut nodes[replica], closes, fault);
            }
            Happening::Replacement { replica } => nodes[replica].follow(&store),
            Happening::Restart { replica } => restart(&mut nodes, &mut gone, &store, replica),
            Happening::Loss { entry } => {
                let lost = store.board.keys().nth(entry).copied();
                store.has_lost |= lost.and_then(|id| store.board.remove(&id)).is_some();
            }
            Happening::Backup { entry } => {
                let old = store.backups.iter().nth(entry).map(|(id, it)| (*id, it.clone()));
                store.has_lost |= old.is_some();
                store.board.extend(old);
            }
            Happening::Wipe => {
                store.lineage += 1;
            }
            Happening::Lineage { replica } => nodes[replica].enter_lineage(&store),
        }
        let Evidence { observed, roster, judged: sum, lineage, .. } = &store.evidence;
        let is_of_evidence = |node: &&Node| node.lineage == *lineage;
        for node in nodes.iter().chain(&gone).filter(is_of_evidence) {
            let judged = at(observed, node.weight());
            prop_assert!(judged <= at(&node.served, node.weight()), "{} is judged twice", node.id);
        }
        for node in nodes.iter().filter(is_of_evidence) {
            let judged = at(observed, node.weight());
            // The guard of the replica adds the calls that are missing here.
            let known = roster.judged_beat(&id(node.id)).unwrap_or(0);
            let known = at(&node.published[&known], node.weight());
            // If calls are never judged, the guard must still not count those twice that are.
            let may_lack = store.has_lost || sum.closed().contains(Weight::from_ppm(node.weight()));
            let is_exact = known == judged || may_lack && known > judged;
            prop_assert!(is_exact, "{} of {}", known, judged);
        }
    }
    nodes.extend(gone);
    Ok((store, nodes))
}

/// Lets one replica judge everything, and checks that it has.
fn judge_the_rest((mut store, mut nodes): (Store, Vec<Node>)) -> Result<(), TestCaseError> {
    for node in &mut nodes[..3] {
        node.enter_lineage(&store);
        node.follow(&store);
        store.publish(node, false, None, Fault::None);
    }
    store.look(&mut nodes[0], 0, false);
    store.swap(&mut nodes[0], None, Fault::None);
    let Evidence { observed, judged, .. } = &store.evidence;
    let is_open = |ppm: u32| !judged.closed().contains(Weight::from_ppm(ppm));
    for node in nodes[..3].iter().filter(|node| is_open(node.weight())) {
        prop_assert_eq!(at(observed, node.weight()), at(&node.served, node.weight()));
    }
    // What the replicas that have gone have published last.
    for (replica, Entry { lineage, counts, .. }) in &store.board {
        let weight = u32::try_from(*replica).unwrap() + 1;
        let is_judged = at(observed, weight) == at(counts, weight);
        let is_of_rollout = *lineage == store.lineage;
        prop_assert!(is_judged || !is_open(weight) || !is_of_rollout, "{}", replica);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Guarantee E1.
    #[test]
    fn each_published_call_is_judged_once_under_takeovers_restarts_and_lost_responses(
        happenings in happenings(Losses::None)
    ) {
        judge_the_rest(run(happenings)?)?;
    }

    /// Guarantee E1, for the calls of the latest lineage.
    #[test]
    fn each_published_call_is_judged_once_after_the_store_has_lost_the_rollout(
        happenings in happenings(Losses::OfRollout)
    ) {
        judge_the_rest(run(happenings)?)?;
    }

    /// Guarantee E1, if the store loses entries or the rollout, or goes back to earlier entries.
    #[test]
    fn no_call_is_judged_twice_whatever_the_store_loses(happenings in happenings(Losses::All)) {
        let (mut store, mut nodes) = run(happenings)?;
        // Two more rounds: the entries that are lost are given up, and later calls are judged.
        for node in &mut nodes[..3] {
            node.enter_lineage(&store);
            node.follow(&store);
            store.publish(node, false, None, Fault::None);
        }
        store.look(&mut nodes[0], 0, true);
        let before: Vec<_> =
            nodes.iter().map(|it| at(&nodes[0].evidence.observed, it.weight())).collect();
        for node in &mut nodes[1..3] {
            node.served.merge(&calls(node.weight(), 5));
            store.publish(node, false, None, Fault::None);
        }
        store.look(&mut nodes[0], 0, false);
        let Evidence { observed, judged, .. } = &nodes[0].evidence;
        for (node, before) in nodes[..3].iter().zip(before).skip(1) {
            let is_closed = judged.closed().contains(Weight::from_ppm(node.weight()));
            prop_assert_eq!(at(observed, node.weight()), before + if is_closed { 0 } else { 5 });
        }
    }
}
