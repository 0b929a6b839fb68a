//! The time of a call and of its parts, compared with the previous run.
//!
//! `cargo bench -p tower-canary --features metrics --bench calls [-- NAME]`
//!
//! For the time that a canary adds, `peers` is more precise, because its cases alternate. A metrics
//! recorder is installed. Of two parts with similar names, the second contains the first.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    cell::RefCell,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use metrics_exporter_prometheus::PrometheusBuilder;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tower_canary::Tags;

mod cases;

use cases::CASES;

criterion_main!(benches);

criterion_group! {
    name = benches;
    // The whole run takes a minute and a half.
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    targets = calls, parts
}

fn calls(criterion: &mut Criterion) {
    cases::check();
    let _recorder = PrometheusBuilder::new().install_recorder().unwrap();
    let mut group = criterion.benchmark_group("calls");
    for case in CASES {
        let mut serve = (case.prepare)();
        group.bench_function(case.name, |bencher| {
            bencher.iter_custom(|calls| {
                let start = Instant::now();
                serve(u32::try_from(calls).unwrap());
                start.elapsed()
            });
        });
    }
    group.finish();
}

/// Repeats code of `src` that is not public.
fn parts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parts");

    thread_local! {
        static DRAWS: RefCell<SmallRng> = RefCell::new(SmallRng::from_rng(&mut rand::rng()));
    }
    group.bench_function("draw", |bencher| {
        bencher.iter(|| DRAWS.with_borrow_mut(SmallRng::next_u32));
    });

    group.bench_function("clock, `Instant`", |bencher| {
        bencher.iter(|| black_box(Instant::now()).elapsed());
    });
    let counter = quanta::Clock::new();
    group.bench_function("clock, cycle counter", |bencher| {
        bencher.iter(|| {
            let start = black_box(counter.raw());
            counter.delta_as_nanos(start, counter.raw())
        });
    });

    group.bench_function("headers", |bencher| bencher.iter(|| black_box(response_headers()).len()));
    group.bench_function("headers, tagged", |bencher| {
        bencher.iter(|| {
            let mut headers = response_headers();
            headers.insert(black_box(&TAG), const { HeaderValue::from_static("stable") });
            black_box(headers).len()
        });
    });

    let counters = [const { AtomicU64::new(0) }; 4];
    group.bench_function("four counters", |bencher| {
        bencher.iter(|| {
            for counter in black_box(&counters) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
    });

    let epoch = ArcSwap::new(Arc::new(0_u64));
    group.bench_function("epoch", |bencher| bencher.iter(|| **black_box(&epoch).load()));
    group.bench_function("epoch, kept", |bencher| {
        bencher.iter(|| Arc::clone(&black_box(&epoch).load()));
    });
    group.finish();
}

/// Returns the headers of a response of the bare service.
fn response_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, const { HeaderValue::from_static("text/plain") });
    headers
}

const TAG: HeaderName = Tags::CHANNEL_HEADER;
