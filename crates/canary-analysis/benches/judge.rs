//! The cost of an observation and of a verdict.
//!
//! `cargo bench -p canary-analysis` fails if adding counts takes a microsecond or more.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use canary_analysis::{
    AdverseCounts, Judge, Levels, Monitor, Observation, SlowLimit, Until,
    statistics::{Evidence, SampleRatioTest},
};
use canary_core::{Channel, Counts, EpochCounts, LatencyBucket, PerChannel, Snapshot, Weight};

fn main() {
    let margins = Monitor::failures().margins();
    let counts = AdverseCounts::try_new(
        Weight::from_percent(10),
        PerChannel { stable: 900, canary: 100 },
        PerChannel { stable: 9, canary: 1 },
    )
    .expect("fewer adverse events than calls");

    let mut evidence = Evidence::new(margins);
    for percent in [1, 5, 25, 50] {
        let weight = Weight::from_percent(percent);
        let counts =
            AdverseCounts::try_new(weight, counts.calls(), counts.adverse()).expect("as above");
        evidence.observe(&counts);
    }
    let feed = report("add counts to the evidence", || evidence.observe(black_box(&counts)));
    let judged = report("add counts and read the evidence, 5 weights", || {
        evidence.observe(black_box(&counts));
        black_box(evidence.log_e_worse().max(evidence.log_e_good()));
    });
    report("calculate the interval", || {
        black_box(evidence.ratio_interval(0.01));
    });
    let mut ramp = Evidence::new(margins);
    let of_ramp = |evidence: &mut Evidence, ppm: u32| {
        let counts =
            AdverseCounts::try_new(Weight::from_ppm(ppm), counts.calls(), counts.adverse());
        evidence.observe(&counts.expect("as above"));
    };
    (1..=1_000).for_each(|thousandth| of_ramp(&mut ramp, thousandth * 999));
    let mut thousandth = 0;
    let ramped = report("add counts at one of 1,000 weights", || {
        thousandth = thousandth % 1_000 + 1;
        of_ramp(&mut ramp, thousandth * 999);
    });
    let weighed = report("read the evidence of 1,000 weights", || {
        black_box(ramp.log_e_worse().max(ramp.log_e_good()));
    });
    let mut share = SampleRatioTest::new();
    report("add counts to the sample ratio test", || {
        share.observe(counts.weight(), black_box(counts.calls()))
    });

    let observation = observation();
    let limit = SlowLimit::stable_quantile(0.99).expect("0.99 is a quantile");
    let monitors = [Monitor::failures(), Monitor::slow(Until::Head, limit), Monitor::share()];
    let mut judge = Judge::try_new(Levels::default(), monitors).expect("two monitors decide");
    let of_judge =
        report("observe with a judge of 3 monitors", || judge.observe(black_box(&observation)));
    report("read its verdict", || {
        black_box(judge.verdict());
    });
    report("read its judgment", || {
        black_box(judge.judgment());
    });
    let weight = Weight::from_percent(10);
    let judge = Judge::try_new(Levels::default(), [Monitor::failures()]).expect("it decides");
    // The counts stay empty, so the guard reads them with every third call and never trips.
    let guard = judge.guard(Snapshot::default(), Snapshot::default).expect("failures decide");
    report("a failed call at the guard", || drop(guard.canary_failed(black_box(weight))));
    assert!(!guard.is_tripped(), "no counted call has failed");
    let mut judge = judge;
    for thousandth in 1..=1_000 {
        let mut counts = Counts::default();
        for (channel, calls) in [(Channel::Stable, 90_000), (Channel::Canary, 10_000)] {
            let counts = &mut counts.evidence[channel];
            (counts.picked, counts.success, counts.failure) = (calls, calls - 1, 1);
        }
        let epoch = EpochCounts::new(1, Weight::from_ppm(thousandth * 999), counts);
        judge.observe(&Observation::of(Snapshot::new(Counts::default(), vec![epoch])));
    }
    let guard = judge.guard(Snapshot::default(), Snapshot::default).expect("failures decide");
    let failed = report("a failed call at the guard, 1,000 weights", || {
        drop(guard.canary_failed(black_box(weight)));
    });
    assert!(!guard.is_tripped(), "almost no counted call has failed");
    assert!(feed < LIMIT && judged < LIMIT, "adding counts took {feed:?}, {judged:?} with reading");
    assert!(ramped < LIMIT, "adding counts took {ramped:?}");
    assert!(of_judge < 3 * LIMIT, "an observation of three monitors took {of_judge:?}");
    assert!(failed < LIMIT, "a failed call took {failed:?}");
    assert!(weighed < 100 * LIMIT, "reading evidence of 1,000 weights took {weighed:?}");
}

const LIMIT: Duration = Duration::from_micros(1);

/// Returns the fastest of ten rounds: disturbances only make a round slower.
fn report(name: &str, mut work: impl FnMut()) -> Duration {
    let rounds = (0..10).map(|_| {
        let start = Instant::now();
        (0..20_000).for_each(|_| work());
        start.elapsed() / 20_000
    });
    let fastest = rounds.min().unwrap_or_default();
    println!("{name:45} {:>7} ns", fastest.as_nanos());
    fastest
}

fn observation() -> Observation {
    let mut counts = Counts::default();
    for (channel, calls) in [(Channel::Stable, 900), (Channel::Canary, 100)] {
        let counts = &mut counts.evidence[channel];
        (counts.picked, counts.success, counts.failure) = (calls, calls - 1, 1);
        for (bucket, calls) in LatencyBucket::all().skip(20).zip([10, 40, 30, 15, 4, 1]) {
            counts.head.add(bucket, calls);
        }
    }
    let epoch = EpochCounts::new(1, Weight::from_percent(10), counts);
    Observation::of(Snapshot::new(Counts::default(), vec![epoch]))
}
