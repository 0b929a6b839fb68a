//! Prints how often the judge and three common rules roll back a good canary, and how long they
//! take to roll back a bad one.
//!
//! `cargo run --release -p canary-analysis-sim --example judge_table [rollouts]`

use canary_analysis_sim::{false_rollbacks, late_faults, table};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runs = std::env::args().nth(1).map_or(Ok(1_000), |runs| runs.parse())?;
    println!("{}", table(runs));
    println!("{}", false_rollbacks(runs));
    println!("{}", late_faults(runs));
    Ok(())
}
