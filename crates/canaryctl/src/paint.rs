use std::{
    env,
    io::{self, IsTerminal},
};

/// The meaning of a text, which decides its color. No meaning is told by color alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tone {
    Plain,
    Strong,
    Dim,
    Good,
    Bad,
    Stable,
    Canary,
}

/// Colors text, if the reader is a terminal that wants it.
///
/// It also removes control characters, which a terminal would obey: names and reasons come from other
/// people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    has_colors: bool,
}

impl Paint {
    pub(crate) const fn new(has_colors: bool) -> Self {
        Self { has_colors }
    }

    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let text = self.plain(text);
        let code = match tone {
            Tone::Plain => return text,
            Tone::Strong => "1",
            Tone::Dim => "2",
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Stable => "34",
            Tone::Canary => "33",
        };
        if self.has_colors { format!("\x1b[{code}m{text}\x1b[0m") } else { text }
    }

    #[expect(clippy::unused_self, reason = "all texts take the same way")]
    pub(crate) fn plain(self, text: &str) -> String {
        text.chars().map(|char| if is_obeyed(char) { ' ' } else { char }).collect()
    }
}

/// Returns whether a terminal obeys a character instead of showing it. Those that change the direction
/// of a text are among them.
fn is_obeyed(char: char) -> bool {
    let is_bidirectional = matches!(
        char,
        '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}'
    );
    char.is_control() || is_bidirectional
}

pub(crate) fn for_stdout() -> Paint {
    Paint::new(stdout_has_colors())
}

/// Returns whether the standard output gets colors: if it is a terminal, or if `CLICOLOR_FORCE` asks
/// for them.
pub(crate) fn stdout_has_colors() -> bool {
    let is_forced = env::var_os("CLICOLOR_FORCE").is_some_and(|it| !it.is_empty() && it != "0");
    is_forced || (io::stdout().is_terminal() && colors_are_wanted())
}

pub(crate) fn for_stderr() -> Paint {
    Paint::new(io::stderr().is_terminal() && colors_are_wanted())
}

/// Returns whether the user has not asked for text without colors, see <https://no-color.org>.
pub(crate) fn colors_are_wanted() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let evil = "lunch\x1b[2J\r\u{9b}1\u{202e}A";
        assert_eq!(Paint::new(false).paint(Tone::Bad, evil), "lunch [2J  1 A");
        assert_eq!(Paint::new(true).paint(Tone::Bad, "x\x07"), "\x1b[31mx \x1b[0m");
    }
}
