//! Prints how fast the judge of a default plan rolls back a bad canary, how often a good one, how
//! often it takes a healthy verdict back, and what it does with a cold canary.
//!
//! `cargo run --release -p canary-analysis-sim --example plan_table [rollouts]`

use canary_analysis_sim::{cold_starts, speed_of_plan, verdicts_taken_back};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runs = std::env::args().nth(1).map_or(Ok(1_000), |runs| runs.parse())?;
    println!("{}", speed_of_plan(runs));
    println!("{}", verdicts_taken_back(runs));
    println!("{}", cold_starts(runs));
    Ok(())
}
