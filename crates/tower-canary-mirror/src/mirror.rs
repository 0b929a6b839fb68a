use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use canary_core::{CanaryName, Latencies, PerChannel, Weight};
use http::{Method, Request};
use tokio::sync::Semaphore;
use tower_canary::{
    internal::{catch, draw},
    select::RequestHead,
};

use crate::{
    copy::budget::{MemoryBudget, Reservation},
    findings::{
        counts::{Counters, MirrorCounts},
        fields::FieldTracker,
    },
    framing::asks_for_upgrade,
    mirrored::Mirrored,
    options::MirrorOptions,
};

/// The state that the services, handles and tasks of a mirror share.
pub(crate) struct Mirror {
    pub(crate) name: CanaryName,
    pub(crate) share: Share,
    pub(crate) noise_share: Share,
    pub(crate) options: MirrorOptions,
    pub(crate) counters: Counters,
    /// Bounds the requests that are queued or in progress.
    pub(crate) slots: Arc<Semaphore>,
    /// Bounds the requests in progress, at the canary or at stable for noise.
    pub(crate) permits: Semaphore,
    /// How many more requests measure noise regardless of the share.
    warm_up: AtomicU32,
    budget: Arc<MemoryBudget>,
    findings: Mutex<Findings>,
}

/// The results of comparisons. Calls of stable never lock them.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) fields: FieldTracker,
    pub(crate) head: PerChannel<Latencies>,
}

impl Mirror {
    pub(crate) fn new(name: CanaryName, options: MirrorOptions) -> Self {
        let slots = options.queue_limit.saturating_add(options.concurrency_limit);
        let permits = |count: usize| count.min(Semaphore::MAX_PERMITS);
        Self {
            name,
            share: Share::new(options.share),
            noise_share: Share::new(options.noise_share),
            counters: Counters::default(),
            slots: Arc::new(Semaphore::new(permits(slots))),
            permits: Semaphore::new(permits(options.concurrency_limit)),
            warm_up: AtomicU32::new(WARM_UP),
            budget: Arc::new(MemoryBudget::new(options.memory_limit)),
            findings: Mutex::default(),
            options,
        }
    }

    /// Returns whether `request` is eligible for mirroring.
    pub(crate) fn may_mirror<B>(&self, request: &Request<B>) -> bool {
        let MirrorOptions { bypass, only, .. } = &self.options;
        let headers = request.headers();
        let head = RequestHead::new(request);
        if *request.method() == Method::CONNECT
            || asks_for_upgrade(headers)
            || headers.contains_key(Mirrored::HEADER)
            || bypass.matches(&head)
        {
            return false;
        }
        // A panic of the user's condition must not fail stable's call.
        catch(|| only.matches(&head)).unwrap_or(false)
    }

    /// Draws whether a mirrored request is sent to stable again to measure noise.
    pub(crate) fn draw_noise(&self) -> bool {
        if self.noise_share.get() == Weight::ZERO {
            return false;
        }
        let decrement = |left: u32| left.checked_sub(1);
        self.warm_up.fetch_update(Ordering::Relaxed, Ordering::Relaxed, decrement).is_ok()
            || self.noise_share.draw()
    }

    /// Returns an empty reservation of the memory budget.
    pub(crate) fn reservation(&self) -> Reservation {
        Reservation::new(Arc::clone(&self.budget))
    }

    pub(crate) fn memory_used(&self) -> usize {
        self.budget.used()
    }

    pub(crate) fn findings(&self) -> MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counts(&self) -> MirrorCounts {
        let head = self.findings().head.clone();
        self.counters.read(head)
    }
}

/// A share that can change at any time.
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

/// The number of requests that measure noise regardless of the noise share. Otherwise, at a small
/// share, fields that always differ would count as mismatches for a long time. With 95 %
/// probability, twenty responses detect a field that differs in one of seven.
const WARM_UP: u32 = 20;
