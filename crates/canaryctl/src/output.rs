use std::io::{self, Write as _};

use clap::ValueEnum;
use serde::Serialize;

use crate::{
    failure::Failure,
    paint::{self, Paint},
    table::Table,
    times::Times,
};

/// The format of the output.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Format {
    /// Text for people
    #[default]
    Table,
    /// One JSON document, in the types of the API; events that are followed are one per line
    Json,
}

/// The standard output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
    paint: Paint,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, paint: paint::for_stdout() }
    }

    pub(crate) const fn is_json(self) -> bool {
        matches!(self.format, Format::Json)
    }

    pub(crate) const fn paint(self) -> Paint {
        self.paint
    }

    /// Prints a document as JSON.
    pub(crate) fn json(self, document: &impl Serialize) -> Result<(), Failure> {
        print(&serde_json::to_string_pretty(document).map_err(io::Error::from)?)
    }

    /// Prints a document as JSON in one line.
    pub(crate) fn json_line(self, document: &impl Serialize) -> Result<(), Failure> {
        print(&serde_json::to_string(document).map_err(io::Error::from)?)
    }

    /// Prints a line that [`Paint`] has made.
    pub(crate) fn line(self, line: &str) -> Result<(), Failure> {
        print(line)
    }

    /// Prints a text of the server.
    pub(crate) fn text(self, text: &str) -> Result<(), Failure> {
        text.lines().try_for_each(|line| print(&self.paint.plain(line)))
    }

    /// Prints a sentence of the server, with its times in local time.
    pub(crate) fn sentence(self, text: &str) -> Result<(), Failure> {
        self.text(&Times::local().sentence(text))
    }

    pub(crate) fn table(self, table: &Table) -> Result<(), Failure> {
        table.lines(self.paint).try_for_each(|line| print(&line))
    }
}

fn print(line: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    // A pipe is not flushed at the end of a line otherwise, and `events -f` has no end.
    Ok(stdout.flush()?)
}

/// Makes the first letter upper case.
pub(crate) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().into_iter().flat_map(char::to_uppercase).chain(chars).collect()
}

/// Prints a note for the person, which is no part of the output.
pub(crate) fn note(text: &str) {
    eprintln!("{}", paint::for_stderr().plain(text));
}
