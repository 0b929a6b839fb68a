//! Prints the verdicts of a default plan in many kinds of traffic, with the target of each, and
//! draws the pictures of the guide.
//!
//! `cargo run --release -p canary-analysis-sim --example verdicts [rollouts] [part]`
//!
//! A part is one of `equal`, `own-outages`, `shared-outages`, `speed`, `healthy`, `cold`,
//! `hangs` and `limits`. Without one, all are printed and the pictures are drawn.

use std::{fs, path::Path};

use canary_analysis_sim::{Verdicts, pictures};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let runs = arguments.next().map_or(Ok(300), |runs| runs.parse())?;
    let wanted = arguments.next();
    let is_wanted = |part: &Verdicts| wanted.as_ref().is_none_or(|name| *name == part.to_string());
    let parts: Vec<Verdicts> = Verdicts::ALL.into_iter().filter(is_wanted).collect();
    if parts.is_empty() {
        return Err(format!("there is no part {wanted:?}, only {:?}", Verdicts::ALL).into());
    }
    for part in parts {
        println!("{}", part.measure(runs));
    }
    if wanted.is_none() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../canary-analysis/docs");
        for picture in pictures() {
            fs::write(docs.join(picture.file), picture.svg)?;
        }
    }
    Ok(())
}
