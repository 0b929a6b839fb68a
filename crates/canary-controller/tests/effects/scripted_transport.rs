//! A transport without a network, for tests with paused time.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use canary_controller::webhook::{SendFuture, Transport};
use http::{HeaderMap, Request, Response};
use tokio::time::Instant;

/// The requests of a scripted transport, and their times.
pub(crate) type RequestLog = Arc<Mutex<Vec<(Instant, Request<Bytes>)>>>;

/// Returns a transport that answers by the index of the request. It never answers if the status is
/// 0.
pub(crate) fn scripted(
    answer: impl Fn(usize) -> (u16, HeaderMap) + Send + Sync + 'static,
) -> (impl Transport, RequestLog) {
    let log = RequestLog::default();
    let own = Arc::clone(&log);
    let transport = move |request: Request<Bytes>, _: usize| -> SendFuture<'static> {
        let mut log = own.lock().unwrap();
        let (status, headers) = answer(log.len());
        log.push((Instant::now(), request));
        Box::pin(async move {
            if status == 0 {
                std::future::pending::<()>().await;
            }
            let mut response = Response::builder().status(status).body(Bytes::new()).unwrap();
            *response.headers_mut() = headers;
            Ok(response)
        })
    };
    (transport, log)
}

/// Returns the times between requests in milliseconds.
pub(crate) fn pauses(log: &RequestLog) -> Vec<u128> {
    let log = log.lock().unwrap();
    log.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_millis()).collect()
}
