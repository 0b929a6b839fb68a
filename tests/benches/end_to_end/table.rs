//! The output table.

use anyhow::Result;
use canary_tests::bench_rounds::quartiles;

use crate::{
    case::{Case, Round, Subject},
    proxy::Proxy,
};

/// Prints the cases of one protocol. The first one must be the direct server.
pub(crate) fn print(cases: &[Case]) -> Result<()> {
    println!(
        "\n{:<28} {:>8} {:>8} {:>8} {:>11} {:>8}   {:<22} {:<22} CPU / direct",
        "",
        "calls/s",
        "p50 us",
        "p99 us",
        "CPU s/100k",
        "RSS MiB",
        "calls/s / direct",
        "p99 / direct"
    );
    let direct = &cases[0];
    for case in cases {
        let of = |value: fn(&Round) -> f64| median(case, value);
        let to_direct = |value: fn(&Round) -> f64| {
            let [low, middle, high] =
                pairwise(case, direct, |case, direct| value(case) / value(direct));
            format!("{middle:.3} ({low:.2} to {high:.2})")
        };
        println!(
            "{:<28} {:>8.0} {:>8.0} {:>8.0} {:>11.3} {:>8.1}   {:<22} {:<22} {}",
            case.name,
            of(|round| round.calls_per_second),
            of(|round| round.p50_us),
            of(|round| round.p99_us),
            of(|round| round.cpu_seconds),
            case.resident_mib()?,
            to_direct(|round| round.calls_per_second),
            to_direct(|round| round.p99_us),
            to_direct(|round| round.cpu_seconds),
        );
    }
    println!("\nCPU seconds added to direct, per 100,000 calls:");
    for case in &cases[1..] {
        let [low, middle, high] = added(case, direct);
        println!("{:<28} {middle:>8.3} ({low:.3} to {high:.3})", case.name);
    }
    let envoy = cases.iter().find(|case| case.subject == Subject::Proxy(Proxy::Envoy));
    if let Some(envoy) = envoy {
        println!(
            "\nEnvoy's CPU / the canary's CPU, for the whole call, and for the part added to direct:"
        );
        for canary in cases.iter().filter(|case| case.subject == Subject::Layer) {
            let [low, middle, high] =
                pairwise(envoy, canary, |envoy, canary| envoy.cpu_seconds / canary.cpu_seconds);
            let [envoy, added] = [envoy, canary].map(|case| added(case, direct)[1]);
            // A difference within the noise can be negative.
            let added = if added > 0.0 {
                format!("{:.1}", envoy / added)
            } else {
                "the canary's part is within the noise".to_owned()
            };
            println!("{:<28} {middle:>8.2} ({low:.2} to {high:.2}) {added:>10}", canary.name);
        }
    }
    Ok(())
}

fn median(case: &Case, value: fn(&Round) -> f64) -> f64 {
    quartiles(case.rounds.iter().map(value).collect())[1]
}

fn added(case: &Case, direct: &Case) -> [f64; 3] {
    pairwise(case, direct, |case, direct| case.cpu_seconds - direct.cpu_seconds)
}

/// Returns the quartiles of the comparison of two cases round by round.
fn pairwise(one: &Case, other: &Case, compare: impl Fn(&Round, &Round) -> f64) -> [f64; 3] {
    let rounds = one.rounds.iter().zip(&other.rounds);
    quartiles(rounds.map(|(one, other)| compare(one, other)).collect())
}
