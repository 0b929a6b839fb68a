//! The time and the allocations of a call, compared with other splits and with what users would
//! assemble instead, on one thread. The time also on two.
//!
//! `cargo bench -p canary-tests --bench peers`
//!
//! The cases alternate, so that a slow period of the machine affects all of them. Each turn of a case
//! is compared with the bare service in the same round. A metrics recorder is installed. The
//! layer has the features of an application: also `tracing` and `tokio`, to which nothing listens.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tower_canary::Weight;

mod assembled;
#[path = "../../../crates/tower-canary/benches/cases/mod.rs"]
mod cases;

use cases::{Case, CloneService, Inner, bare_of, header_tag, plain, serve};

fn main() {
    cases::check();
    let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS).unwrap();
    let recorder = recorder.install_recorder().unwrap();
    assembled::check();
    one_thread(&recorder);
    two_threads();
}

fn one_thread(recorder: &PrometheusHandle) {
    let cases: Vec<_> = cases::CASES.iter().chain(assembled::CASES).collect();
    let mut serves: Vec<_> = cases.iter().map(|case| (case.prepare)()).collect();
    let mut nanos = vec![Vec::new(); cases.len()];
    for round in 0..=ROUNDS {
        for turn in 0..cases.len() {
            // The order varies, so that a case does not always follow the same one or itself.
            let turn = if round % 2 == 0 { turn } else { cases.len() - 1 - turn };
            let turn = (round + turn) % cases.len();
            let start = Instant::now();
            serves[turn](CALLS);
            // The first round warms up.
            if round > 0 {
                nanos[turn].push(per_call(start.elapsed()));
            }
        }
        // Its histograms keep each value until then.
        recorder.run_upkeep();
    }
    let allocations: Vec<_> = serves.iter_mut().map(allocations).collect();
    let position = |name| cases.iter().position(|case| case.name == name).unwrap();
    let added = |case: &Case| -> Vec<f64> {
        let (case, bare) = (&nanos[position(case.name)], &nanos[position(bare_of(case))]);
        case.iter().zip(bare).map(|(case, bare)| case - bare).collect()
    };
    println!("{:<26} {:>6} {:>6}   {:<14} allocations", "one thread", "ns", "added", "middle half");
    for (case, allocations) in cases.iter().zip(allocations) {
        let [low, middle, high] = quartiles(added(case));
        let [_, whole, _] = quartiles(nanos[position(case.name)].clone());
        let half = format!("{low:.0} to {high:.0}");
        println!("{:<26} {whole:>6.0} {middle:>6.0}   {half:<14} {allocations:.1}", case.name);
    }
    for (name, peer) in COMPARED {
        let (of, by) = (added(cases[position(name)]), added(cases[position(peer)]));
        let [low, middle, high] = quartiles(of.iter().zip(by).map(|(a, b)| a / b).collect());
        println!("{name}: {middle:.2} times what {peer:?} adds ({low:.2} to {high:.2})");
    }
}

/// Returns the allocations of a call. The service has served before.
fn allocations(serve: &mut cases::Serve) -> f64 {
    let measured = allocation_counter::measure(|| serve(CALLS));
    f64::from(u32::try_from(measured.count_total).unwrap()) / f64::from(CALLS)
}

/// Measures how much more two threads serve than one. The gain is less than two, for any service, if
/// the cores are hyper-threads of one physical core or are used by other processes.
fn two_threads() {
    // Both threads write the counts of one canary and draw both channels.
    let canary = header_tag(Weight::from_percent(5), Inner::EMPTY);
    let (mut alone, mut split) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS_OF_THREADS {
        alone.push(gain(&Inner::EMPTY));
        split.push(gain(&canary));
    }
    let ratios = split.iter().zip(&alone).map(|(split, alone)| split / alone).collect();
    println!("\n{:<26} {:>6}   middle half", "served by two to by one", "times");
    for (name, ratios) in [("bare", alone), ("canary at 5 %", split), ("canary to bare", ratios)] {
        let [low, middle, high] = quartiles(ratios);
        println!("{name:<26} {middle:>6.2}   {low:.2} to {high:.2}");
    }
}

fn gain<S: CloneService + Sync + 'static>(service: &S) -> f64 {
    let [one, two] = [1, 2].map(|threads| {
        let start = Barrier::new(threads);
        let run = || {
            let mut serve = serve(service.clone(), plain());
            serve(1);
            start.wait();
            let begun = Instant::now();
            serve(CALLS_OF_A_THREAD);
            begun.elapsed()
        };
        thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
        })
    });
    2.0 * one.as_secs_f64() / two.as_secs_f64()
}

fn per_call(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9 / f64::from(CALLS)
}

fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[values.len() * quarter / 4])
}

const ROUNDS: usize = 2001;
/// About 0.1 ms per turn, which is rarely interrupted by another process.
const CALLS: u32 = 500;
const CALLS_OF_A_THREAD: u32 = 5_000;
const ROUNDS_OF_THREADS: usize = 501;

/// The ratios that are printed.
const COMPARED: [(&str, &str); 7] = [
    ("stable's call", "tower-resilience-router"),
    ("canary's call", "tower-resilience-router"),
    ("sticky by header", "tower-resilience-router"),
    ("stable's call", "router, header"),
    ("stable's call, body", "router, header, body"),
    ("stable's call", "assembled"),
    ("stable's call, body", "assembled, body"),
];

/// Without buckets, the exporter keeps quantiles, which take longer.
const BUCKETS: [f64; 7] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0];
