use std::{
    ops::Index,
    sync::atomic::{AtomicU64, Ordering},
};

use canary_core::{Latencies, PerChannel};

/// What became of the calls that a mirror copied. All of the numbers only grow.
///
/// At any moment
/// `copied = matched + mismatched + not_compared + failed + timed_out + dropped + in flight`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct MirrorCounts {
    /// Calls of which a copy was begun.
    pub copied: u64,
    /// The canary answered as stable did, in all that is compared, but for what is noise.
    pub matched: u64,
    /// Those of `matched` whose answers differed, in fields that are noise.
    pub matched_but_noise: u64,
    /// The canary answered otherwise.
    pub mismatched: u64,
    /// The canary answered, but what was compared was equal and not all, since a body was larger than the
    /// bound, or the comparison declined or panicked.
    pub not_compared: u64,
    /// The canary gave no whole answer: an error of the service or of its body, or a panic.
    pub failed: u64,
    /// Those of `failed` in which the canary panicked.
    pub panicked: u64,
    /// The canary's answer was not whole within the time limit.
    pub timed_out: u64,
    /// Copies that never reached the canary, or were given up on the way.
    pub dropped: Drops,
    /// What was learned of stable by asking it a second time.
    pub noise: NoiseCounts,
    /// Times to the head of the answer, of calls in which both channels gave one: each call is in both.
    ///
    /// To the head, not to the end: how long stable's body takes is up to the caller who reads it.
    pub head: PerChannel<Latencies>,
}

impl MirrorCounts {
    /// Copies whose outcome is not known yet: being made, waiting, or at the canary.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        let Self { copied, matched, mismatched, not_compared, failed, timed_out, dropped, .. } =
            self;
        copied - matched - mismatched - not_compared - failed - timed_out - dropped.total()
    }
}

#[cfg(feature = "metrics")]
impl MirrorCounts {
    /// Adds the counts of `other`.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.copied += other.copied;
        self.matched += other.matched;
        self.matched_but_noise += other.matched_but_noise;
        self.mismatched += other.mismatched;
        self.not_compared += other.not_compared;
        self.failed += other.failed;
        self.panicked += other.panicked;
        self.timed_out += other.timed_out;
        for (mine, theirs) in self.dropped.0.iter_mut().zip(other.dropped.0) {
            *mine += theirs;
        }
        self.noise.asked += other.noise.asked;
        self.noise.compared += other.noise.compared;
        self.noise.differed += other.noise.differed;
        for channel in canary_core::Channel::ALL {
            self.head[channel].merge(&other.head[channel]);
        }
    }
}

/// Copies that came to nothing, by [`DropReason`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Drops([u64; DropReason::ALL.len()]);

impl Drops {
    /// The sum over all reasons.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl Index<DropReason> for Drops {
    type Output = u64;

    fn index(&self, reason: DropReason) -> &u64 {
        &self.0[reason.index()]
    }
}

/// Why a copy came to nothing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum DropReason {
    /// As many copies waited as may.
    QueueFull,
    /// The copies in memory would have been larger than they may be together.
    MemoryFull,
    /// The request's body was larger than the bound.
    RequestTooLarge,
    /// Stable answered before it had read the request's body, or the body broke off.
    RequestIncomplete,
    /// The caller left before stable's answer was whole: there is nothing to compare with.
    CallerLeft,
    /// Stable gave no whole answer.
    StableFailed,
    /// The runtime did not run the task, or shut down.
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

    /// Its name, as in metrics.
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

/// The calls that stable was sent a second time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct NoiseCounts {
    /// Copies that stable was sent.
    pub asked: u64,
    /// Those whose answer was compared with stable's first.
    pub compared: u64,
    /// Those of `compared` in which a field differed.
    pub differed: u64,
}

/// How a mirrored call ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    Matched,
    MatchedButNoise,
    Mismatched,
    NotCompared,
    Failed,
    Panicked,
    TimedOut,
    Dropped(DropReason),
}

/// What [`MirrorCounts`] are read from, but for the latencies.
///
/// Ends are counted with `Release` and read with `Acquire` before `copied` is, so that no reader sees
/// more calls ended than copied.
#[derive(Default)]
pub(crate) struct Counters {
    copied: AtomicU64,
    matched: AtomicU64,
    matched_but_noise: AtomicU64,
    mismatched: AtomicU64,
    not_compared: AtomicU64,
    failed: AtomicU64,
    panicked: AtomicU64,
    timed_out: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
    noise_asked: AtomicU64,
    noise_compared: AtomicU64,
    noise_differed: AtomicU64,
}

impl Counters {
    pub(crate) fn begin(&self) {
        self.copied.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, ending: Ending) {
        let counter = match ending {
            Ending::Matched => &self.matched,
            Ending::MatchedButNoise => {
                self.matched.fetch_add(1, Ordering::Release);
                &self.matched_but_noise
            }
            Ending::Mismatched => &self.mismatched,
            Ending::NotCompared => &self.not_compared,
            Ending::Failed => &self.failed,
            Ending::Panicked => {
                self.failed.fetch_add(1, Ordering::Release);
                &self.panicked
            }
            Ending::TimedOut => &self.timed_out,
            Ending::Dropped(reason) => &self.dropped[reason.index()],
        };
        counter.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn noise_asked(&self) {
        self.noise_asked.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn noise_compared(&self, differed: u64) {
        self.noise_compared.fetch_add(1, Ordering::Release);
        self.noise_differed.fetch_add(differed, Ordering::Release);
    }

    pub(crate) fn read(&self, head: PerChannel<Latencies>) -> MirrorCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        // A part is read before the whole it is a part of, and the copies last of all.
        let (matched_but_noise, panicked) = (read(&self.matched_but_noise), read(&self.panicked));
        let noise_differed = read(&self.noise_differed);
        let noise_compared = read(&self.noise_compared);
        let mut counts = MirrorCounts {
            matched: read(&self.matched),
            mismatched: read(&self.mismatched),
            not_compared: read(&self.not_compared),
            failed: read(&self.failed),
            timed_out: read(&self.timed_out),
            dropped: Drops(std::array::from_fn(|reason| read(&self.dropped[reason]))),
            matched_but_noise,
            panicked,
            noise: NoiseCounts {
                asked: read(&self.noise_asked),
                compared: noise_compared,
                differed: noise_differed,
            },
            head,
            copied: 0,
        };
        counts.copied = self.copied.load(Ordering::Relaxed);
        counts
    }
}
