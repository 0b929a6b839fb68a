//! The command line.

use std::{net::SocketAddr, path::PathBuf, process, time::Duration};

use clap::Parser;
use tower_canary::Weight;

/// A shop whose second version is a canary.
#[derive(Debug, Parser)]
#[command(version, after_help = STATUS)]
pub(crate) struct Options {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:3000")]
    pub(crate) addr: SocketAddr,

    /// The share of calls that version 2 gets
    #[arg(long, default_value = "5%", value_name = "PERCENT")]
    pub(crate) weight: Weight,

    /// Raise the weight by a plan instead, from zero until version 2 is promoted or taken back
    #[arg(long, value_name = "FILE", conflicts_with = "weight")]
    pub(crate) plan: Option<PathBuf>,

    /// Keep the state of the rollout in this directory, so that a restart goes on with it
    #[arg(long, value_name = "DIRECTORY", requires = "plan")]
    pub(crate) state: Option<PathBuf>,

    /// Go on serving when the plan is done, or version 2 is taken back
    #[arg(long, requires = "plan")]
    pub(crate) stay: bool,

    /// The share of its calls that version 2 fails
    #[arg(long, default_value = "0%", value_name = "PERCENT")]
    pub(crate) v2_error_rate: Weight,

    /// The time that version 2 wastes on each call, such as 20ms or 1s
    #[arg(long, default_value = "0ms", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) v2_latency: Duration,

    /// The share of its calls in which version 2 panics
    #[arg(long, default_value = "0%", value_name = "PERCENT")]
    pub(crate) v2_panic_rate: Weight,

    /// Call yourself this often per second, and print a line per second
    #[arg(long, value_name = "RPS", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) load: Option<u32>,

    /// Stop after this many seconds
    #[arg(long = "for", value_name = "SECONDS")]
    pub(crate) seconds: Option<u64>,
}

impl Options {
    /// What was asked for; none if that was help, which is printed. Ends the process if it is wrong.
    pub(crate) fn of_command_line() -> Option<Self> {
        Self::try_parse().map_or_else(
            |error| {
                // Whoever would read why has closed the stream.
                let _ = error.print();
                if error.use_stderr() {
                    // Not clap's 2, which says here that version 2 was taken back.
                    process::exit(1);
                }
                None
            },
            Some,
        )
    }

    /// The share of calls that version 2 gets at first.
    pub(crate) fn first_weight(&self) -> Weight {
        if self.plan.is_some() { Weight::ZERO } else { self.weight }
    }

    pub(crate) fn stop_after(&self) -> Option<Duration> {
        self.seconds.map(Duration::from_secs)
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!(r#"duration {text:?}: expected a whole number and a unit, such as "20ms""#);
    let unit = text.find(|char: char| !char.is_ascii_digit()).ok_or_else(wrong)?;
    let number = text[..unit].parse().map_err(|_| wrong())?;
    match &text[unit..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        _ => Err(wrong()),
    }
}

const STATUS: &str = "\
Exit status, with a plan:
  0  version 2 is promoted
  1  the shop could not run: a wrong option, a wrong plan, a port that is taken
  2  version 2 is rolled back, or halted
  3  the shop was stopped before the plan was done; with --state, the next one goes on";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("20ms"), Ok(Duration::from_millis(20)));
        assert_eq!(parse_duration("1s"), Ok(Duration::from_secs(1)));
        for text in ["", "20", "ms", "-1s", "1.5s", "20 ms", "1h", "99999999999999999999s"] {
            assert!(parse_duration(text).unwrap_err().contains(&format!("{text:?}")), "{text}");
        }
    }
}
