use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use canary_core::{CanaryName, Latencies, PerChannel, Weight};
use http::{Method, request::Parts};

use crate::{
    Mirrored,
    counts::{Counters, MirrorCounts},
    fields::Fields,
    memory::{Lease, Memory},
    options::MirrorOptions,
    queue::Queue,
    runtime::Runtime,
    ticket::Ticket,
};
use crate::{framing::asks_for_upgrade, panic::catch};
use tower_canary::{internal::draw, select::RequestHead};

/// What all services, handles and tasks of a mirror share.
pub(crate) struct Mirror {
    pub(crate) name: CanaryName,
    pub(crate) share: Share,
    pub(crate) noise_share: Share,
    pub(crate) options: MirrorOptions,
    pub(crate) runtime: Box<dyn Runtime>,
    pub(crate) counters: Counters,
    pub(crate) queue: Queue,
    /// How many of the next copies go to stable whatever is drawn.
    warm_up: AtomicU32,
    memory: Arc<Memory>,
    findings: Mutex<Findings>,
}

/// What the tasks found. Calls of stable never take its lock.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) fields: Fields,
    pub(crate) head: PerChannel<Latencies>,
}

impl Mirror {
    pub(crate) fn new(name: CanaryName, options: MirrorOptions, runtime: Box<dyn Runtime>) -> Self {
        Self {
            name,
            share: Share::new(options.share),
            noise_share: Share::new(options.noise_share),
            counters: Counters::default(),
            queue: Queue::new(options.queue, options.concurrency),
            warm_up: AtomicU32::new(WARM_UP),
            memory: Arc::new(Memory::new(options.memory_limit)),
            findings: Mutex::default(),
            options,
            runtime,
        }
    }

    /// Begins a copy of a call with this head, if the call may be copied.
    pub(crate) fn admit(self: &Arc<Self>, head: &Parts) -> Option<Ticket> {
        let is_never_copied = head.method == Method::CONNECT
            || asks_for_upgrade(&head.headers)
            || head.headers.contains_key(Mirrored::HEADER)
            || self.options.bypass.matches(&RequestHead::from(head));
        if is_never_copied {
            return None;
        }
        // The user's code must not harm stable's calls.
        let is_mirrored = catch(|| self.options.select.is_mirrored(head)).unwrap_or(false);
        is_mirrored.then(|| Ticket::new(Arc::clone(self)))
    }

    /// Draws whether stable is sent a second copy of a call.
    pub(crate) fn draw_second(&self) -> bool {
        if self.noise_share.get() == Weight::ZERO {
            return false;
        }
        let take = |left: u32| left.checked_sub(1);
        self.warm_up.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
            || self.noise_share.draw()
    }

    pub(crate) fn lease(&self) -> Lease {
        Lease::new(Arc::clone(&self.memory))
    }

    pub(crate) fn memory_used(&self) -> usize {
        self.memory.used()
    }

    pub(crate) fn findings(&self) -> MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counts(&self) -> MirrorCounts {
        let head = self.findings().head.clone();
        self.counters.read(head)
    }
}

/// A share of calls that can be changed at any time.
pub(crate) struct Share(AtomicU32);

impl Share {
    const fn new(share: Weight) -> Self {
        Self(AtomicU32::new(share.ppm()))
    }

    pub(crate) fn get(&self) -> Weight {
        Weight::from_ppm(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn set(&self, share: Weight) {
        self.0.store(share.ppm(), Ordering::Relaxed);
    }

    /// Draws whether a call belongs to the share.
    pub(crate) fn draw(&self) -> bool {
        let share = self.get();
        share != Weight::ZERO && share.admits(draw())
    }
}

/// Without it, a small share would take long to learn what is random in each answer, and all that while it
/// would count as mismatches. Twenty answers find a field that differs in one of seven with 95 %.
const WARM_UP: u32 = 20;
