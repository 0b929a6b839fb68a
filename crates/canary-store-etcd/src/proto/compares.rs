//! Conditions of transactions.

use bytes::Bytes;

use super::{
    Compare,
    compare::{CompareResult, CompareTarget, TargetUnion},
};

/// The key does not exist.
pub(crate) fn is_absent(key: &Bytes) -> Compare {
    compare(key, CompareResult::Equal, CompareTarget::Version, TargetUnion::Version(0))
}

/// The last change of the key has this revision of the store.
pub(crate) fn mod_revision(key: &Bytes, revision: i64) -> Compare {
    let revision = TargetUnion::ModRevision(revision);
    compare(key, CompareResult::Equal, CompareTarget::Mod, revision)
}

/// The value of the key compares to the bytes in this way.
pub(crate) fn value(key: &Bytes, result: CompareResult, value: Bytes) -> Compare {
    compare(key, result, CompareTarget::Value, TargetUnion::Value(value))
}

/// A condition that no key fulfills.
pub(crate) fn never(key: &Bytes) -> Compare {
    mod_revision(key, -1)
}

fn compare(
    key: &Bytes,
    result: CompareResult,
    target: CompareTarget,
    target_union: TargetUnion,
) -> Compare {
    Compare {
        result: result.into(),
        target: target.into(),
        key: key.clone(),
        target_union: Some(target_union),
    }
}
