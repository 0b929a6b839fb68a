use futures_util::stream::{self, StreamExt};
use tonic::{Request, Response, Status, Streaming, transport::Channel};

use crate::proto::{
    RangeRequest, RangeResponse, TxnRequest, TxnResponse, WatchCreateRequest, WatchRequest,
    WatchResponse, kv_client::KvClient, watch_client::WatchClient, watch_request::RequestUnion,
};

/// A request to etcd.
pub(crate) trait Call: Clone + Send {
    type Response: Send;

    /// Whether the request may change the store, so that it must not be repeated without thought.
    const CHANGES: bool;

    /// Sends the request, with the metadata of `context`.
    fn send(
        self,
        channel: Channel,
        context: Request<()>,
    ) -> impl Future<Output = Result<Response<Self::Response>, Status>> + Send;
}

impl Call for RangeRequest {
    type Response = RangeResponse;

    const CHANGES: bool = false;

    async fn send(
        self,
        channel: Channel,
        context: Request<()>,
    ) -> Result<Response<RangeResponse>, Status> {
        let mut client = KvClient::new(channel).max_decoding_message_size(MAX_RESPONSE_LEN);
        client.range(context.map(|()| self)).await
    }
}

impl Call for TxnRequest {
    type Response = TxnResponse;

    const CHANGES: bool = true;

    async fn send(
        self,
        channel: Channel,
        context: Request<()>,
    ) -> Result<Response<TxnResponse>, Status> {
        let mut client = KvClient::new(channel).max_decoding_message_size(MAX_RESPONSE_LEN);
        client.txn(context.map(|()| self)).await
    }
}

impl Call for WatchCreateRequest {
    type Response = Streaming<WatchResponse>;

    const CHANGES: bool = false;

    async fn send(
        self,
        channel: Channel,
        context: Request<()>,
    ) -> Result<Response<Self::Response>, Status> {
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(self)) };
        // The end of the requests would end the watch.
        let requests = stream::iter([create]).chain(stream::pending());
        let mut client = WatchClient::new(channel).max_decoding_message_size(MAX_RESPONSE_LEN);
        client.watch(context.map(|()| requests)).await
    }
}

/// More than a page of values of the maximum size that etcd accepts by default, 1.5 MiB.
const MAX_RESPONSE_LEN: usize = 64 * 1024 * 1024;
