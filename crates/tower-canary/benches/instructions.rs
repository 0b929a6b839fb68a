//! How many instructions a call takes, as callgrind counts them: the same on a busy machine as on an idle
//! one. Fails if a case takes more than 5 % more than `instructions.txt` has it.
//!
//! It needs Valgrind, Debian's package `valgrind`, and Gungraun's runner, in the version that `Cargo.lock`
//! has; `.ci/run instructions` sees to both, and puts the runner into `target/tools/bin`.
//!
//! ```sh
//! export PATH=$PWD/target/tools/bin:$PATH
//! cargo bench -p tower-canary --features metrics --bench instructions  # compare
//! crates/tower-canary/benches/save-instructions                        # write instructions.txt
//! ```
//!
//! What is shown are the instructions of a thousand calls. Where those of a case go, function by function:
//!
//! ```sh
//! callgrind_annotate --show=Ir \
//!     target/gungraun/tower-canary/instructions/calls/case.stable/callgrind.case.stable.out
//! ```
//!
//! `instructions.txt` is of x86-64, where the kernel's clock is the processor's counter: with another clock
//! a call takes some 150 more, and is not measured by `.ci/run`.
#![allow(clippy::unwrap_used, missing_docs)]

use gungraun::{Callgrind, EventKind, LibraryBenchmarkConfig, main, prelude::*};

mod cases;

use cases::{CASES, Serve};

main!(setup = cases::check(), library_benchmark_groups = calls);

library_benchmark_group!(name = calls, benchmarks = case);

macro_rules! one_for_each_case {
    ($($id:ident: $name:literal,)+) => {
        #[library_benchmark]
        $(#[bench::$id(args = (warm($name)), config = limit($name))])+
        fn case(mut serve: Serve) -> Serve {
            serve(CALLS);
            // Dropped where nothing is counted.
            serve
        }

        const _: () = assert!([$($name),+].len() == CASES.len(), "a case has no bench");
    };
}

one_for_each_case! {
    bare: "bare",
    steer: "tower::steer, at random",
    router: "tower-resilience-router",
    zero: "canary at 0 %",
    stable: "stable's call",
    canary: "canary's call",
    bare_user: "bare, user in a header",
    sticky: "sticky by header",
    no_tags: "no tags",
    default_tags: "default tags",
    bypassed: "bypassed",
    bare_body: "bare, body",
    stable_body: "stable's call, body",
    canary_body: "canary's call, body",
}

/// Makes a case ready. Thread-locals and counters are made by the first call, which is not counted.
fn warm(name: &str) -> Serve {
    let case = CASES.iter().find(|case| case.name == name);
    let mut serve = (case.unwrap_or_else(|| panic!("there is no case {name:?}")).prepare)();
    serve(1);
    serve
}

/// What the calls of a case may take: nothing, as long as `instructions.txt` has no such case.
fn limit(name: &str) -> LibraryBenchmarkConfig {
    let saved = include_str!("instructions.txt")
        .lines()
        .map(|line| line.rsplit_once(": ").unwrap())
        .find_map(|(case, count)| (case == name).then(|| count.parse::<u64>().unwrap()))
        .unwrap_or(0);
    let limit = saved * u64::from(CALLS) * (100 + TOLERANCE) / 100;
    // Slowed down by simulated caches, calls would leave the first bucket of latencies, which takes
    // fewer instructions to find than others.
    let mut callgrind = Callgrind::with_args(["--cache-sim=no"]);
    callgrind.hard_limits([(EventKind::Ir, limit)]);
    LibraryBenchmarkConfig::default().tool(callgrind).clone()
}

/// `save-instructions` reads it here.
const CALLS: u32 = 1000;
/// Percent. Versions of the compiler differ by less.
const TOLERANCE: u64 = 5;
