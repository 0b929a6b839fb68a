//! Entries that are late, that the store loses, and that are no longer needed.

use std::{collections::BTreeMap, time::Duration};

use canary_rollout::{
    fleet::{
        BoardList, BoardSign, FleetCounts, JudgedCounts, Look, MissingCounts, OwnPart, Roster,
    },
    replica::{BEAT, ReplicaId},
};

use crate::{at, calls, id};

/// A driver that serves no calls itself, and the latest entry of each other replica.
#[derive(Default)]
struct Driver {
    judged: JudgedCounts,
    roster: Roster,
    entries: BTreeMap<u64, (BoardSign, FleetCounts)>,
    observed: FleetCounts,
}

impl Driver {
    fn me() -> ReplicaId {
        id(0)
    }

    /// All calls of the replicas are at one weight, so that a sum alone hides what is missing.
    fn publish(&mut self, replica: u64, beat: u64, served: u64) -> &mut BoardSign {
        let entry = self.entries.entry(replica);
        let entry = entry.or_insert_with(|| (BoardSign::new(id(replica), beat), calls(1, served)));
        *entry = (BoardSign::new(id(replica), beat), calls(1, served));
        &mut entry.0
    }

    fn list(&mut self, passed: Duration) -> BoardList {
        let mut list = BoardList::default();
        // The driver removes the entries whose counts its stored roster has.
        self.entries.retain(|_, (sign, _)| !self.roster.has_folded(sign));
        for (sign, counts) in self.entries.values() {
            list.push(sign.clone(), counts.clone());
        }
        self.roster.observe(passed, list.signs());
        list
    }

    fn look(&mut self, passed: Duration) -> Result<Look, MissingCounts> {
        let list = self.list(passed);
        let nothing = FleetCounts::default();
        let own = OwnPart { replica: &Self::me(), counts: &nothing, step: 9 };
        let look = list.look(own, &mut self.judged, &mut self.roster)?;
        self.observed.merge(&look.counts);
        Ok(look)
    }

    fn give_up(&mut self) {
        let list = self.list(BEAT);
        let nothing = FleetCounts::default();
        let own = OwnPart { replica: &Self::me(), counts: &nothing, step: 9 };
        list.give_up(own, &mut self.judged, &mut self.roster);
    }

    /// The evidence of the judge before was lost, and with it that it had observed these calls.
    fn begin(&mut self) {
        self.roster.begin();
        (self.judged, self.observed) = Default::default();
    }

    fn observed(&self) -> u64 {
        at(&self.observed, 1)
    }
}

#[test]
fn a_lost_entry_is_noticed_although_the_sum_grows_and_its_calls_count_once() {
    let mut driver = Driver::default();
    driver.publish(1, 1, 60);
    driver.publish(2, 1, 40);
    driver.look(BEAT).unwrap();
    let lost = driver.entries.remove(&1).unwrap();
    driver.publish(2, 2, 1_000);
    let missing = driver.look(BEAT).unwrap_err().to_string();
    assert_eq!(missing, "the entry of replica 0000000000000001 is missing");
    driver.entries.insert(1, lost);
    driver.look(BEAT).unwrap();
    assert_eq!(driver.observed(), 1_060);
}

#[test]
fn an_entry_of_an_earlier_time_is_a_lost_one() {
    let mut driver = Driver::default();
    driver.publish(1, 7, 60);
    driver.look(BEAT).unwrap();
    driver.publish(1, 3, 20);
    driver.publish(2, 1, 1_000);
    assert!(driver.look(BEAT).is_err());
    driver.give_up();
    driver.publish(2, 2, 1_001);
    driver.look(BEAT).unwrap();
    assert_eq!(driver.observed(), 61);
    // What the replica has served until its return is not judged, because a part of it was.
    driver.publish(1, 8, 90);
    driver.look(BEAT).unwrap();
    driver.publish(1, 9, 91);
    driver.look(BEAT).unwrap();
    assert_eq!(driver.observed(), 62);
}

#[test]
fn a_returning_entry_is_not_judged_twice_also_by_another_driver() {
    let mut driver = Driver::default();
    driver.publish(1, 1, 60);
    driver.publish(2, 1, 40);
    driver.look(BEAT).unwrap();
    driver.entries.remove(&1);
    assert!(driver.look(BEAT).is_err());
    driver.give_up();
    driver.roster = serde_json::from_str(&serde_json::to_string(&driver.roster).unwrap()).unwrap();
    driver.publish(2, 2, 45);
    driver.look(BEAT).unwrap();
    driver.publish(1, 2, 70);
    driver.look(BEAT).unwrap();
    driver.publish(1, 3, 80);
    driver.look(BEAT).unwrap();
    assert_eq!(driver.observed(), 100 + 5 + 10);
}

#[test]
fn a_replica_whose_entry_was_lost_does_not_judge_its_calls_again_when_it_drives() {
    let mut driver = Driver::default();
    driver.publish(1, 1, 60);
    driver.look(BEAT).unwrap();
    driver.entries.remove(&1);
    driver.give_up();
    for (served, judged) in [(70, 0), (75, 5)] {
        let list = driver.list(BEAT);
        let own = OwnPart { replica: &id(1), counts: &calls(1, served), step: 9 };
        let look = list.look(own, &mut driver.judged, &mut driver.roster).unwrap();
        assert_eq!(at(&look.counts, 1), judged);
    }
}

#[test]
fn a_look_belongs_to_the_earliest_step_of_its_calls() {
    let mut driver = Driver::default();
    driver.publish(1, 1, 10).step = 2;
    driver.publish(2, 1, 10).step = 2;
    // The replicas have begun to count in the first step.
    assert_eq!(driver.look(BEAT).unwrap().step, 1);
    driver.publish(1, 2, 20).step = 3;
    assert_eq!(driver.look(BEAT).unwrap().step, 2, "a part of the calls may be of step 2");
    driver.publish(1, 3, 30).step = 3;
    assert_eq!(driver.look(BEAT).unwrap().step, 3, "the second replica has published nothing");
    driver.publish(2, 2, 90).step = 3;
    assert_eq!(driver.look(BEAT).unwrap().step, 2);
    let sign = driver.publish(3, 1, 5);
    (sign.first_step, sign.step) = (3, 3);
    assert_eq!(driver.look(BEAT).unwrap().step, 3);
    assert_eq!(driver.look(BEAT).unwrap().step, 9, "that of the driver itself");
}

/// The sizes are in the docs of `canary_rollout::fleet`.
#[test]
fn the_board_and_the_roster_do_not_grow_with_each_replica_that_has_started() {
    for leaves in [true, false] {
        let mut driver = Driver::default();
        let (mut most, mut calls) = (0, 0);
        for replica in 1..=2_000 {
            if replica == 1_000 {
                driver.begin();
                calls = 10 * u64::try_from(driver.entries.len()).unwrap();
            }
            driver.publish(replica, 1, 10).has_left = leaves;
            calls += 10;
            driver.look(Duration::from_secs(30)).unwrap();
            most = most.max(driver.entries.len());
        }
        let stored = serde_json::to_string(&driver.roster).unwrap();
        println!("at most {most} entries, the roster has {} bytes", stored.len());
        assert_eq!(driver.observed(), calls);
        // A quarter of an hour has 30 starts.
        assert!(most <= if leaves { 4 } else { Roster::MAX_FORGOTTEN + 32 }, "{most} entries");
        let replicas = stored.matches("\":{").count();
        let limit = if leaves { 32 } else { Roster::MAX_FORGOTTEN + Roster::MAX_REMEMBERED + 32 };
        assert!(replicas <= limit, "{replicas} replicas");
        // Entries that are gone are not missed.
        driver.publish(9_999, 1, 5);
        driver.look(BEAT).unwrap();
        assert_eq!(driver.observed(), calls + 5);
        if !leaves {
            // A replica without an entry is back. What the judge has observed counts once.
            driver.publish(1_500, 2, 30);
            driver.look(BEAT).unwrap();
            driver.publish(1_500, 3, 37);
            driver.look(BEAT).unwrap();
            assert_eq!(driver.observed(), calls + 12);
        }
    }
}

#[test]
fn the_entry_of_a_replica_that_has_left_stays_until_its_last_requests_are_over() {
    let mut driver = Driver::default();
    driver.publish(1, 4, 10).has_left = true;
    for _ in 0..30 {
        driver.look(BEAT).unwrap();
        assert_eq!(driver.entries.len(), 1);
    }
    driver.look(BEAT).unwrap();
    driver.look(BEAT).unwrap();
    assert_eq!(driver.entries.len(), 0);
    // A late request creates it again.
    driver.publish(1, 1, 3);
    driver.look(BEAT).unwrap();
    assert_eq!((driver.observed(), driver.entries.len()), (10, 0));
}

#[test]
fn a_judge_that_begins_again_observes_the_entries_of_replicas_that_have_left() {
    let mut driver = Driver::default();
    let sign = driver.publish(1, 4, 10);
    sign.has_left = true;
    let sign = sign.clone();
    while !driver.roster.has_folded(&sign) {
        driver.look(BEAT).unwrap();
    }
    driver.begin();
    driver.look(BEAT).unwrap();
    assert_eq!((driver.observed(), driver.entries.len()), (10, 1));
}

/// The judge also looks before the first list of its driver.
#[test]
fn a_judge_that_begins_again_still_knows_who_is_silent() {
    let mut driver = Driver::default();
    driver.publish(1, 4, 10);
    driver.look(BEAT).unwrap();
    driver.look(Roster::FORGOTTEN).unwrap();
    driver.begin();
    let (me, nothing) = (Driver::me(), FleetCounts::default());
    let own = OwnPart { replica: &me, counts: &nothing, step: 9 };
    BoardList::EMPTY.look(own, &mut driver.judged, &mut driver.roster).unwrap();
    driver.look(BEAT).unwrap();
    assert_eq!((driver.observed(), driver.roster.fleet().of), (10, 0));
}
