use std::process::ExitCode;

/// The exit status. It is a part of the interface: scripts decide by it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    /// The command was carried out, or the state that `wait` waited for was reached.
    Done,
    /// Anything that has no status of its own.
    Error,
    /// The canary was rolled back or halted.
    RolledBack,
    /// The rollout waits for a person.
    NeedsPerson,
    /// The time is over.
    TimedOut,
    /// The server refused the command, or the rollout has changed since.
    Refused,
}

impl Exit {
    pub(crate) const fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::RolledBack => 2,
            Self::NeedsPerson => 3,
            Self::TimedOut => 4,
            Self::Refused => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.status())
    }
}

/// The table for the help.
pub(crate) const STATUS: &str = "\
Exit status:
  0  done; for wait: reached
  1  an error, such as a wrong argument or no connection
  2  wait: the canary was rolled back or halted
  3  wait: the rollout waits for a person
  4  wait: the time is over
  5  the server refused the command, or the rollout has changed meanwhile";
