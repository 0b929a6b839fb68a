//! The manual pages and the completions of shells.

use std::{fs, io, path::Path};

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::{cli::Options, exit::Exit, failure::Failure};

pub(crate) fn completions(shell: Shell) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Options::command(), "canaryctl", &mut text);
    write(&text)
}

/// Prints the manual page, or writes one per verb to a directory.
pub(crate) fn pages(directory: Option<&Path>) -> Result<Exit, Failure> {
    let command = Options::command();
    let Some(directory) = directory else {
        let mut text = Vec::new();
        clap_mangen::Man::new(command).render(&mut text)?;
        return write(&text);
    };
    let wrong =
        |error: io::Error| Failure::error(format!("directory {}: {error}", directory.display()));
    fs::create_dir_all(directory).map_err(wrong)?;
    clap_mangen::generate_to(command, directory).map_err(wrong)?;
    Ok(Exit::Done)
}

fn write(text: &[u8]) -> Result<Exit, Failure> {
    io::Write::write_all(&mut io::stdout().lock(), text)?;
    Ok(Exit::Done)
}
