//! The command line.

mod orders;
mod verbs;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser};

pub(crate) use self::{
    orders::{How, Target, split},
    verbs::{
        DrainOptions, EventsOptions, PlanCheckOptions, PlanVerb, ScreenSize, VarsOptions, Verb,
        WaitGoal, WaitOptions, WatchOptions, WhyOptions,
    },
};
use crate::{exit::STATUS, output::Format};

/// Steers canary rollouts from the command line
///
/// If the server has exactly one canary, its name may be left out.
#[derive(Debug, Parser)]
#[command(version, after_help = STATUS, max_term_width = 100)]
#[command(subcommand_required = true, infer_subcommands = false)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) connection: Connection,

    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// How to reach the server, and how to print.
///
/// A flag wins over the environment, and the environment over the configuration file.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection and output")]
pub(crate) struct Connection {
    /// The URL of the API [default: http://127.0.0.1:3000/canary/]
    #[arg(long, global = true, value_name = "URL", env = "CANARY_SERVER", hide_env_values = true)]
    pub(crate) server: Option<String>,

    /// The file with the token of the caller
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CANARY_TOKEN_FILE",
        hide_env_values = true
    )]
    pub(crate) token_file: Option<PathBuf>,

    /// The file with the certificates to trust, instead of those of the system
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CANARY_CA_FILE",
        hide_env_values = true
    )]
    pub(crate) ca_file: Option<PathBuf>,

    /// The context in the configuration file, $XDG_CONFIG_HOME/canaryctl/config.toml
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "CANARY_CONTEXT",
        hide_env_values = true
    )]
    pub(crate) context: Option<String>,

    /// Send the token over plain HTTP to another machine, where others can read it
    #[arg(long, global = true)]
    pub(crate) allow_exposed_token: bool,

    /// The format of the output
    #[arg(short, long, global = true, value_enum, default_value_t, hide_possible_values = true)]
    #[arg(value_name = "table|json")]
    pub(crate) output: Format,
}

/// Parses a duration such as `90s`, `30m` or `1h30m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || r#"expected a number with a unit, such as "90s", "30m" or "1h30m""#.to_owned();
    let (mut total, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let unit = rest.find(|char: char| !char.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u32 = rest[..unit].parse().map_err(|_| wrong())?;
        let end = rest[unit..]
            .find(|char: char| char.is_ascii_digit())
            .map_or(rest.len(), |end| unit + end);
        let unit = match &rest[unit..end] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return Err(wrong()),
        };
        total =
            unit.checked_mul(number).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
        rest = &rest[end..];
    }
    if total.is_zero() { Err(wrong()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use canary_api::CommandName;
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        let words = std::iter::once("canaryctl").chain(line.split_whitespace());
        Options::try_parse_from(words).map_err(|error| error.to_string())
    }

    #[test]
    fn the_definition_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn each_command_is_a_verb_of_the_same_name() {
        let options = Options::command();
        for name in CommandName::ALL {
            assert!(options.find_subcommand(name.as_str()).is_some(), "{name} is no verb");
        }
    }

    #[test]
    fn a_verb_gives_the_command_of_the_same_name() {
        for name in CommandName::ALL {
            let data = match name {
                CommandName::SetWeight => "10%",
                CommandName::Approve | CommandName::Reject => "owner",
                // It has a way of its own.
                CommandName::SetVariables => continue,
                _ => "",
            };
            for canary in ["", "shop"] {
                let options = parse(&format!("{name} {canary} -m why {data}")).unwrap();
                let (command, target, how) = options.verb.order().unwrap();
                assert_eq!(command.name(), name);
                assert_eq!(target.canary.as_deref().unwrap_or_default(), canary);
                assert_eq!(how.reason, "why");
            }
        }
    }

    #[test]
    fn a_misspelled_verb_gets_a_suggestion() {
        let error = parse("rollback shop").unwrap_err();
        assert!(error.contains("roll-back"), "{error}");
        let error = parse("promote shop --dry").unwrap_err();
        assert!(error.contains("--dry-run"), "{error}");
    }

    #[test]
    fn durations_have_units() {
        for (text, ms) in [("90s", 90_000), ("30m", 1_800_000), ("1h30m", 5_400_000), ("5ms", 5)] {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(ms), "{text}");
        }
        for text in ["", "30", "m", "1.5h", "0s", "-1s", "1d", "1h 30m", "99999999999s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
