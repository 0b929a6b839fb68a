use std::{error, fmt};

use super::VERSION;
use crate::judge::JudgeError;

/// The reason why a judge cannot continue with stored evidence.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum ResumeError {
    /// The monitors are invalid.
    Judge(JudgeError),
    /// The state has another format version.
    Version(u32),
    /// The evidence was collected with other levels.
    LevelsDiffer,
    /// A stored monitor is not in the plan.
    NotInPlan(String),
    /// A monitor of the plan has no stored evidence.
    NotStored(String),
    /// A monitor had another measure, class, unit, warm-up or margin.
    MonitorDiffers(String),
    /// The stored counts of a monitor contradict each other.
    Corrupt(String),
}

impl fmt::Display for ResumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Judge(_) => f.write_str("the monitors are invalid"),
            Self::Version(version) => {
                write!(f, "the stored evidence has version {version}, expected {VERSION}")
            }
            Self::LevelsDiffer => f.write_str("the evidence was collected with other levels"),
            Self::NotInPlan(name) => {
                write!(f, "the stored evidence has a monitor `{name}` that is not in the plan")
            }
            Self::NotStored(name) => write!(f, "monitor `{name}` has no stored evidence"),
            Self::MonitorDiffers(name) => {
                write!(f, "the stored evidence of monitor `{name}` has another measure or margin")
            }
            Self::Corrupt(name) => {
                write!(f, "the stored counts of monitor `{name}` contradict each other")
            }
        }
    }
}

canary_core::debug_as_display!(ResumeError);

impl error::Error for ResumeError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Judge(error) => Some(error),
            _ => None,
        }
    }
}
