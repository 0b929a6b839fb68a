use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::{exit::Exit, failure::Failure, paint, times::Times};

/// Asks the person whether to go on, after showing the effect.
///
/// Without a terminal there is no person to ask, and the command needs `--yes`.
///
/// # Errors
///
/// Returns an error if the person does not want it, or cannot be asked.
pub(crate) fn confirm(question: &str, effect: &str) -> Result<(), Failure> {
    let paint = paint::for_stderr();
    let effect = Times::local().sentence(effect);
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::new(
            Exit::Error,
            format!("{question} needs --yes without a terminal"),
        )
        .detail(&effect));
    }
    eprintln!("{}", paint.plain(&effect));
    eprint!("{} [y/N] ", paint.plain(&format!("{question}?")));
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::error(format!("cannot read the answer: {error}")))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::error("nothing has changed")),
    }
}
