use std::{fmt, sync::Arc};

use canary_core::{CanaryName, Weight};

use crate::{
    findings::{counts::MirrorCounts, difference::Difference, field_counts::FieldCounts},
    mirror::Mirror,
};

/// Controls and observes a mirror.
///
/// Handles are cheap to clone and can be used on any thread.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_canary::Weight;
/// use tower_canary_mirror::MirrorLayer;
///
/// # let v2 = ();
/// let mirror = MirrorLayer::new("shop", v2).handle();
/// mirror.set_share("1%".parse()?);
/// // .. serve ..
/// let counts = mirror.counts();
/// println!("{} of {} responses differ", counts.mismatched, counts.mirrored);
/// for difference in mirror.differences() {
///     println!("{} {}: {}", difference.method, difference.path, difference.field);
/// }
/// mirror.set_share(Weight::ZERO);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MirrorHandle {
    mirror: Arc<Mirror>,
}

impl MirrorHandle {
    pub(crate) const fn new(mirror: Arc<Mirror>) -> Self {
        Self { mirror }
    }

    /// Sets the share of the eligible requests that are mirrored.
    ///
    /// It applies to new requests. Requests that are already mirrored continue.
    pub fn set_share(&self, share: Weight) {
        self.mirror.share.set(share);
    }

    /// Sets the share of the mirrored requests that are also sent to stable again, to measure
    /// noise.
    ///
    /// It applies to new requests.
    pub fn set_noise_share(&self, share: Weight) {
        self.mirror.noise_share.set(share);
    }

    /// Returns the name of the mirror.
    #[must_use]
    pub fn name(&self) -> &CanaryName {
        &self.mirror.name
    }

    /// Returns the share of the eligible requests that are mirrored.
    #[must_use]
    pub fn share(&self) -> Weight {
        self.mirror.share.get()
    }

    /// Returns the share of the mirrored requests that are also sent to stable again.
    #[must_use]
    pub fn noise_share(&self) -> Weight {
        self.mirror.noise_share.get()
    }

    /// Returns the counts of mirrored requests by outcome.
    #[must_use]
    pub fn counts(&self) -> MirrorCounts {
        self.mirror.counts()
    }

    /// Returns recent differences, latest first: up to three for each field, for up to 256 fields.
    #[must_use]
    pub fn differences(&self) -> Vec<Difference> {
        self.mirror.findings().fields.differences()
    }

    /// Returns the counts of differences and noise for each field that has differed, up to 256
    /// fields.
    #[must_use]
    pub fn fields(&self) -> Vec<FieldCounts> {
        self.mirror.findings().fields.counts()
    }

    /// Returns the number of comparisons with a difference in a field beyond the limit of 256
    /// fields.
    ///
    /// These count as mismatched.
    #[must_use]
    pub fn untracked_differences(&self) -> u64 {
        self.mirror.findings().fields.untracked()
    }

    /// Copies the counts to the recorder of the `metrics` crate; see [`metrics`](crate::metrics).
    #[cfg(feature = "metrics")]
    pub fn publish_metrics(&self) {
        crate::metrics::publish(&self.mirror);
    }

    /// Returns the memory held by all mirrored requests, in bytes.
    #[must_use]
    pub fn memory_used(&self) -> usize {
        self.mirror.memory_used()
    }
}

impl fmt::Debug for MirrorHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MirrorHandle")
            .field("name", self.name())
            .field("share", &self.share())
            .field("noise_share", &self.noise_share())
            .finish_non_exhaustive()
    }
}
