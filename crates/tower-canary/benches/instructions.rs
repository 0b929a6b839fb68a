//! The instructions of a call, counted by callgrind. The counts do not depend on the load of the
//! machine. The benchmark fails if a case takes over 5% more than its entry in `instructions.txt`.
//!
//! The features `tokio` and `tracing` are part of the counts, as in most servers. Nothing listens.
//!
//! It needs Valgrind (Debian package `valgrind`) and Gungraun's runner in the version of
//! `Cargo.lock`. `.ci/run instructions` installs both, the runner in `target/tools/bin`.
//!
//! ```sh
//! export PATH=$PWD/target/tools/bin:$PATH
//! cargo bench -p tower-canary --features metrics,tokio,tracing --bench instructions  # compare
//! crates/tower-canary/benches/save-instructions                        # write instructions.txt
//! ```
//!
//! The output shows the instructions of a thousand calls. To list them by function for one case:
//!
//! ```sh
//! callgrind_annotate --show=Ir \
//!     target/gungraun/tower-canary/instructions/calls/case.stable/callgrind.case.stable.out
//! ```
//!
//! `instructions.txt` is valid for x86-64 with the processor's counter as the kernel's clock. With
//! another clock, a call takes about 150 instructions more, and `.ci/run` does not measure it.
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
            // The benchmark drops the returned value outside the measurement.
            serve
        }

        const _: () = assert!([$($name),+].len() == CASES.len(), "each case needs a benchmark");
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

/// Returns the limit for the calls of a case. It is zero if `instructions.txt` has no such case.
fn limit(name: &str) -> LibraryBenchmarkConfig {
    let saved = include_str!("instructions.txt")
        .lines()
        .map(|line| line.rsplit_once(": ").unwrap())
        .find_map(|(case, count)| (case == name).then(|| count.parse::<u64>().unwrap()))
        .unwrap_or(0);
    let limit = saved * u64::from(CALLS) * (100 + TOLERANCE) / 100;
    // Simulated caches slow calls down so much that they leave the first latency bucket, which takes
    // fewer instructions to find than the others.
    let mut callgrind = Callgrind::with_args(["--cache-sim=no"]);
    callgrind.hard_limits([(EventKind::Ir, limit)]);
    LibraryBenchmarkConfig::default().tool(callgrind).clone()
}

/// `save-instructions` parses this line.
const CALLS: u32 = 1000;
/// In percent. Compiler versions differ by less.
const TOLERANCE: u64 = 5;
