//! Draws the pictures of the guide "How a canary is judged".
//!
//! `cargo run --release -p canary-analysis-sim --example judge_pictures`

use std::{fs, path::Path};

use canary_analysis_sim::pictures;

fn main() -> std::io::Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../canary-analysis/docs");
    for picture in pictures() {
        fs::write(docs.join(picture.file), picture.svg)?;
        println!("wrote {}", picture.file);
    }
    Ok(())
}
