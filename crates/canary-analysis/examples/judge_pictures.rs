//! Draws the pictures of the guide "How a canary is judged" anew.
//!
//! `cargo run --release -p canary-analysis --features sim --example judge_pictures`

use std::{fs, path::Path};

use canary_analysis::sim;

fn main() -> std::io::Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    for picture in sim::pictures() {
        fs::write(docs.join(picture.file), picture.svg)?;
        println!("drew {}", picture.file);
    }
    Ok(())
}
