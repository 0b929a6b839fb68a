//! Random happenings in a fleet of three replicas.

use std::{collections::BTreeMap, time::Duration};

use canary_core::Weight;
use canary_rollout::fleet::{
    BoardList, BoardSign, ClosedWeights, FleetCounts, JudgedCounts, OwnPart, Roster,
};
use proptest::prelude::*;

use crate::{at, calls, id};

/// What can happen in a fleet of three replicas. The fault is that of the next write, and the document has
/// no room for the counts at the weight that it `closes`.
#[derive(Clone, Debug)]
enum Happening {
    Calls { replica: usize, calls: u64 },
    Publication { replica: usize, closes: Option<u32>, fault: Fault },
    Leave { replica: usize, fault: Fault },
    Look { replica: usize, minutes: u64 },
    GiveUp { replica: usize },
    Swap { replica: usize, closes: Option<u32>, fault: Fault },
    Replacement { replica: usize },
    Restart { replica: usize },
    Loss { entry: usize },
    Backup { entry: usize },
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    RequestLost,
    ResponseLost,
}

/// The stored evidence: the observed calls stand for the state of the judge.
#[derive(Clone, Debug, Default)]
struct Evidence {
    revision: u64,
    judged: JudgedCounts,
    roster: Roster,
    observed: FleetCounts,
}

#[derive(Clone, Debug)]
struct Node {
    id: u64,
    beat: u64,
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

type Entry = (BoardSign, FleetCounts);

#[derive(Default)]
struct Store {
    board: BTreeMap<u64, Entry>,
    backups: BTreeMap<u64, Entry>,
    evidence: Evidence,
    /// Whether the store has lost an entry.
    has_lost: bool,
}

impl Node {
    fn new(id: u64, store: &Store) -> Self {
        let mut node = Self {
            id,
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
        self.evidence = store.evidence.clone();
        self.stored = store.evidence.roster.clone();
        (self.is_judged, self.is_driving) = (false, false);
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
            let before = self.board.insert(node.id, (sign, counts));
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
        if !self.publish(node, false, None, Fault::None) {
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
            self.evidence = Evidence { revision, ..node.evidence.clone() };
            self.evidence.judged.close(&weights(closes));
            if matches!(fault, Fault::None) {
                node.evidence.revision = revision;
                node.evidence.judged.close(&weights(closes));
                node.stored = node.evidence.roster.clone();
            }
        }
    }

    fn list(&mut self, node: &Node) -> BoardList {
        self.board.retain(|_, (sign, _)| !node.stored.has_folded(sign));
        let mut list = BoardList::default();
        for (sign, counts) in self.board.values() {
            list.push(sign.clone(), counts.clone());
        }
        list
    }

    fn look(&mut self, node: &mut Node, minutes: u64, gives_up: bool) {
        let list = self.list(node);
        node.own = node.served.clone();
        node.is_driving = true;
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
                list.give_up(own, judged, roster);
                node.is_judged = true;
            }
            // A driver that was replaced does not know which entries its successor has removed.
            Err(missing) => {
                let is_replaced = node.evidence.revision != self.evidence.revision;
                assert!(self.has_lost || is_replaced, "{missing}");
            }
        }
    }
}

/// A set of at most one weight.
fn weights(ppm: Option<u32>) -> ClosedWeights {
    ppm.map(Weight::from_ppm).into_iter().collect()
}

fn happenings(with_losses: bool) -> impl Strategy<Value = Vec<Happening>> {
    let fault = || {
        prop_oneof![
            4 => Just(Fault::None),
            1 => Just(Fault::RequestLost),
            1 => Just(Fault::ResponseLost),
        ]
    };
    let replica = || 0..3_usize;
    // The weights of the first replicas.
    let closes = || prop::option::weighted(0.1, 1..6_u32);
    let losses = u32::from(with_losses);
    let happening = prop_oneof![
        6 => (replica(), 1..9_u64)
            .prop_map(|(replica, calls)| Happening::Calls { replica, calls }),
        3 => (replica(), closes(), fault()).prop_map(|(replica, closes, fault)| {
            Happening::Publication { replica, closes, fault }
        }),
        5 => (replica(), 0..3_u64)
            .prop_map(|(replica, minutes)| Happening::Look { replica, minutes }),
        4 => (replica(), closes(), fault())
            .prop_map(|(replica, closes, fault)| Happening::Swap { replica, closes, fault }),
        2 => replica().prop_map(|replica| Happening::Replacement { replica }),
        1 => replica().prop_map(|replica| Happening::Restart { replica }),
        1 => (replica(), fault())
            .prop_map(|(replica, fault)| Happening::Leave { replica, fault }),
        losses => (0..5_usize).prop_map(|entry| Happening::Loss { entry }),
        losses => (0..5_usize).prop_map(|entry| Happening::Backup { entry }),
        2 * losses => replica().prop_map(|replica| Happening::GiveUp { replica }),
    ];
    prop::collection::vec(happening, 1..150)
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
        }
        let Evidence { observed, roster, judged: sum, .. } = &store.evidence;
        for node in nodes.iter().chain(&gone) {
            let judged = at(observed, node.weight());
            prop_assert!(judged <= at(&node.served, node.weight()), "{} is judged twice", node.id);
        }
        for node in &nodes {
            let judged = at(observed, node.weight());
            // The guard of the replica adds the calls that are missing here.
            let known = roster.judged_beat(&id(node.id)).unwrap_or(0);
            let known = at(&node.published[&known], node.weight());
            let is_known =
                known == judged || sum.closed().contains(Weight::from_ppm(node.weight()));
            prop_assert!(store.has_lost || is_known, "{} of {}", known, judged);
        }
    }
    nodes.extend(gone);
    Ok((store, nodes))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Guarantee E1.
    #[test]
    fn each_published_call_is_judged_once_under_takeovers_restarts_and_lost_responses(
        happenings in happenings(false)
    ) {
        let (mut store, mut nodes) = run(happenings)?;
        for node in &mut nodes[..3] {
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
        for (replica, (_, counts)) in &store.board {
            let weight = u32::try_from(*replica).unwrap() + 1;
            let is_judged = at(observed, weight) == at(counts, weight);
            prop_assert!(is_judged || !is_open(weight), "{}", replica);
        }
    }

    /// Guarantee E1, if the store loses entries, or goes back to earlier ones.
    #[test]
    fn no_call_is_judged_twice_whatever_the_store_loses(happenings in happenings(true)) {
        let (mut store, mut nodes) = run(happenings)?;
        // Two more rounds: the entries that are lost are given up, and later calls are judged.
        for node in &mut nodes[..3] {
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
