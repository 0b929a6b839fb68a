use std::{fmt, sync::Arc};

use canary_core::{CanaryName, Weight};

use crate::{counts::MirrorCounts, fields::Difference, noise::FieldCounts, state::Mirror};

/// Controls a mirror and reads what it found, from anywhere in the process.
///
/// Handles are cheap to clone.
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
/// println!("{} of {} answers differ", counts.mismatched, counts.copied);
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
    pub(super) const fn new(mirror: Arc<Mirror>) -> Self {
        Self { mirror }
    }

    /// The name that the mirror was given.
    #[must_use]
    pub fn name(&self) -> &CanaryName {
        &self.mirror.name
    }

    /// The share of the calls that are copied, of those that may be.
    #[must_use]
    pub fn share(&self) -> Weight {
        self.mirror.share.get()
    }

    /// Copies this share of the calls that start from now on. Copies that were made go on.
    pub fn set_share(&self, share: Weight) {
        self.mirror.share.set(share);
    }

    /// The share of the copied calls that stable is sent a second time.
    #[must_use]
    pub fn noise_share(&self) -> Weight {
        self.mirror.noise_share.get()
    }

    /// Sends stable a second copy of this share of the copied calls that start from now on.
    pub fn set_noise_share(&self, share: Weight) {
        self.mirror.noise_share.set(share);
    }

    /// What became of the copies.
    #[must_use]
    pub fn counts(&self) -> MirrorCounts {
        self.mirror.counts()
    }

    /// Differences to look at, the latest first: up to three of each field, of up to 256 fields.
    #[must_use]
    pub fn differences(&self) -> Vec<Difference> {
        self.mirror.findings().fields.sample()
    }

    /// How often each field differed, and whether it is noise.
    #[must_use]
    pub fn fields(&self) -> Vec<FieldCounts> {
        self.mirror.findings().fields.counts()
    }

    /// Calls with a difference in a field that was not told apart, since 256 fields had differed before.
    /// They are mismatches.
    #[must_use]
    pub fn beyond_fields(&self) -> u64 {
        self.mirror.findings().fields.beyond()
    }

    /// Copies the counts to the recorder of the `metrics` crate; see [`tower_canary::metrics`].
    #[cfg(feature = "metrics")]
    pub fn publish_metrics(&self) {
        crate::metrics::publish(&self.mirror);
    }

    /// The bytes that all copies hold now.
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
