//! What can happen in a fleet.

use proptest::prelude::*;

/// What can happen in a fleet of three replicas. The fault is that of the next write, and the document has
/// no room for the counts at the weight that it `closes`.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    Calls {
        replica: usize,
        calls: u64,
    },
    Publication {
        replica: usize,
        closes: Option<u32>,
        fault: Fault,
    },
    Leave {
        replica: usize,
        fault: Fault,
    },
    Look {
        replica: usize,
        minutes: u64,
    },
    GiveUp {
        replica: usize,
    },
    Swap {
        replica: usize,
        closes: Option<u32>,
        fault: Fault,
    },
    Replacement {
        replica: usize,
    },
    Restart {
        replica: usize,
    },
    Loss {
        entry: usize,
    },
    Backup {
        entry: usize,
    },
    /// The store loses the rollout, and a replica stores it again, with another lineage.
    Wipe,
    /// The replica learns of the latest lineage.
    Lineage {
        replica: usize,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    None,
    RequestLost,
    ResponseLost,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Losses {
    None,
    OfRollout,
    /// Of entries too.
    All,
}

pub(crate) fn happenings(losses: Losses) -> impl Strategy<Value = Vec<Happening>> {
    let of_rollout = 4 * u32::from(losses != Losses::None);
    let of_entries = 4 * u32::from(losses == Losses::All);
    let happening = prop_oneof![
        24 => usual(),
        of_rollout => losses_of_rollout(),
        of_entries => losses_of_entries(),
    ];
    prop::collection::vec(happening, 1..150)
}

fn usual() -> impl Strategy<Value = Happening> {
    let fault = || {
        prop_oneof![
            4 => Just(Fault::None),
            1 => Just(Fault::RequestLost),
            1 => Just(Fault::ResponseLost),
        ]
    };
    // The weights of the first replicas.
    let closes = || prop::option::weighted(0.1, 1..6_u32);
    prop_oneof![
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
    ]
}

fn losses_of_rollout() -> impl Strategy<Value = Happening> {
    prop_oneof![
        1 => Just(Happening::Wipe),
        3 => replica().prop_map(|replica| Happening::Lineage { replica }),
    ]
}

fn losses_of_entries() -> impl Strategy<Value = Happening> {
    prop_oneof![
        1 => (0..5_usize).prop_map(|entry| Happening::Loss { entry }),
        1 => (0..5_usize).prop_map(|entry| Happening::Backup { entry }),
        2 => replica().prop_map(|replica| Happening::GiveUp { replica }),
    ]
}

fn replica() -> impl Strategy<Value = usize> {
    0..3_usize
}
