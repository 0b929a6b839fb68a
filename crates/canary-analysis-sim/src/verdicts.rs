//! The verdicts of a default plan, as [`Plan::judge`](canary_rollout::Plan::judge) builds its judge,
//! in many kinds of traffic, each with the figure that it has to reach.

use std::fmt;

use crate::table::MarkdownTable;

use self::row::Row;

mod cold;
mod equal;
mod hangs;
mod healthy;
mod limits;
mod own_outages;
mod row;
mod shared_outages;
mod speed;

/// A part of the tables of verdicts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Verdicts {
    /// Good canaries in traffic without outages of one version alone.
    Equal,
    /// Good canaries when each version has outages of its own.
    OwnOutages,
    /// Bad canaries when both versions have outages at the same times.
    SharedOutages,
    /// Bad canaries: the time until the rollback.
    Speed,
    /// Good canaries: the time until they are healthy, and healthy verdicts taken back.
    Healthy,
    /// Good canaries that are cold at first.
    Cold,
    /// Canaries whose calls do not end.
    Hangs,
    /// Plans with absolute limits, or for services at four nines.
    Limits,
}

impl Verdicts {
    /// All parts.
    pub const ALL: [Self; 8] = [
        Self::Equal,
        Self::OwnOutages,
        Self::SharedOutages,
        Self::Speed,
        Self::Healthy,
        Self::Cold,
        Self::Hangs,
        Self::Limits,
    ];

    /// Simulates `runs` rollouts for each row, and returns the measured figure of each with one
    /// standard error, its target, and whether it is met.
    ///
    /// A target is met if the figure is not above it, and missed if the figure is above it by more
    /// than two standard errors.
    #[must_use]
    pub fn measure(self, runs: u32) -> MarkdownTable {
        let columns = ["traffic", "measured", "target, at most", "met"];
        let title = format!("{self}, {runs} rollouts each, ± one standard error");
        let mut table = MarkdownTable::new(&title, &columns);
        for row in self.rows() {
            table.row(&row.measure(runs));
        }
        table
    }

    fn rows(self) -> Vec<Row> {
        match self {
            Self::Equal => equal::rows(),
            Self::OwnOutages => own_outages::rows(),
            Self::SharedOutages => shared_outages::rows(),
            Self::Speed => speed::rows(),
            Self::Healthy => healthy::rows(),
            Self::Cold => cold::rows(),
            Self::Hangs => hangs::rows(),
            Self::Limits => limits::rows(),
        }
    }
}

impl fmt::Display for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "equal",
            Self::OwnOutages => "own-outages",
            Self::SharedOutages => "shared-outages",
            Self::Speed => "speed",
            Self::Healthy => "healthy",
            Self::Cold => "cold",
            Self::Hangs => "hangs",
            Self::Limits => "limits",
        })
    }
}
