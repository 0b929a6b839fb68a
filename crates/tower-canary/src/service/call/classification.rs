//! Decides from the response what the outcome of a call is.

use canary_core::{Channel, LatencyBucket};
use http::{HeaderMap, Response, StatusCode};
use http_body::Body;

use crate::{
    config::{
        classify::{Classification, HeadClassification},
        grpc_code::GrpcCode,
    },
    counting::{call_end::CallEnd, clock::TickInstant},
    service::{
        call::Call,
        framing::{self, AnnouncedLength},
        protocol::Protocol,
        response_headers::ResponseHeaders,
    },
};

/// What the head of a response shows before it is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseHead {
    pub(crate) latency: LatencyBucket,
    pub(super) announced: AnnouncedLength,
    /// Whether the response has no body.
    pub(super) ends: bool,
}

impl Call {
    /// Classifies the response head.
    #[inline]
    pub(crate) fn classify_head<R: Body>(&mut self, response: &mut Response<R>) -> ResponseHead {
        let now = TickInstant::now();
        self.count_answer(now);
        let latency = self.latency_at(now);
        self.polling = true;
        let config = &self.counters.config;
        let headers = ResponseHeaders::of(response.headers(), self.protocol);
        if config.protocol.is_none() {
            self.protocol = self.protocol.confirmed_by(headers.is_grpc);
        }
        let (status, is_at_end) = (response.status(), response.body().is_end_stream());
        let has_no_body = self.framing.has_no_body(status);
        let announced = if has_no_body { AnnouncedLength::None } else { headers.announced };
        let is_broken = match announced {
            AnnouncedLength::Invalid => true,
            AnnouncedLength::Bytes(1..) => is_at_end,
            AnnouncedLength::Bytes(0) | AnnouncedLength::None => framing::is_interim(status),
        };
        let code = match self.protocol {
            Protocol::Grpc => GrpcCode::of_head(status, headers.grpc_status),
            Protocol::Http => None,
        };
        let class = if is_broken || self.is_timeout(status) {
            HeadClassification::Final(Classification::Failure)
        } else {
            code.and_then(|code| self.client_made(code))
                .map(HeadClassification::Final)
                .unwrap_or_else(|| config.classify.head(self.protocol, code, response))
        };
        self.class = Some(class);
        self.polling = false;
        if self.channel == Channel::Stable {
            config.served_methods.record_response();
        }
        ResponseHead { latency, announced, ends: is_at_end || has_no_body }
    }

    /// Returns whether the service reports a timeout of its own: the caller was not late.
    fn is_timeout(&self, status: StatusCode) -> bool {
        status == StatusCode::REQUEST_TIMEOUT
            && !self.may_be_arriving
            && !self.upload.as_ref().is_some_and(|upload| upload.is_missing())
    }

    /// Returns `ClientMade` if the caller asked for a method that stable does not serve, as far as
    /// the layer has seen.
    fn client_made(&self, code: GrpcCode) -> Option<Classification> {
        let served = &self.config().served_methods;
        let is_unserved = |method| !served.contains(method);
        let is_unknown = code == GrpcCode::UNIMPLEMENTED
            && served.has_response()
            && self.method.is_none_or(is_unserved);
        is_unknown.then_some(Classification::ClientMade)
    }

    /// Returns whether the head alone shows a failure.
    pub(crate) fn head_is_failure(&self) -> bool {
        self.class == Some(HeadClassification::Final(Classification::Failure))
    }

    /// Returns the end of a call whose response ended with these trailers, or with this head.
    pub(super) fn end_of_response(&self, trailers: Option<&HeaderMap>) -> CallEnd {
        let class = match (self.class, self.protocol) {
            (Some(HeadClassification::Final(class)), Protocol::Http) => class,
            (_, Protocol::Http) => {
                self.config().classify.trailers(self.protocol, GrpcCode::UNKNOWN, trailers)
            }
            (class, Protocol::Grpc) => self.end_of_grpc(class, trailers),
        };
        match class {
            Classification::Success => CallEnd::Success,
            Classification::ClientMade => CallEnd::ClientMade,
            Classification::Failure => CallEnd::Failure,
        }
    }

    fn end_of_grpc(
        &self,
        class: Option<HeadClassification>,
        trailers: Option<&HeaderMap>,
    ) -> Classification {
        let code = GrpcCode::of_trailers(trailers);
        if code == GrpcCode::OK
            && self.channel == Channel::Stable
            && let Some(method) = self.method
        {
            self.config().served_methods.add(method);
        }
        match class {
            Some(HeadClassification::Final(class)) => class,
            Some(HeadClassification::AtEnd) | None => self
                .client_made(code)
                .unwrap_or_else(|| self.config().classify.trailers(self.protocol, code, trailers)),
        }
    }

    /// Returns whether the caller of a gRPC method left because its deadline passed.
    ///
    /// The caller chooses the deadline and claims the protocol. So stable must be known to serve
    /// the method, and to respond within the deadline usually. Before the first response of stable,
    /// there is nothing to compare with.
    pub(super) fn missed_deadline(&self) -> bool {
        if !self.deadline.is_missed_after(|| self.nanos_until(TickInstant::now())) {
            return false;
        }
        let served = &self.config().served_methods;
        let is_served = self.method.is_some_and(|method| served.contains(method));
        let usual = self.counters.usual_latency();
        !served.has_response()
            || (is_served && !usual.is_some_and(|usual| self.deadline.is_shorter_than(usual)))
    }
}
