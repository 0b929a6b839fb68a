//! How values of `canary-core`, which knows no serde, are written.

use canary_core::{PerChannel, Verdict};
use serde::{Serializer, ser::SerializeMap};

pub(crate) fn verdict<S: Serializer>(verdict: &Verdict, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(verdict.as_str())
}

pub(crate) fn per_channel<S: Serializer>(
    counts: &PerChannel<u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(2))?;
    map.serialize_entry("stable", &counts.stable)?;
    map.serialize_entry("canary", &counts.canary)?;
    map.end()
}
