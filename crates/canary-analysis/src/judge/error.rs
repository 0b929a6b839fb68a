use std::{error, fmt};

/// The reason why a judge cannot use its monitors.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum JudgeError {
    /// A name is empty.
    EmptyName,
    /// Two monitors have this name.
    DuplicateName(String),
    /// A monitor of the share or of unanswered calls has an absolute limit.
    LimitNotSupported(String),
    /// A feedback or event monitor has a class of routes. Feedback and events are observed without
    /// one.
    ClassNotSupported(String),
    /// All monitors are watch-only, watch the share or unanswered calls, or limit a number of calls.
    NoDecidingMonitor,
}

impl fmt::Display for JudgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyName => f.write_str("a monitor has an empty name"),
            Self::DuplicateName(name) => write!(f, "two monitors are named `{name}`"),
            Self::LimitNotSupported(name) => {
                write!(
                    f,
                    "monitor `{name}` has a limit, but the share and unanswered calls are always \
                     compared with the weight or with stable: expected failures, cancelled or slow \
                     calls, feedback or an event"
                )
            }
            Self::ClassNotSupported(name) => {
                write!(
                    f,
                    "monitor `{name}` has a class, but feedback and events have none: expected an \
                     event with its own name"
                )
            }
            Self::NoDecidingMonitor => f.write_str(
                "no monitor decides: all are watch-only, watch the share or unanswered calls, or \
                 limit a number of calls",
            ),
        }
    }
}

canary_core::debug_as_display!(JudgeError);

impl error::Error for JudgeError {}
