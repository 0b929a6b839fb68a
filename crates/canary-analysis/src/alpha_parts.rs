use crate::monitor::{Measure, Monitor};

/// How `alpha` is divided among monitors: in parts for three groups, and equally within each.
///
/// Compared with equal parts of five monitors, a rise of the failures from 1 % to 5 % takes a fifth
/// fewer calls, a hang of 5 % of calls is found a few seconds sooner, and the other monitors need
/// about a quarter more of their events.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AlphaParts {
    /// The number of monitors of the failures of all calls, which detect most faults.
    failures: u32,
    /// The number of those of all calls without an answer, which detect a canary that hangs.
    unanswered: u32,
    others: u32,
}

impl AlphaParts {
    pub(crate) fn of<'a>(monitors: impl Iterator<Item = &'a Monitor>) -> Self {
        let mut parts = Self::default();
        for monitor in monitors {
            *match monitor.measure() {
                _ if !monitor.compares_all_calls() => &mut parts.others,
                Measure::Failures => &mut parts.failures,
                Measure::Unanswered => &mut parts.unanswered,
                _ => &mut parts.others,
            } += 1;
        }
        parts
    }

    /// Returns the fraction of `alpha` for one of the monitors.
    pub(crate) fn part_of(self, monitor: &Monitor) -> f64 {
        let Self { failures, unanswered, others } = self;
        let rest = unanswered + others;
        if failures == 0 || rest == 0 {
            return 1.0 / f64::from(failures + rest);
        }
        let part = if unanswered == 0 || others == 0 { OF_REST } else { OF_REST / 2.0 };
        match monitor.measure() {
            Measure::Failures if monitor.compares_all_calls() => OF_FAILURES / f64::from(failures),
            Measure::Unanswered if monitor.compares_all_calls() => part / f64::from(unanswered),
            _ => part / f64::from(others),
        }
    }
}

const OF_FAILURES: f64 = 0.8;
const OF_REST: f64 = 0.2;
