//! The keys of etcd for the keys of the store.

use bytes::Bytes;
use canary_controller::store::{KeyRange, StoreKey};

/// The key of a document: the store's key.
pub(crate) fn document(key: &StoreKey) -> Bytes {
    Bytes::copy_from_slice(key.as_str().as_bytes())
}

/// The first key of a range, and the first key after it.
pub(crate) fn range(range: &KeyRange) -> (Bytes, Bytes) {
    let start = range.as_str();
    (start.to_owned().into(), after_prefix(start))
}

/// The key of the number of the last event.
///
/// No store key has a `.`, so that no list reads the events of another key.
pub(crate) fn last_event(key: &StoreKey) -> Bytes {
    let prefix = key.prefix();
    let rest = &key.as_str()[1 + prefix.len()..];
    format!("/{prefix}/.events{rest}").into()
}

/// The key of an event. The order of the keys is that of the numbers.
pub(crate) fn event(last_event: &Bytes, number: u64) -> Bytes {
    let mut key = last_event.to_vec();
    key.extend_from_slice(format!("/{number:020}").as_bytes());
    key.into()
}

/// The first key after the events of `last_event`.
pub(crate) fn after_events(last_event: &Bytes) -> Bytes {
    let mut key = last_event.to_vec();
    key.push(AFTER_SLASH);
    key.into()
}

fn after_prefix(prefix: &str) -> Bytes {
    let mut key = prefix.trim_end_matches('/').as_bytes().to_vec();
    key.push(AFTER_SLASH);
    key.into()
}

/// The character after `/`.
const AFTER_SLASH: u8 = b'/' + 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_beside_the_documents_and_below_their_prefix() {
        let rollouts = KeyRange::rollouts("prod/shop").unwrap();
        let key = rollouts.key(&"checkout".parse().unwrap());
        let last = last_event(&key);
        assert_eq!(last, "/prod/shop/.events/v1/rollouts/checkout");
        assert_eq!(event(&last, 7), "/prod/shop/.events/v1/rollouts/checkout/00000000000000000007");
        let (start, end) = range(&rollouts);
        assert!(start < document(&key) && document(&key) < end);
        assert!(!(start..end).contains(&event(&last, 7)));
    }

    #[test]
    fn the_keys_of_events_are_ordered_by_number() {
        let last = last_event(&KeyRange::rollouts("a").unwrap().key(&"b".parse().unwrap()));
        let numbers = [0, 1, 9, 10, 999, 1000, u64::MAX];
        let keys: Vec<_> = numbers.map(|number| event(&last, number)).into();
        assert!(keys.is_sorted());
        assert!(keys.iter().all(|key| last < key && *key < after_events(&last)));
    }
}
