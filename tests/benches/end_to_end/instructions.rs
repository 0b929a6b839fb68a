//! The instructions of a call over a socket, counted by callgrind in the server.
//!
//! The server has one connection, with one call at a time. The counts include tokio, hyper, axum or
//! tonic, but neither the kernel nor the caller. They hardly depend on the load of the machine.
//!
//! Each batch has a connection of its own. hyper sends a `date`, and the table of sent headers in h2
//! keeps all its values in one list, which h2 searches from the oldest to the newest. So a response
//! takes 50 to 80 instructions more for each second of the age of its connection.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use canary_tests::bench_rounds::quartiles;

use crate::{
    case::{Subject, servers},
    child::Process,
    load::{Callers, Protocol},
    server::MARK,
};

/// Prints the instructions of all servers. The profiles of the last batches stay in `directory`.
pub(crate) async fn run(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    println!("{:<28} {:>8} {:>8}   middle half", "user instructions", "a call", "added");
    for protocol in [Protocol::Http, Protocol::Grpc] {
        let mut direct = None;
        for (kind, name, subject) in servers(protocol) {
            let [low, middle, high] = quartiles(count(&kind, protocol, directory).await?);
            let base = *direct.get_or_insert(middle);
            let added = match subject {
                Subject::Direct => format!("{:>8}", ""),
                _ => format!("{:>8.0}", middle - base),
            };
            println!("{name:<28} {middle:>8.0} {added}   {low:.0} to {high:.0}");
        }
    }
    println!("\nprofiles: callgrind_annotate --show=Ir {}/*.{LAST}", directory.display());
    Ok(())
}

/// Returns the instructions per call of each batch.
async fn count(kind: &str, protocol: Protocol, directory: &Path) -> Result<Vec<f64>> {
    let file = directory.join(kind.replace(' ', "-"));
    let mut server = Process::server_in_callgrind(kind, directory, &file, MARK)?;
    let mut counts = Vec::new();
    for batch in 0..=BATCHES {
        let mut callers = Callers::connect(protocol, server.address(), 1).await?;
        callers.call(WARM_UP).await?;
        server.mark()?;
        callers.call(CALLS).await?;
        server.mark()?;
        if batch == 0 {
            continue; // Warms up the process.
        }
        let dump = format!("{}.{}", file.display(), 2 * (batch + 1));
        let text = fs::read_to_string(&dump).with_context(|| dump.clone())?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).context(dump)?;
        #[expect(clippy::cast_precision_loss, reason = "callers make fewer than 2^53 calls")]
        counts.push(total.trim().parse::<f64>()? / CALLS as f64);
    }
    Ok(counts)
}

/// The calls of each connection that are not counted.
const WARM_UP: usize = 50;
const BATCHES: usize = 31;
const CALLS: usize = 200;
/// The number of the last batch among the dumps. A connection has two of them.
const LAST: usize = 2 * (BATCHES + 1);
