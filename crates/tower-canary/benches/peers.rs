//! The time of a call, compared with other splits, on one thread and on two.
//!
//! `cargo bench -p tower-canary --features metrics --bench peers`
//!
//! The cases alternate, so that a slow period of the machine affects all of them. Each turn of a case
//! is compared with the bare service in the same round. A metrics recorder is installed.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use metrics_exporter_prometheus::PrometheusBuilder;
use tower_canary::Weight;

mod cases;

use cases::{CASES, Case, CloneService, Inner, bare_of, header_tag, plain, serve};

fn main() {
    cases::check();
    let _recorder = PrometheusBuilder::new().install_recorder().unwrap();
    one_thread();
    two_threads();
}

fn one_thread() {
    let mut serves: Vec<_> = CASES.iter().map(|case| (case.prepare)()).collect();
    let mut nanos = vec![Vec::new(); CASES.len()];
    for round in 0..=ROUNDS {
        for turn in 0..CASES.len() {
            // The order varies, so that a case does not always follow the same one or itself.
            let turn = if round % 2 == 0 { turn } else { CASES.len() - 1 - turn };
            let turn = (round + turn) % CASES.len();
            let start = Instant::now();
            serves[turn](CALLS);
            // The first round warms up.
            if round > 0 {
                nanos[turn].push(per_call(start.elapsed()));
            }
        }
    }
    let position = |name| CASES.iter().position(|case| case.name == name).unwrap();
    let added = |case: &Case| -> Vec<f64> {
        let (case, bare) = (&nanos[position(case.name)], &nanos[position(bare_of(case))]);
        case.iter().zip(bare).map(|(case, bare)| case - bare).collect()
    };
    println!("{:<26} {:>6} {:>6}   middle half", "ns, one thread", "a call", "added");
    for case in CASES {
        let [low, middle, high] = quartiles(added(case));
        let [_, whole, _] = quartiles(nanos[position(case.name)].clone());
        println!("{:<26} {whole:>6.0} {middle:>6.0}   {low:.0} to {high:.0}", case.name);
    }
    let peer = added(&CASES[position("tower-resilience-router")]);
    for name in ["stable's call", "canary's call", "sticky by header"] {
        let ratios = added(&CASES[position(name)]).iter().zip(&peer).map(|(a, b)| a / b).collect();
        let [low, middle, high] = quartiles(ratios);
        println!(
            "{name}: {middle:.2} times what tower-resilience-router adds ({low:.2} to {high:.2})"
        );
    }
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
