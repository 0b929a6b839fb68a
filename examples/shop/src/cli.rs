//! The command line.

use std::{net::SocketAddr, path::PathBuf, process, time::Duration};

use clap::Parser;
use tower_canary::{ReleaseId, Weight};

/// A shop with a canary of its second version.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Options {
    /// The address to listen on; port 0 selects a free port
    #[arg(long, default_value = "127.0.0.1:3000")]
    pub(crate) addr: SocketAddr,

    /// The canary's weight, which operators change by hand
    #[arg(long, default_value = "5%", value_name = "PERCENT")]
    pub(crate) weight: Weight,

    /// Roll out version 2 with the plan in this file
    #[arg(long, value_name = "FILE", conflicts_with = "weight")]
    pub(crate) plan: Option<PathBuf>,

    /// Store the state of the rollout, so that a restart continues it and other shops share it: in a
    /// directory (dir:PATH), in etcd or in PostgreSQL; see below
    #[arg(long, value_name = "URL", requires = "plan")]
    pub(crate) store: Option<String>,

    /// The file with the password of the store's user, instead of the one in the URL
    #[arg(long, value_name = "FILE", requires = "store")]
    pub(crate) store_password_file: Option<PathBuf>,

    /// Keep a copy of the rollout in this directory, for a start while the store is away; not shared
    /// with other shops
    #[arg(long, value_name = "DIRECTORY", requires = "store")]
    pub(crate) copies: Option<PathBuf>,

    /// The file with the tokens for the API and the page, as canary-admin describes it; without it,
    /// callers on this machine may do everything, and others nothing
    #[arg(long, value_name = "FILE")]
    pub(crate) tokens: Option<PathBuf>,

    /// Wait for an operator to start the plan
    #[arg(long, requires = "plan")]
    pub(crate) wait_for_start: bool,

    /// The release id of version 1
    #[arg(long, default_value = "v1", value_name = "ID")]
    pub(crate) stable_release: ReleaseId,

    /// The release id of version 2
    #[arg(long, default_value = "v2", value_name = "ID")]
    pub(crate) canary_release: ReleaseId,

    /// Continue to serve after the rollout has ended
    #[arg(long, requires = "plan")]
    pub(crate) stay: bool,

    /// The share of version 2's calls that fail
    #[arg(long, default_value = "0%", value_name = "PERCENT")]
    pub(crate) v2_error_rate: Weight,

    /// The delay of each call to version 2, such as 20ms or 1s
    #[arg(long, default_value = "0ms", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) v2_latency: Duration,

    /// The share of version 2's calls that panic
    #[arg(long, default_value = "0%", value_name = "PERCENT")]
    pub(crate) v2_panic_rate: Weight,

    /// The share of version 2's calls that never respond
    #[arg(long, default_value = "0%", value_name = "PERCENT")]
    pub(crate) v2_hang_rate: Weight,

    /// How long version 2 is cold: 100 ms slower per call, from its first call on
    #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) v2_cold: Duration,

    /// The share of all calls, of both versions, that fail in the first 20 s of each minute
    #[arg(long, default_value = "0%", value_name = "PERCENT")]
    pub(crate) outage: Weight,

    /// Keep each user on one version; the generated calls are those of this many users, some of
    /// them far more active than others
    #[arg(long, value_name = "USERS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) sticky_users: Option<u32>,

    /// Generate this many calls per second, and print a line per second
    #[arg(long, value_name = "RPS", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) load: Option<u32>,

    /// Stop after this many seconds
    #[arg(long = "for", value_name = "SECONDS")]
    pub(crate) seconds: Option<u64>,
}

impl Options {
    /// Parses the command line. Prints help and returns `None` if that was requested. Exits the
    /// process on an error.
    pub(crate) fn from_command_line() -> Option<Self> {
        Self::try_parse().map_or_else(
            |error| {
                // Fails only if the stream is closed.
                let _ = error.print();
                if error.use_stderr() {
                    // Not clap's status 2, which here means a rollback.
                    process::exit(1);
                }
                None
            },
            Some,
        )
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

const AFTER_HELP: &str = "\
Stores:
  dir:PATH                                           a directory of this machine
  etcd://USER:PASSWORD@HOST:PORT,HOST:PORT           the members of an etcd cluster
  postgres://USER:PASSWORD@HOST:PORT/DATABASE        a PostgreSQL server

  In a password, @, /, : and % are written as %40, %2F, %3A and %25. Processes of this machine can read
  the command line: prefer --store-password-file. For TLS, append ?sslmode=verify-full, and
  &sslrootcert=FILE for certificates to trust other than those of the system. &sslcert=FILE and
  &sslkey=FILE are the certificate and the key of the shop itself. All files are in PEM format.
  PostgreSQL uses TLS by default, except on this machine, and also has sslmode=verify-ca and require.

Exit status, with a plan:
  0  version 2 was promoted
  1  the shop could not start, for example because of an invalid plan
  2  version 2 was rolled back or halted
  3  the shop was stopped before the rollout ended; with --store, the next start continues it";

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
