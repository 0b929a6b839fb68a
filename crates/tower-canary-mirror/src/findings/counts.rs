use std::{
    ops::Index,
    sync::atomic::{AtomicU64, Ordering},
};

use canary_core::{Latencies, PerChannel};

/// Counts of mirrored requests. They only grow.
///
/// At any moment
/// `mirrored = matched + mismatched + not_compared + failed + timed_out + dropped + in flight`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct MirrorCounts {
    /// Requests that the mirror selected.
    pub mirrored: u64,
    /// Requests whose responses did not differ, except for noise.
    pub matched: u64,
    /// The part of `matched` whose responses differed in noise.
    pub matched_with_noise: u64,
    /// Requests whose responses differed.
    pub mismatched: u64,
    /// Requests whose responses were not compared completely and did not differ otherwise: a body
    /// exceeded the limit, or the comparison declined or panicked.
    pub not_compared: u64,
    /// Requests without a complete response of the canary: the service or the body failed or
    /// panicked, or the body did not have its `content-length`.
    pub failed: u64,
    /// The part of `failed` in which the canary panicked.
    pub panicked: u64,
    /// Requests without a complete response of the canary within the time limit.
    pub timed_out: u64,
    /// Requests without an outcome of the canary, by reason.
    pub dropped: DropCounts,
    /// Requests that were sent to stable again to measure noise.
    pub noise: NoiseCounts,
    /// Times to the response head, of the requests that both channels answered.
    ///
    /// The time to the end of stable's response depends on the caller, who reads it.
    pub head: PerChannel<Latencies>,
}

impl MirrorCounts {
    /// Returns the number of requests that have no outcome yet.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        let Self {
            mirrored, matched, mismatched, not_compared, failed, timed_out, dropped, ..
        } = self;
        mirrored - matched - mismatched - not_compared - failed - timed_out - dropped.total()
    }

    /// Adds the counts of `other`.
    #[cfg(feature = "metrics")]
    pub(crate) fn merge(&mut self, other: &Self) {
        self.mirrored += other.mirrored;
        self.matched += other.matched;
        self.matched_with_noise += other.matched_with_noise;
        self.mismatched += other.mismatched;
        self.not_compared += other.not_compared;
        self.failed += other.failed;
        self.panicked += other.panicked;
        self.timed_out += other.timed_out;
        for (sum, count) in self.dropped.0.iter_mut().zip(other.dropped.0) {
            *sum += count;
        }
        self.noise.sent += other.noise.sent;
        self.noise.compared += other.noise.compared;
        self.noise.differed += other.noise.differed;
        for channel in canary_core::Channel::ALL {
            self.head[channel].merge(&other.head[channel]);
        }
    }
}

/// Counts of dropped mirrored requests by [`DropReason`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DropCounts([u64; DropReason::ALL.len()]);

impl DropCounts {
    /// Returns the sum over all reasons.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl Index<DropReason> for DropCounts {
    type Output = u64;

    fn index(&self, reason: DropReason) -> &u64 {
        &self.0[reason.index()]
    }
}

/// The reason why a mirrored request was dropped.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum DropReason {
    /// The queue was full.
    QueueFull,
    /// The memory limit was reached.
    MemoryFull,
    /// The request body exceeded the limit.
    RequestTooLarge,
    /// Stable responded before it had read the request body, or the body failed.
    RequestIncomplete,
    /// The caller left before stable's response was complete.
    CallerLeft,
    /// Stable failed or panicked before its response was complete.
    StableFailed,
    /// There was no tokio runtime with timers, or it shut down.
    Runtime,
}

impl DropReason {
    /// All reasons.
    pub const ALL: [Self; 7] = [
        Self::QueueFull,
        Self::MemoryFull,
        Self::RequestTooLarge,
        Self::RequestIncomplete,
        Self::CallerLeft,
        Self::StableFailed,
        Self::Runtime,
    ];

    /// Returns the name that metrics use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::MemoryFull => "memory_full",
            Self::RequestTooLarge => "request_too_large",
            Self::RequestIncomplete => "request_incomplete",
            Self::CallerLeft => "caller_left",
            Self::StableFailed => "stable_failed",
            Self::Runtime => "runtime",
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// Counts of requests that were sent to stable again to measure noise.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct NoiseCounts {
    /// Requests that were sent to stable again.
    pub sent: u64,
    /// Requests whose two responses of stable were compared.
    pub compared: u64,
    /// The part of `compared` in which the responses differed.
    pub differed: u64,
}

/// The outcome of a mirrored request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum MirrorOutcome {
    Matched,
    MatchedWithNoise,
    Mismatched,
    NotCompared,
    Failed,
    Panicked,
    TimedOut,
    Dropped(DropReason),
}

impl MirrorOutcome {
    const COUNT: usize = 7 + DropReason::ALL.len();

    const fn index(self) -> usize {
        match self {
            Self::Matched => 0,
            Self::MatchedWithNoise => 1,
            Self::Mismatched => 2,
            Self::NotCompared => 3,
            Self::Failed => 4,
            Self::Panicked => 5,
            Self::TimedOut => 6,
            Self::Dropped(reason) => 7 + reason.index(),
        }
    }
}

/// The counters behind [`MirrorCounts`], except the latencies.
///
/// Outcomes are counted with `Release` and read with `Acquire` before `mirrored` is read. No reader
/// sees more outcomes than mirrored requests.
#[derive(Default)]
pub(crate) struct Counters {
    mirrored: AtomicU64,
    outcomes: [AtomicU64; MirrorOutcome::COUNT],
    noise_sent: AtomicU64,
    noise_compared: AtomicU64,
    noise_differed: AtomicU64,
}

impl Counters {
    pub(crate) fn begin(&self) {
        self.mirrored.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, outcome: MirrorOutcome) {
        self.outcomes[outcome.index()].fetch_add(1, Ordering::Release);
    }

    pub(crate) fn noise_sent(&self) {
        self.noise_sent.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn noise_compared(&self, differed: bool) {
        self.noise_compared.fetch_add(1, Ordering::Release);
        self.noise_differed.fetch_add(u64::from(differed), Ordering::Release);
    }

    pub(crate) fn read(&self, head: PerChannel<Latencies>) -> MirrorCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        let count = |outcome: MirrorOutcome| read(&self.outcomes[outcome.index()]);
        let matched_with_noise = count(MirrorOutcome::MatchedWithNoise);
        let panicked = count(MirrorOutcome::Panicked);
        // A part is read before its whole, and `mirrored` last.
        let differed = read(&self.noise_differed);
        let compared = read(&self.noise_compared);
        let mut counts = MirrorCounts {
            mirrored: 0,
            matched: count(MirrorOutcome::Matched) + matched_with_noise,
            matched_with_noise,
            mismatched: count(MirrorOutcome::Mismatched),
            not_compared: count(MirrorOutcome::NotCompared),
            failed: count(MirrorOutcome::Failed) + panicked,
            panicked,
            timed_out: count(MirrorOutcome::TimedOut),
            dropped: DropCounts(
                DropReason::ALL.map(|reason| count(MirrorOutcome::Dropped(reason))),
            ),
            noise: NoiseCounts { sent: read(&self.noise_sent), compared, differed },
            head,
        };
        counts.mirrored = read(&self.mirrored);
        counts
    }
}
