//! Operations of transactions, and their results.

use bytes::Bytes;

use super::{
    DeleteRangeRequest, KeyValue, PutRequest, RangeRequest, RequestOp, TxnResponse,
    request_op::Request, response_op::Response,
};

/// Reads a key.
pub(crate) fn read(key: &Bytes) -> RequestOp {
    let range = RangeRequest { key: key.clone(), ..RangeRequest::default() };
    operation(Request::RequestRange(range))
}

/// Stores a value.
pub(crate) fn put(key: &Bytes, value: impl Into<Bytes>) -> RequestOp {
    operation(Request::RequestPut(PutRequest { key: key.clone(), value: value.into() }))
}

/// Removes a key.
pub(crate) fn delete(key: &Bytes) -> RequestOp {
    delete_range(key.clone(), Bytes::new())
}

/// Removes all keys from `key` up to, but without, `range_end`.
pub(crate) fn delete_range(key: Bytes, range_end: Bytes) -> RequestOp {
    operation(Request::RequestDeleteRange(DeleteRangeRequest { key, range_end }))
}

const fn operation(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

impl TxnResponse {
    /// Returns the revision of the store after the transaction.
    pub(crate) fn revision(&self) -> i64 {
        self.header.as_ref().map_or(0, |header| header.revision)
    }

    /// Returns the key that the first operation has read.
    pub(crate) fn read(self) -> Option<KeyValue> {
        match self.responses.into_iter().next()?.response? {
            Response::ResponseRange(range) => range.kvs.into_iter().next(),
            Response::ResponsePut(_) | Response::ResponseDeleteRange(_) => None,
        }
    }
}
