use std::convert::Infallible;

use canary_core::PerChannel;
use canary_rollout::fleet::ClosedWeights;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use tower::{Layer, Service, service_fn};
use tower_canary::CanaryLayer;

use super::*;
use crate::weight_lock::OnTrip;

#[tokio::test(start_paused = true)]
async fn a_lost_entry_of_a_large_fleet_is_given_up_after_three_beats() {
    for (replicas, seconds) in [(100, 60), (1_000, 120)] {
        let service = service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::new(String::new()))
        });
        let layer = CanaryLayer::new("shop", service);
        let (canary, weight_lock) = (layer.handle(), Arc::default());
        let plan = Plan::from_toml("steps = [{ weight = '10%' }]").unwrap();
        let baseline = Baseline::default();
        let mut judge = AttemptJudge::new(1, &plan, &baseline, None, &canary, &weight_lock);
        let ids: Vec<_> = (0..replicas).map(ReplicaId::from_random).collect();
        let list = |count: usize| {
            let mut list = BoardList::default();
            for id in &ids[1..count] {
                list.push(BoardSign::new(id.clone(), 1), FleetCounts::default());
            }
            list
        };
        let mut roster = Roster::default();
        roster.note_present(&ids[0], 1);
        roster.observe(Duration::ZERO, list(ids.len()).signs());
        let weight = canary.weight();
        judge.look(&list(ids.len()), &[], &mut roster, &ids[0], &canary, weight);
        let lacking = list(ids.len() - 1);
        let mut given_up = None;
        for second in 0..=seconds {
            judge.look(&lacking, &[], &mut roster, &ids[0], &canary, weight);
            if judge.incomplete_since.is_none() {
                given_up = Some(second);
                break;
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(given_up, Some(seconds), "{replicas} replicas");
    }
}

fn half() -> Plan {
    let toml =
        "warm_up = '0s'\nsteps = [{ weight = '50%' }]\nmonitors = [{ measure = 'failures' }]";
    Plan::from_toml(toml).unwrap()
}

/// The judge of a canary that fails all calls, at a weight of 50 %. The function makes some calls.
fn failing_canary() -> (AttemptJudge, CanaryHandle, impl FnMut()) {
    let answer = |status| {
        service_fn(move |_: Request<()>| async move {
            let mut response = Response::new(String::new());
            *response.status_mut() = status;
            Ok::<_, Infallible>(response)
        })
    };
    let layer = CanaryLayer::new("shop", answer(StatusCode::INTERNAL_SERVER_ERROR));
    let mut shop = layer.layer(answer(StatusCode::OK));
    let (canary, weight_lock) = (layer.handle(), Arc::<WeightLock>::default());
    let baseline = Baseline::default();
    let judge = AttemptJudge::new(1, &half(), &baseline, None, &canary, &weight_lock);
    weight_lock.set_on_trip(OnTrip::RollBack, 1);
    canary.set_weight(Weight::from_percent(50)).unwrap();
    let calls = move || {
        for _ in 0..4 {
            drop(shop.call(Request::new(())).now_or_never());
        }
    };
    (judge, canary, calls)
}

#[tokio::test(start_paused = true)]
async fn the_guard_rolls_back_at_a_closed_weight_which_the_judge_does_not_observe() {
    let (mut judge, canary, mut calls) = failing_canary();
    judge.judged.close(&[Weight::from_percent(50)].into_iter().collect());
    let (me, mut roster) = (ReplicaId::from_random(1), Roster::default());
    let weight = canary.weight();
    let mut warnings = Vec::new();
    for _ in 0..25 {
        calls();
        judge.look(&BoardList::default(), &[], &mut roster, &me, &canary, weight);
        warnings.extend(judge.sources(&canary).warning());
        tokio::time::advance(Duration::from_secs(11)).await;
    }
    assert_eq!(judge.judgment().findings[0].calls.canary, 0);
    assert_eq!(canary.weight(), Weight::ZERO);
    assert!(warnings[0].contains("50% are not judged"), "{warnings:?}");
}

/// Guarantee E1: the guard adds the calls after the beat that the roster calls judged.
#[tokio::test(start_paused = true)]
async fn a_publication_after_a_failed_look_has_only_calls_that_the_judge_has_observed() {
    let (mut judge, canary, mut calls) = failing_canary();
    let [me, other] = [1, 2].map(ReplicaId::from_random);
    let (mut roster, mut list) = (Roster::default(), BoardList::default());
    list.push(BoardSign::new(other, 1), FleetCounts::default());
    roster.observe(Duration::ZERO, list.signs());
    let look = |judge: &mut AttemptJudge, list: &BoardList, roster: &mut Roster| {
        judge.look(list, &[], roster, &me, &canary, canary.weight())
    };
    let judged = |judge: &AttemptJudge| judge.judgment().findings[0].calls;
    let counted = |counts: &Snapshot| {
        let evidence = counts.total().evidence;
        PerChannel::from_fn(|channel| evidence[channel].success + evidence[channel].failure)
    };
    // The guard needs nine failures.
    calls();
    assert!(look(&mut judge, &list, &mut roster).is_some());
    let first = judged(&judge);
    calls();
    assert_eq!(look(&mut judge, &BoardList::EMPTY, &mut roster), None, "the entry is lost");

    judge.note_publication(me.clone(), 1);
    roster.note_published(&me, 1, 1);
    assert!(judge.own().is_judged());
    roster.note_judged(&me, 1);
    assert_eq!(counted(&judge.own.published(roster.judged_beat(&me))), first);
    assert!(look(&mut judge, &list, &mut roster).is_some());
    assert_eq!((judged(&judge), first.stable + first.canary), (counted(&canary.counts()), 4));
}

/// The next attempt, or the same one whose evidence was lost, if no entry closes the weight again.
#[tokio::test(start_paused = true)]
async fn a_judge_that_begins_again_observes_closed_weights_once() {
    let (mut judge, canary, mut calls) = failing_canary();
    let (me, mut roster) = (ReplicaId::from_random(1), Roster::default());
    let mut look_at = |list: &BoardList, judge: &mut AttemptJudge| {
        roster.observe(Duration::ZERO, list.signs());
        judge.look(list, &[], &mut roster, &me, &canary, canary.weight());
        judge.judgment().findings[0].calls.canary
    };
    let mut look = |judge: &mut AttemptJudge| look_at(&BoardList::EMPTY, judge);
    let closed: ClosedWeights = [Weight::from_percent(50)].into_iter().collect();
    let counted = || canary.counts().total().evidence.canary.failure;
    let [first, before_next] = [(), ()].map(|()| {
        calls();
        let judged = look(&mut judge);
        judge.judged.close(&closed);
        (judged, counted())
    });
    assert_eq!(first.0, first.1);
    assert_eq!(before_next.0, first.1, "the second calls are lost");

    let (plan, baseline, weight_lock) = (half(), Baseline::default(), Arc::default());
    let own = Some(judge.own().clone());
    let mut again = AttemptJudge::new(1, &plan, &baseline, own, &canary, &weight_lock);
    assert_eq!(look(&mut again), counted());
    let mut next = AttemptJudge::new(2, &plan, &baseline, None, &canary, &weight_lock);
    calls();
    assert_eq!(look(&mut next), counted() - before_next.1);

    let sign = BoardSign { closed, ..BoardSign::new(ReplicaId::from_random(2), 1) };
    let mut list = BoardList::default();
    list.push(sign, FleetCounts::default());
    let own = Some(judge.own().clone());
    let mut of_two = AttemptJudge::new(1, &half(), &baseline, own, &canary, &weight_lock);
    assert_eq!(look_at(&list, &mut of_two), 0, "the entry of the other replica closes the weight");
}
