//! The command line of canary rollouts.

mod canaries;
mod canary_name;
mod cli;
mod config_file;
mod confirm;
mod context;
mod drain;
mod events;
mod exit;
mod failure;
mod findings;
mod fleet;
mod follower;
mod manual;
mod numbers;
mod order;
mod output;
mod paint;
mod plans;
mod session;
mod show;
mod storage;
mod table;
mod times;
mod variables;
mod wait;
mod watch;
mod why;

use std::process::ExitCode;

use clap::Parser as _;

use self::{
    cli::{Options, Verb},
    exit::Exit,
    failure::Failure,
    session::Session,
};

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            // Fails only if the stream is closed.
            let _ = error.print();
            // Not clap's status 2, which here means a rollback.
            return if error.use_stderr() { Exit::Error.into() } else { Exit::Done.into() };
        }
    };
    match run(options) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.report();
            failure.exit().into()
        }
    }
}

fn run(options: Options) -> Result<Exit, Failure> {
    let Options { connection, verb } = options;
    match verb {
        Verb::Completions { shell } => return manual::completions(shell),
        Verb::Man { directory } => return manual::pages(directory.as_deref()),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::error(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(async {
        let session = Session::new(&connection)?;
        perform(&session, verb).await
    })
}

async fn perform(session: &Session, verb: Verb) -> Result<Exit, Failure> {
    if let Some((command, target, how)) = verb.order() {
        return order::give(session, &target, command, how).await;
    }
    match verb {
        Verb::List => canaries::list(session).await,
        Verb::Show(target) => show::show(session, &target).await,
        Verb::Watch(options) => watch::watch(session, &options).await,
        Verb::Wait(options) => wait::wait(session, &options).await,
        Verb::Vars(options) => variables::run(session, &options).await,
        Verb::Events(options) => events::run(session, &options).await,
        Verb::Why(options) => why::why(session, &options).await,
        Verb::Plan { verb } => plans::run(session, &verb).await,
        Verb::Drain(options) => drain::drain(session, &options).await,
        _ => unreachable!("orders and documents have been handled"),
    }
}
