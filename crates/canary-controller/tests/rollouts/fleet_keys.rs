//! Monitors per key in a fleet: the driver judges the union of the keys of all processes.

use std::collections::BTreeSet;

use canary_controller::store::testing::StoreFault;
use canary_core::{Channel, PerChannel, Rating, Weight};
use canary_rollout::{Command, Phase};
use futures_util::FutureExt;
use http::{HeaderName, Request};
use tower_canary::{
    CanaryOptions, Tags,
    control::ControlExt,
    feedback::FeedbackOptions,
    select::{Sticky, StickyHash},
};

use crate::support::{
    process::{Process, seconds},
    stored::{TestStore, test_store},
};

const PLAN: &str = r#"
warm_up = "0s"
steps = [{ weight = "30%", min_duration = "2h" }]
monitors = [{ measure = "failures" }, { measure = "unanswered" }, { measure = "share" }]
"#;

async fn process(store: &TestStore) -> Process {
    process_with(store, PLAN).await
}

async fn process_with(store: &TestStore, plan: &str) -> Process {
    let options = CanaryOptions::new()
        .select(Sticky::by_header(HeaderName::from_static("x-user-id")))
        .sticky_hash(StickyHash::published())
        .tags(Tags::default().response_extension())
        .feedback(FeedbackOptions::new().unsigned());
    Process::with_options(store, plan, options).await
}

async fn fleet(store: &TestStore, size: usize) -> Vec<Process> {
    fleet_with(store, size, PLAN).await
}

async fn fleet_with(store: &TestStore, size: usize, plan: &str) -> Vec<Process> {
    let mut processes = vec![process_with(store, plan).await];
    processes[0].command(Command::Start).await;
    for _ in 1..size {
        processes.push(process_with(store, plan).await);
    }
    seconds(&processes, 4, 0).await;
    processes
}

/// A call of a user, or one without a key. The channels in `failing` fail it.
async fn call(process: &Process, user: &str, failing: &str) {
    let request = Request::get("/").header("x-fail", failing);
    let request = if user.is_empty() { request } else { request.header("x-user-id", user) };
    process.shop.call(request.body(()).unwrap()).await;
}

fn channel(process: &Process, user: &str) -> Channel {
    let is_canary = Weight::from_percent(30).admits(process.shop.canary.sticky_key(user).bucket());
    if is_canary { Channel::Canary } else { Channel::Stable }
}

/// Guarantee K2.
#[tokio::test(start_paused = true)]
async fn each_user_counts_once_whichever_processes_serve_it() {
    let store = test_store();
    let mut processes = fleet(&store, 3).await;
    let (mut seen, mut adverse) = (PerChannel::<u64>::default(), PerChannel::<u64>::default());
    let mut without_key = 0;
    for round in 0..8_usize {
        for number in 0..40 {
            let user = format!("{round}-{number}");
            let channel = channel(&processes[0], &user);
            let is_failing = number % 8 == 0;
            seen[channel] += 1;
            adverse[channel] += u64::from(is_failing);
            // A failing user first succeeds elsewhere. All of them return in the next round.
            call(&processes[(number + round) % 3], &user, "").await;
            for process in &processes {
                call(process, &user, if is_failing { "stable,canary" } else { "" }).await;
            }
            if let Some(before) = round.checked_sub(1) {
                call(&processes[number % 3], &format!("{before}-{number}"), "").await;
            }
        }
        call(&processes[round % 3], "", "").await;
        without_key += 1;
        if round % 3 == 1 {
            let fault = [StoreFault::Unavailable, StoreFault::ResponseLost][round % 2];
            store.fail_next(fault);
            seconds(&processes, 1, 0).await;
            store.fail_next(fault);
        }
        // Everything is published.
        seconds(&processes, 5, 0).await;
        if round % 2 == 1 {
            // The driver, or another process, stops or dies.
            let leaver = processes.remove(round / 2 % 2);
            if round % 4 == 1 {
                leaver.controller.stop().await;
            } else {
                drop(leaver.controller);
            }
            processes.push(process(&store).await);
            seconds(&processes, 12, 0).await;
        }
    }
    seconds(&processes, 12, 0).await;
    for process in &processes {
        let failures = process.finding("failures");
        assert_eq!((failures.calls, failures.adverse), (seen, adverse));
        assert_eq!(failures.impossible, 0);
        let counted = process.finding("failures without a key").calls;
        assert_eq!(counted.stable + counted.canary, without_key);
        assert_eq!(process.rollout.status().sources.keys, Some(seen.stable + seen.canary));
        assert_eq!(process.rollout.status().rollout.phase(), Phase::Running);
    }
}

#[tokio::test(start_paused = true)]
async fn a_canary_is_rolled_back_for_users_of_all_processes() {
    let store = test_store();
    let processes = fleet(&store, 3).await;
    let mut failing = [0_u64; 3];
    for round in 0..200 {
        for (at, process) in processes.iter().enumerate() {
            for number in 0..5 {
                call(process, &format!("{round}-{at}-{number}"), "").await;
            }
        }
        // The canary fails one user in each round, of one process after another.
        let process = &processes[round % 3];
        let mut users = (0..).map(|number| format!("unlucky-{round}-{number}"));
        let unlucky = users.find(|user| channel(process, user) == Channel::Canary).unwrap();
        call(process, &unlucky, "canary").await;
        failing[round % 3] += 1;
        seconds(&processes, 1, 0).await;
        if processes.iter().all(|it| it.shop.canary.weight() == Weight::ZERO) {
            break;
        }
    }
    seconds(&processes, 4, 0).await;
    let status = processes[0].rollout.status();
    assert_eq!(status.rollout.phase(), Phase::RolledBack, "{}", status.judgment);
    let adverse = processes[0].finding("failures").adverse.canary;
    for failing in failing {
        assert!(failing * 2 <= adverse, "{failing} of {adverse}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_stops_publishes_all_its_keys() {
    let store = test_store();
    let mut processes = fleet(&store, 2).await;
    let leaver = processes.pop().unwrap();
    // More than a publication has otherwise.
    for user in 0..3_500 {
        call(&leaver, &user.to_string(), "").await;
    }
    leaver.controller.stop().await;
    seconds(&processes, 6, 0).await;
    let calls = processes[0].finding("failures").calls;
    assert_eq!(calls.stable + calls.canary, 3_500);
}

#[tokio::test(start_paused = true)]
async fn a_part_of_many_new_users_has_the_share_of_the_weight() {
    let store = test_store();
    let processes = fleet(&store, 2).await;
    for user in 0..3_500 {
        call(&processes[1], &user.to_string(), "").await;
    }
    let mut parts = BTreeSet::new();
    for _ in 0..20 {
        seconds(&processes, 1, 0).await;
        let PerChannel { stable, canary } = processes[0].finding("failures").calls;
        let share = 100 * canary / (stable + canary).max(1);
        assert!(
            stable + canary == 0 || (25..35).contains(&share),
            "{canary} of {stable} + {canary}"
        );
        parts.insert(stable + canary);
    }
    // A publication has at most 1,000 keys.
    assert!(parts.len() > 3 && parts.last() == Some(&3_500), "{parts:?}");
    assert_eq!(processes[0].rollout.status().rollout.phase(), Phase::Running);
}

/// A dependency of both channels hangs.
#[tokio::test(start_paused = true)]
async fn a_part_of_many_users_without_an_answer_has_the_share_of_the_weight() {
    let store = test_store();
    let processes = fleet(&store, 2).await;
    let users = (0..3_500).map(|user: u32| {
        let request = Request::get("/").header("x-user-id", user.to_string()).header("x-hang", "");
        let mut call = Box::pin(processes[1].shop.call(request.body(()).unwrap()));
        assert!(call.as_mut().now_or_never().is_none());
        call
    });
    let open: Vec<_> = users.collect();
    let mut parts = BTreeSet::new();
    for _ in 0..40 {
        seconds(&processes, 1, 0).await;
        let PerChannel { stable, canary } = processes[0].finding("unanswered").adverse;
        let share = 100 * canary / (stable + canary).max(1);
        let is_of_both = stable + canary == 0 || (25..35).contains(&share);
        assert!(is_of_both, "{canary} of {stable} + {canary}");
        parts.insert(stable + canary);
    }
    drop(open);
    assert!(parts.len() > 3 && parts.last() == Some(&3_500), "{parts:?}");
    assert_eq!(processes[0].rollout.status().rollout.phase(), Phase::Running);
}

/// The users of one channel give their feedback first.
#[tokio::test(start_paused = true)]
async fn a_part_of_many_users_who_rate_has_the_share_of_the_weight() {
    let store = test_store();
    let plan = PLAN.replace("failures", "feedback");
    let processes = fleet_with(&store, 2, &plan).await;
    let mut assignments = Vec::new();
    for user in 0..3_500 {
        assignments.push(processes[1].shop.assignment(&user.to_string()).await);
    }
    // The calls are published before the ratings.
    seconds(&processes, 20, 0).await;
    assignments.sort_by_key(|assignment| assignment.channel() == Channel::Canary);
    assignments.iter().for_each(|assignment| assignment.rate(Rating::Good));
    let mut parts = BTreeSet::new();
    for _ in 0..20 {
        seconds(&processes, 1, 0).await;
        let PerChannel { stable, canary } = processes[0].finding("feedback").calls;
        let share = 100 * canary / (stable + canary).max(1);
        let is_of_both = stable + canary == 0 || (25..35).contains(&share);
        assert!(is_of_both, "{canary} of {stable} + {canary}");
        parts.insert(stable + canary);
    }
    assert!(parts.len() > 3 && parts.last() == Some(&3_500), "{parts:?}");
}

/// The roster of the evidence does not have the driver yet.
#[tokio::test(start_paused = true)]
async fn a_call_without_a_key_counts_once_while_the_board_is_away() {
    let store = test_store();
    let process = process(&store).await;
    store.only_keys_with("board");
    store.fail_all(StoreFault::Unavailable);
    process.command(Command::Start).await;
    call(&process, "", "").await;
    let counted = || {
        let calls = process.finding("failures without a key").calls;
        calls.stable + calls.canary
    };
    for away in [true, false] {
        for _ in 0..6 {
            seconds(&[&process], 1, 0).await;
            assert!(counted() <= 1, "{} of one call, away: {away}", counted());
        }
        store.recover();
    }
    assert_eq!(counted(), 1);
}

/// The processes draw a sample each, and the fleet uses that of the driver.
#[tokio::test(start_paused = true)]
async fn users_of_processes_that_began_before_the_rollout_count_once() {
    let store = test_store();
    let mut processes = Vec::new();
    for _ in 0..3 {
        processes.push(process(&store).await);
    }
    processes[0].command(Command::Start).await;
    let mut weight = processes[1].shop.canary.weight();
    while weight == Weight::ZERO {
        tokio::task::yield_now().await;
        weight = processes[1].shop.canary.weight();
    }
    for user in 0..100 {
        for process in &processes {
            call(process, &user.to_string(), "").await;
        }
    }
    seconds(&processes, 8, 0).await;
    for process in &processes {
        let calls = process.finding("failures").calls;
        assert_eq!(calls.stable + calls.canary, 100);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sample_that_is_halved_by_one_process_is_halved_for_all() {
    let store = test_store();
    let processes = fleet(&store, 3).await;
    // More than a process records.
    for user in 0..6_000 {
        call(&processes[1], &user.to_string(), "").await;
    }
    seconds(&processes, 20, 0).await;
    for user in 0..6_000 {
        call(&processes[2], &user.to_string(), "").await;
    }
    seconds(&processes, 20, 0).await;
    let counted = |process: &Process| {
        let finding = process.finding("failures");
        assert_eq!((finding.impossible, finding.refused_keys), (0, 0));
        finding.calls.stable + finding.calls.canary
    };
    for process in &processes {
        let keys = process.rollout.status().sources.keys.unwrap();
        assert!((5_700..6_300).contains(&keys), "{keys} keys");
        assert!((2_800..=6_000).contains(&counted(process)), "{}", counted(process));
    }
    let before = counted(&processes[0]);
    for user in 6_000..7_000 {
        for process in &processes {
            call(process, &user.to_string(), "").await;
        }
    }
    seconds(&processes, 8, 0).await;
    for process in &processes {
        let more = counted(process) - before;
        assert!((430..570).contains(&more), "{more} of a half of 1,000");
    }
}
