use std::io;

use canary_api::{EventView, Problem, client::ClientError};

use crate::{
    exit::Exit,
    paint::{Tone, for_stderr},
    times::Times,
};

/// The reason why a verb has failed, in words, with its exit status.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    /// What else the reader needs, a line each.
    details: Vec<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), details: Vec::new() }
    }

    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self::new(Exit::Error, message)
    }

    #[must_use]
    pub(crate) fn detail(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }

    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    /// Prints the failure to the standard error.
    pub(crate) fn report(&self) {
        if self.message.is_empty() {
            return;
        }
        let paint = for_stderr();
        let message = Times::local().sentence(&self.message);
        eprintln!("{} {}", paint.paint(Tone::Bad, "error:"), paint.plain(&message));
        for detail in &self.details {
            eprintln!("  {}", paint.plain(detail));
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let failure = Self::error(error.to_string());
        match &error {
            ClientError::Problem(problem) => failure.explain(problem),
            // They name the token or the certificates.
            ClientError::Settings(_) => failure,
            _ if error.is_outcome_unknown() => failure,
            _ => failure.detail(SERVER_HINT),
        }
    }
}

impl Failure {
    fn explain(mut self, problem: &Problem) -> Self {
        if is_refusal(problem.status) {
            self.exit = Exit::Refused;
        }
        if problem.status == 401 {
            self = self.detail("name the file of your token with --token-file");
        }
        if !problem.events.is_empty() {
            self = self.detail("since then:");
            for event in &problem.events {
                self = self.detail(format!("  {}", event_line(event)));
            }
        }
        if !problem.allowed.is_empty() && !self.message.contains("allowed") {
            let allowed: Vec<_> = problem.allowed.iter().map(|name| name.as_str()).collect();
            self = self.detail(format!("allowed now: {}", allowed.join(", ")));
        }
        for fault in &problem.faults {
            self = self.detail(crate::plans::fault_line(fault));
        }
        self
    }
}

impl From<io::Error> for Failure {
    /// The failure of the output. A closed pipe is the wish of the reader, and no error to report.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::Done, ""),
            _ => Self::error(format!("cannot write the output: {error}")),
        }
    }
}

/// Returns whether the server has understood a request and did not want to carry it out.
pub(crate) const fn is_refusal(status: u16) -> bool {
    matches!(status, 403 | 409 | 412 | 428)
}

/// Returns an event in one line, as the log of events has it.
pub(crate) fn event_line(event: &EventView) -> String {
    let reason =
        if event.reason.is_empty() { String::new() } else { format!(": {}", event.reason) };
    format!("{} {}{reason}", Times::local().full(&event.at), event.sentence)
}

const SERVER_HINT: &str =
    "the server is named by --server, CANARY_SERVER or the configuration file";
