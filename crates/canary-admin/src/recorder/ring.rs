use std::collections::{BTreeMap, VecDeque};

use canary_api::{FindingColumns, PerChannel, Points};
use canary_controller::{Status, Timestamp};

use super::point::{FindingPoint, Point, millis};

/// The latest points of one resolution.
pub(super) struct Ring {
    step_s: u32,
    most: usize,
    points: VecDeque<Point>,
    /// The findings by monitor, as many as points.
    findings: BTreeMap<String, VecDeque<FindingPoint>>,
}

impl Ring {
    pub(super) const fn new(step_s: u32, most: usize) -> Self {
        Self { step_s, most, points: VecDeque::new(), findings: BTreeMap::new() }
    }

    pub(super) const fn step_s(&self) -> u32 {
        self.step_s
    }

    pub(super) fn push(&mut self, point: &Point, status: &Status) {
        if self.points.len() == self.most {
            self.points.pop_front();
            for column in self.findings.values_mut() {
                column.pop_front();
            }
        }
        if self.points.is_empty() {
            self.points.reserve_exact(self.most);
        }
        for finding in &status.judgment.findings {
            if let Some(column) = self.column(&finding.monitor) {
                column.push_back(FindingPoint::of(finding));
            }
        }
        self.points.push_back(*point);
        let len = self.points.len();
        self.findings.retain(|_, column| {
            if column.len() < len {
                column.push_back(FindingPoint::NONE);
            }
            // The plan with this monitor is out of sight.
            column.iter().any(|point| *point != FindingPoint::NONE)
        });
    }

    /// Returns the column of a monitor, without this point; `None` if there are too many monitors.
    fn column(&mut self, monitor: &str) -> Option<&mut VecDeque<FindingPoint>> {
        if !self.findings.contains_key(monitor) {
            if self.findings.len() == MAX_MONITORS {
                return None;
            }
            // Exactly as much memory as is needed in the end.
            let mut column = VecDeque::with_capacity(self.most);
            column.resize(self.points.len(), FindingPoint::NONE);
            self.findings.insert(monitor.to_owned(), column);
        }
        self.findings.get_mut(monitor).filter(|column| column.len() == self.points.len())
    }

    /// Returns the points whose time ends after `since`.
    pub(super) fn points(&self, since: Option<Timestamp>) -> Points {
        let since = since.map_or(i64::MIN, Timestamp::as_millis);
        let skipped = self.points.iter().take_while(|point| point.at_ms <= since).count();
        let points = || self.points.iter().skip(skipped);
        let fraction = |rate: f32| (!rate.is_nan()).then_some(rate);
        Points {
            step_s: self.step_s,
            at_ms: points().map(|point| point.at_ms).collect(),
            weight_ppm: points().map(|point| point.weight_ppm).collect(),
            calls_per_second: PerChannel {
                stable: points().map(|point| point.calls_per_second.stable).collect(),
                canary: points().map(|point| point.calls_per_second.canary).collect(),
            },
            failure_rate: PerChannel {
                stable: points().map(|point| fraction(point.failure_rate.stable)).collect(),
                canary: points().map(|point| fraction(point.failure_rate.canary)).collect(),
            },
            p50_ms: PerChannel {
                stable: points().map(|point| millis(point.p50.stable)).collect(),
                canary: points().map(|point| millis(point.p50.canary)).collect(),
            },
            p99_ms: PerChannel {
                stable: points().map(|point| millis(point.p99.stable)).collect(),
                canary: points().map(|point| millis(point.p99.canary)).collect(),
            },
            findings: self
                .findings
                .iter()
                .map(|(monitor, column)| (monitor.clone(), columns(column.iter().skip(skipped))))
                .collect(),
        }
    }
}

fn columns<'a>(points: impl Iterator<Item = &'a FindingPoint>) -> FindingColumns {
    let mut columns = FindingColumns::default();
    for point in points {
        let [ratio, lower, upper] = point.ratio();
        columns.ratio.push(ratio);
        columns.lower.push(lower);
        columns.upper.push(upper);
        let [harm, good] = point.evidence();
        columns.harm.push(harm);
        columns.good.push(good);
    }
    columns
}

/// A plan has at most 16 monitors, and those per key come in pairs. With more, memory would have no
/// bound.
const MAX_MONITORS: usize = 20;
