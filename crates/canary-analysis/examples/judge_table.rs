//! Prints how often the judge and its rivals roll back a good canary, and how late a bad one.
//!
//! `cargo run --release -p canary-analysis --features sim --example judge_table [rollouts]`

use canary_analysis::sim;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runs = std::env::args().nth(1).map_or(Ok(1_000), |runs| runs.parse())?;
    println!("{}", sim::table(runs));
    println!("{}", sim::false_rollbacks(runs));
    println!("{}", sim::late_faults(runs));
    Ok(())
}
