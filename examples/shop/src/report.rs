//! A line per second with the counts of both channels.

use std::time::Duration;

use tower_canary::{
    CanaryHandle,
    counts::{ChannelCounts, Counts, Snapshot},
};

pub(crate) struct Report {
    canary: CanaryHandle,
    last: Snapshot,
    lines: u32,
}

impl Report {
    pub(crate) fn new(canary: CanaryHandle) -> Self {
        let last = canary.counts();
        Self { canary, last, lines: 0 }
    }

    /// Prints the counts since the last line.
    pub(crate) fn print_line(&mut self) {
        if self.lines.is_multiple_of(LINES_PER_HEADER) {
            println!("{HEADER}");
        }
        self.lines += 1;
        let now = self.canary.counts();
        let recent = now.since(&self.last).unwrap_or_default().total();
        println!("{:>5}s  {}", self.lines, row(&self.canary.weight().to_string(), &recent));
        self.last = now;
    }

    /// Prints the counts since the start.
    pub(crate) fn print_total(&self) {
        println!("total   {}", row("", &self.canary.counts().total()));
    }
}

fn row(weight: &str, counts: &Counts) -> String {
    let share = counts.share().map_or_else(|| "-".to_owned(), percent);
    let [stable, canary] = [&counts.evidence.stable, &counts.evidence.canary].map(channel);
    format!("{weight:>8} {share:>7} │{stable}  │{canary}")
}

fn channel(counts: &ChannelCounts) -> String {
    let ChannelCounts { picked, success, failure, .. } = counts;
    let [p50, p99] = [0.5, 0.99].map(|q| {
        let bucket = counts.end.quantile(q);
        bucket.map_or_else(|| "-".to_owned(), |bucket| readable(bucket.midpoint()))
    });
    #[expect(clippy::cast_precision_loss, reason = "only one decimal is printed")]
    let rate = *failure as f64 / (success + failure).max(1) as f64;
    format!("{picked:>7} {failure:>6} {:>7} {p50:>8} {p99:>8}", percent(rate))
}

fn percent(ratio: f64) -> String {
    format!("{:.1}%", ratio * 100.0)
}

fn readable(latency: Duration) -> String {
    format!("{latency:.1?}")
}

const LINES_PER_HEADER: u32 = 20;
const HEADER: &str = concat!(
    "                         │ stable                                   │ canary\n",
    "          weight   share │  calls errors    rate      p50      p99  │",
    "  calls errors    rate      p50      p99",
);
