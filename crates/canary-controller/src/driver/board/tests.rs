use canary_analysis::Unit;
use canary_core::{Counts, EpochCounts, PerChannel, Snapshot};
use canary_rollout::{
    Plan,
    fleet::{JudgedCounts, OwnPart, UsedCounts},
};
use serde_json::json;

use super::*;
use crate::{driver::random_numbers::Numbers, store::MemoryStore};

fn attempt(number: u64, lineage: &str) -> AttemptId {
    let releases = json!({ "stable": "v1", "canary": "v2" });
    serde_json::from_value(json!({ "of": releases, "attempt": number, "lineage": lineage }))
        .unwrap()
}

fn board(store: &MemoryStore, replica: u64) -> Board {
    let key = StoreKey::try_new("default", &"shop".parse().unwrap()).unwrap();
    let mut board =
        Board::new(Arc::new(store.clone()), key.board(), ReplicaId::from_random(replica));
    board.enter(attempt(1, LINEAGE));
    board
}

impl Board {
    async fn publish_counts(&mut self, counts: FleetCounts, current: Weight) {
        let sign = BoardSign::new(self.me.clone(), self.next_beat());
        self.publish(sign, &counts, None, current).await.unwrap()
    }
}

const LINEAGE: &str = "0123456789abcdef";

/// Counts at this many weights of a plan with many monitors of latencies. A document has no room for
/// them. If they `compress` well, it has, but could not be read.
fn large_counts(weights: u32, compress: bool) -> FleetCounts {
    let classes: Vec<_> = (0..7)
        .map(|class| {
            let slow = "{ slower_than = { limit = '250ms' } }";
            format!("{{ measure = {slow}, class = 'class-{class}' }}")
        })
        .collect();
    let text = format!("steps = [{{ weight = '1%' }}]\nmonitors = [{}]", classes.join(","));
    let used = UsedCounts::of(&Plan::from_toml(&text).unwrap().judge_by(Unit::Calls));
    let (mut numbers, mut sum) = (Numbers(0x5eed), FleetCounts::default());
    for number in 1..=weights {
        let weight = Weight::from_ppm(1_000 * number);
        let mut counts = Counts::default();
        if compress {
            numbers = Numbers(0x5eed);
        }
        for class in 0..7 {
            let of_class = PerChannel::from_fn(|_| numbers.counts(Weight::FULL, 1_000_000));
            counts.classes.insert(format!("class-{class}").parse().unwrap(), of_class);
        }
        let epoch = EpochCounts::new(u64::from(number), weight, counts);
        sum.add(&Snapshot::new(Counts::default(), vec![epoch]), &used);
    }
    sum
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_too_large_closes_finished_weights_for_all_replicas() {
    close_finished_weights(1, large_counts(300, false)).await;
}

/// The driver does not read its own entry.
#[tokio::test(start_paused = true)]
async fn an_entry_of_the_driver_that_is_too_large_closes_finished_weights_for_all_replicas() {
    close_finished_weights(0, large_counts(300, false)).await;
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_could_not_be_read_closes_finished_weights_for_all_replicas() {
    close_finished_weights(1, large_counts(600, true)).await;
}

/// The first one of two replicas drives, and this one publishes.
async fn close_finished_weights(publisher: usize, counts: FleetCounts) {
    let store = MemoryStore::default();
    let mut boards = [1, 2].map(|replica| board(&store, replica));
    let last = counts.weights().last().unwrap();
    boards[publisher].publish_counts(counts.clone(), last).await;
    let driver = &mut boards[0];
    driver.list(None, 1).await.unwrap();
    let me = driver.me.clone();
    let own = OwnPart { replica: &me, counts: &counts, step: 1 };
    let mut judged = JudgedCounts::default();
    let Unjudged { list, roster, .. } = driver.unjudged().unwrap();
    let look = list.look(own, &mut judged, roster).unwrap();
    let (closed, first) = (judged.closed(), Weight::from_ppm(1_000));
    assert!(closed.contains(first) && !closed.contains(last), "{closed:?}");
    assert!(look.counts.weights().all(|weight| !closed.contains(weight)));
    assert!(look.counts.weights().any(|weight| weight == last));
}

#[tokio::test(start_paused = true)]
async fn a_publication_that_never_fits_is_tried_once_per_beat() {
    let store = MemoryStore::default();
    let mut board = board(&store, 1);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(board.is_publication_due());
    let closed = (0..40_000).map(Weight::from_ppm).collect();
    let sign = BoardSign { closed, ..BoardSign::new(board.me.clone(), 1) };
    let nothing = FleetCounts::default();
    let error = board.publish(sign, &nothing, None, Weight::FULL).await.unwrap_err();
    assert!(error.is_permanent(), "{error}");
    assert!(!board.is_publication_due());
}

/// Guarantee E5.
#[tokio::test(start_paused = true)]
async fn a_large_fleet_publishes_evenly_once_its_size_is_known() {
    let store = MemoryStore::default();
    let mut fleet: Vec<_> = (0..200).map(|replica| board(&store, replica)).collect();
    let mut publications = Vec::new();
    for second in 0..90_u64 {
        let mut count = 0_u32;
        for board in &mut fleet {
            if board.is_publication_due() {
                board.publish_counts(FleetCounts::default(), Weight::FULL).await;
                count += 1;
            }
        }
        publications.push(count);
        // The first board drives. It stores its roster every two seconds, and the others follow.
        if fleet[0].is_list_due() {
            fleet[0].list(None, 1).await.unwrap();
        }
        if second % 2 == 0 {
            let (driver, others) = fleet.split_first_mut().unwrap();
            others.iter_mut().for_each(|board| board.follow(driver.roster().clone()));
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    println!("{publications:?}");
    assert_eq!(publications[..3].iter().sum::<u32>(), 200, "the first ones take two seconds");
    let later = &publications[4..];
    // 25 on average, with a standard deviation of at most 5.
    assert!(later.iter().all(|count| *count <= 50), "{publications:?}");
    let mean = f64::from(later.iter().sum::<u32>()) / 86.0;
    assert!((20.0..=25.5).contains(&mean), "{mean}");
}

async fn entries(store: &MemoryStore, board: &Board) -> usize {
    store.list(&board.range).await.unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn entries_of_another_lineage_are_removed_when_they_are_left() {
    let store = MemoryStore::default();
    let [mut earlier, mut old, mut live, mut left] = [1, 2, 3, 4].map(|id| board(&store, id));
    let (first, second) = (attempt(1, LINEAGE), attempt(2, LINEAGE));
    let of_new_document = attempt(1, "fedcba9876543210");
    earlier.enter(first);
    old.enter(second);
    live.enter(of_new_document.clone());
    left.enter(of_new_document);
    for board in [&mut earlier, &mut old, &mut live, &mut left] {
        board.publish_counts(FleetCounts::default(), Weight::FULL).await;
    }
    // This driver does not know yet that the store has lost the document of its rollout.
    old.list(None, 1).await.unwrap();
    assert_eq!(entries(&store, &old).await, 3, "that of the earlier attempt is removed");
    for _ in 0..15 {
        tokio::time::advance(Duration::from_secs(59)).await;
        live.publish_counts(FleetCounts::default(), Weight::FULL).await;
        old.list(None, 1).await.unwrap();
        assert_eq!(entries(&store, &old).await, 3);
    }
    tokio::time::advance(Duration::from_secs(59)).await;
    live.publish_counts(FleetCounts::default(), Weight::FULL).await;
    old.list(None, 1).await.unwrap();
    assert_eq!(entries(&store, &old).await, 2, "that of the replica that is gone is removed");
}

#[tokio::test(start_paused = true)]
async fn a_judge_that_begins_again_removes_no_entry_before_its_evidence_is_stored() {
    let store = MemoryStore::default();
    let [mut driver, mut left] = [1, 2].map(|replica| board(&store, replica));
    let nothing = FleetCounts::default();
    let sign = BoardSign { has_left: true, ..BoardSign::new(left.me.clone(), 1) };
    left.publish(sign.clone(), &nothing, None, Weight::FULL).await.unwrap();
    let mut judged = JudgedCounts::default();
    let mut look = async |driver: &mut Board, stored: Option<&Roster>| {
        driver.list(stored, 1).await.unwrap();
        let me = driver.me.clone();
        let own = OwnPart { replica: &me, counts: &nothing, step: 1 };
        let Unjudged { list, roster, .. } = driver.unjudged().unwrap();
        list.look(own, &mut judged, roster).unwrap();
        entries(&store, driver).await
    };
    while !driver.roster.has_folded(&sign) {
        assert_eq!(look(&mut driver, None).await, 1);
        tokio::time::advance(Duration::from_secs(2)).await;
    }
    let stored = driver.roster.clone();
    driver.follow(stored.clone());
    driver.begin(attempt(1, LINEAGE));
    assert_eq!(look(&mut driver, Some(&stored)).await, 1);
    assert_eq!(driver.roster.judged_beat(&left.me), Some(1));
    while !driver.roster.has_folded(&sign) {
        assert_eq!(look(&mut driver, Some(&stored)).await, 1);
        tokio::time::advance(Duration::from_secs(2)).await;
    }
    let stored = driver.roster.clone();
    driver.note_stored();
    assert_eq!(look(&mut driver, Some(&stored)).await, 0);
}
