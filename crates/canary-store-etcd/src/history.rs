//! Events: keys that are numbered, beside a key with the number of the last event.

use bytes::Bytes;
use canary_controller::store::{EventRecord, StoreError, StoreKey};
use tokio::time::Instant;

use crate::{
    cluster::{Cluster, call_deadline},
    keys,
    proto::{
        KeyValue, RangeRequest, TxnRequest, compare::CompareResult, compares, operations,
        range_request::SortOrder,
    },
};

/// Stores an event under the next number, and removes the event that is then one too many.
pub(crate) async fn append(
    cluster: &Cluster,
    key: &StoreKey,
    event: &EventRecord,
) -> Result<(), StoreError> {
    let operation = format!("append an event to {key}");
    let deadline = call_deadline();
    let last = keys::last_event(key);
    let range = RangeRequest { key: last.clone(), ..RangeRequest::default() };
    let mut stored = cluster.call(&operation, deadline, &range).await?.kvs.into_iter().next();
    while Instant::now() < deadline {
        let number = last_number(&operation, stored.as_ref())?.saturating_add(1);
        let condition = match &stored {
            None => compares::is_absent(&last),
            Some(it) => compares::value(&last, CompareResult::Equal, it.value.clone()),
        };
        let first_kept = (number + 1).saturating_sub(EventRecord::MIN_KEPT as u64);
        let transaction = TxnRequest {
            compare: vec![condition],
            success: vec![
                operations::put(&last, number.to_string()),
                operations::put(&keys::event(&last, number), event.as_bytes().clone()),
                operations::delete_range(keys::event(&last, 0), keys::event(&last, first_kept)),
            ],
            failure: vec![operations::read(&last)],
        };
        let response = cluster.call(&operation, deadline, &transaction).await?;
        if response.succeeded {
            return Ok(());
        }
        stored = response.read();
    }
    Err(StoreError::unavailable(operation, "too many other writers append events"))
}

/// Reads the last events, oldest first.
pub(crate) async fn events(
    cluster: &Cluster,
    key: &StoreKey,
    limit: usize,
) -> Result<Vec<EventRecord>, StoreError> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let last = keys::last_event(key);
    let range = RangeRequest {
        key: keys::event(&last, 0),
        range_end: keys::after_events(&last),
        limit: i64::try_from(limit).unwrap_or(i64::MAX),
        sort_order: SortOrder::Descend.into(),
    };
    let operation = format!("read the events of {key}");
    let response = cluster.call(&operation, call_deadline(), &range).await?;
    Ok(response.kvs.into_iter().rev().filter_map(|stored| parse(&stored)).collect())
}

fn parse(stored: &KeyValue) -> Option<EventRecord> {
    EventRecord::try_new(stored.value.clone())
        .inspect_err(|error| {
            let key = String::from_utf8_lossy(&stored.key);
            tracing::warn!(%key, %error, "ignored a value of the history that is no event");
        })
        .ok()
}

fn last_number(operation: &str, stored: Option<&KeyValue>) -> Result<u64, StoreError> {
    let Some(stored) = stored else { return Ok(0) };
    let parse = |value: &Bytes| str::from_utf8(value).ok()?.parse().ok();
    parse(&stored.value).ok_or_else(|| {
        let (key, value) = (&stored.key, &stored.value);
        let cause = format!("{key:?} has the value {value:?}: expected the number of an event");
        StoreError::refused(operation, cause)
    })
}
