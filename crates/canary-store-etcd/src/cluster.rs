use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use canary_controller::store::{CALL_DEADLINE, StoreError};
use tokio::time::{Instant, timeout_at};
use tonic::{Request, metadata::MetadataValue, transport::Channel};

use crate::{
    call::Call,
    endpoint::Endpoint,
    failure::{Failure, FailureKind},
    tokens::{Token, Tokens},
};

/// The members of an etcd cluster: calls go to one of them, and to the next if it fails.
pub(crate) struct Cluster {
    endpoints: Vec<Endpoint>,
    tokens: Option<Tokens>,
    /// The endpoint for the next call.
    preferred: AtomicUsize,
}

impl Cluster {
    /// Creates a cluster with at least one endpoint. Begins with a random one, so that replicas use
    /// different members.
    pub(crate) fn new(endpoints: Vec<Endpoint>, tokens: Option<Tokens>) -> Self {
        let preferred = AtomicUsize::new(rand::random_range(0..endpoints.len()));
        Self { endpoints, tokens, preferred }
    }

    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    pub(crate) const fn tokens(&self) -> Option<&Tokens> {
        self.tokens.as_ref()
    }

    /// Makes a call. Repeats it with the next endpoint as long as it had no effect and the deadline
    /// permits.
    pub(crate) async fn call<C: Call>(
        &self,
        operation: &str,
        deadline: Instant,
        call: &C,
    ) -> Result<C::Response, StoreError> {
        let count = self.endpoints.len();
        // A connection may have been broken for a while, which only a call reveals.
        let attempts = if C::CHANGES { count } else { count.max(2) };
        let first = self.preferred.load(Ordering::Relaxed);
        let mut causes: Vec<String> = Vec::new();
        let mut is_token_new = false;
        let mut attempt = 0;
        while attempt < attempts {
            let index = (first + attempt) % count;
            let until = if C::CHANGES {
                // After a change was sent, there is no other attempt.
                deadline
            } else {
                // Time for the endpoints that were not tried yet. A single one gets all of it: to ask
                // a slow server again would only make it slower.
                let left = deadline.saturating_duration_since(Instant::now());
                let untried = count.saturating_sub(attempt).max(1);
                Instant::now() + left / u32::try_from(untried).unwrap_or(u32::MAX)
            };
            let failure = match self.attempt(index, until, call.clone()).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            if failure.kind == FailureKind::InvalidToken && !is_token_new {
                is_token_new = true;
                continue;
            }
            attempt += 1;
            let cause = format!("{}: {}", self.endpoints[index], failure.cause);
            match failure.kind {
                FailureKind::Refused | FailureKind::InvalidToken => {
                    return Err(StoreError::refused(operation, cause));
                }
                FailureKind::Unavailable | FailureKind::Unanswered => {
                    self.avoid(index);
                    if failure.kind == FailureKind::Unanswered && C::CHANGES {
                        return Err(StoreError::unknown(operation, cause));
                    }
                    if !causes.contains(&cause) {
                        causes.push(cause);
                    }
                }
            }
        }
        Err(StoreError::unavailable(operation, causes.join("; ")))
    }

    /// Makes a call that returns a stream, with one endpoint.
    pub(crate) async fn open<C: Call>(
        &self,
        operation: &str,
        call: C,
    ) -> Result<C::Response, StoreError> {
        let index = self.preferred.load(Ordering::Relaxed);
        self.attempt(index, call_deadline(), call).await.map_err(|failure| {
            self.avoid(index);
            let cause = format!("{}: {}", self.endpoints[index], failure.cause);
            StoreError::unavailable(operation, cause)
        })
    }

    async fn attempt<C: Call>(
        &self,
        index: usize,
        until: Instant,
        call: C,
    ) -> Result<C::Response, Failure> {
        let endpoint = &self.endpoints[index];
        let (number, channel) = endpoint.connection();
        let late = |kind| {
            endpoint.discard(number);
            Failure::new(kind, "no response in time")
        };
        let token = match timeout_at(until, self.token(channel.clone())).await {
            Ok(token) => token?,
            Err(_) => return Err(late(FailureKind::Unavailable)),
        };
        let mut request = Request::new(());
        // A member without a leader then fails at once, and ends streams.
        request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
        if let Some(Token::Value(token)) = &token {
            request.metadata_mut().insert("token", token.clone());
        }
        match timeout_at(until, call.send(channel, request)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => {
                let failure = Failure::of(&status);
                if let (FailureKind::InvalidToken, Some(tokens), Some(token)) =
                    (failure.kind, &self.tokens, &token)
                {
                    tokens.discard(token).await;
                }
                Err(failure)
            }
            Err(_) => Err(late(FailureKind::Unanswered)),
        }
    }

    async fn token(&self, channel: Channel) -> Result<Option<Token>, Failure> {
        match &self.tokens {
            Some(tokens) => tokens.current(channel).await.map(Some),
            None => Ok(None),
        }
    }

    /// Makes the next call begin with another endpoint.
    fn avoid(&self, index: usize) {
        let next = (index + 1) % self.endpoints.len();
        // If another call has changed it, that is the newer information.
        let _ = self.preferred.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Returns the time at which a call that begins now has to end.
pub(crate) fn call_deadline() -> Instant {
    Instant::now() + CALL_DEADLINE - MARGIN
}

/// The time to return a result before [`CALL_DEADLINE`].
const MARGIN: Duration = Duration::from_millis(100);
