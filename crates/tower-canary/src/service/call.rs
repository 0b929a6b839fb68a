mod classification;
mod ending;
mod to_stable;

use std::{mem, sync::Arc};

use canary_core::{AssignmentReason, Channel, LatencyBucket, Weight};
use http::{Extensions, HeaderValue, Request, Response, header};
use http_body::Body;

use crate::{
    config::{caching, canary_config::CanaryConfig, classify::HeadClassification},
    control::{drain_signal::DrainSignal, state::Assigned},
    counting::{
        call_key::CallKey,
        clock::{TickInstant, nanos_of},
        counter_key::CounterKey,
        key_activity::KeyActivity,
        route_index::RouteIndex,
        shard_counters::{ChannelCounters, SharedCounters},
    },
    service::{
        assignment::Assignment,
        deadline::CallerDeadline,
        framing::{self, AnnouncedLength, Framing},
        mount_position::MountPosition,
        pending_answer::PendingAnswer,
        protocol::Protocol,
        request_body,
        request_headers::RequestHeaders,
        served_methods::Method,
        span::CallSpan,
        timer::Timer,
        upgraded_call::UpgradedCall,
        upload::Upload,
    },
};

pub(crate) use self::{classification::ResponseHead, to_stable::CanaryFailure};

/// One call, from its assignment to its end. It records its outcome exactly once.
///
/// The response future owns it, and then the response body. A call that is dropped before its end
/// counts as cancelled, unless its service panicked, its head was a failure or its deadline passed.
pub(crate) struct Call {
    counters: SharedCounters,
    /// When the channel got the call.
    started: TickInstant,
    /// The body of the request, unless it has none or its type is unknown. gRPC is taken to have
    /// one.
    upload: Option<Arc<Upload>>,
    /// The nanoseconds that another channel waited for the body.
    waited_before: u64,
    deadline: CallerDeadline,
    /// `None` if the request is not gRPC.
    method: Option<Method>,
    /// Shared with the [`Assignment`]s of a call whose connection may be upgraded.
    upgrade: Option<Arc<UpgradedCall>>,
    channel: Channel,
    reason: AssignmentReason,
    key: Option<CallKey>,
    route: Option<RouteIndex>,
    /// The cookie to set with the response.
    cookie: Option<Box<HeaderValue>>,
    #[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "only axum has routers"))]
    position: MountPosition,
    /// The protocol that the request claims, and from the response head on that of the call.
    protocol: Protocol,
    framing: Framing,
    /// Whether a part of the request may not have arrived, for a body whose type is unknown.
    may_be_arriving: bool,
    /// Whether the response head has not arrived and the call has not ended.
    is_unanswered: bool,
    /// `None` until the response head arrives.
    class: Option<HeadClassification>,
    /// Set while the service runs. If it is still set in `drop`, the service panicked.
    polling: bool,
    /// Whether the call holds permits of the canary's concurrency limits.
    has_permits: bool,
    /// Whether the caller may see the tags in the response head.
    shows_tags: bool,
    /// Whether the response head told the caller its channel, before the caller left.
    told_channel: bool,
    ended: bool,
}

impl Call {
    /// Creates a call that has just been assigned.
    pub(crate) fn new<B>(
        assigned: Assigned,
        position: MountPosition,
        headers: &RequestHeaders,
        request: &mut Request<B>,
    ) -> Self
    where
        B: 'static,
    {
        let framing = Framing::of(request.method());
        let config = &assigned.counters.config;
        let protocol = config.protocol.unwrap_or(headers.claims);
        let may_upgrade = framing.may_upgrade(headers);
        let has_no_body = framing::has_no_body(request, headers);
        let (deadline, method) = match protocol {
            Protocol::Grpc => {
                (headers.deadline, Some(config.served_methods.method(request.uri().path())))
            }
            Protocol::Http => (CallerDeadline::NONE, None),
        };
        let Assigned { counters, started, channel, reason, key, route, cookie } = assigned;
        let upload = if may_upgrade {
            None
        } else {
            // gRPC is taken to have a body; if it has none, the first poll shows it.
            request_body::follow(request, protocol == Protocol::Grpc, || {
                PendingAnswer::new(
                    counters.clone(),
                    CounterKey::new(channel, reason, route),
                    started,
                )
            })
        };
        let may_be_arriving = upload.is_none() && !has_no_body;
        // Without the request extension, no `Assignment` outlives the response of an upgraded call.
        let may_upgrade = counters.config.tags.request_extension && may_upgrade;
        Self {
            counters,
            started,
            upload,
            waited_before: 0,
            deadline,
            method,
            upgrade: may_upgrade.then(Arc::default),
            channel,
            reason,
            key,
            route,
            cookie,
            position,
            protocol,
            framing,
            may_be_arriving,
            is_unanswered: true,
            class: None,
            polling: false,
            has_permits: false,
            shows_tags: true,
            told_channel: false,
            ended: false,
        }
    }

    pub(crate) fn config(&self) -> &CanaryConfig {
        &self.counters.config
    }

    pub(crate) fn weight(&self) -> Weight {
        self.counters.weight()
    }

    pub(crate) const fn channel(&self) -> Channel {
        self.channel
    }

    pub(crate) fn is_canary(&self) -> bool {
        self.channel == Channel::Canary
    }

    /// Returns whether the request method is HEAD.
    pub(crate) fn is_head(&self) -> bool {
        self.framing == Framing::Never
    }

    pub(crate) const fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(crate) fn drain_signal(&self) -> &DrainSignal {
        &self.counters.drain_signals[self.channel]
    }

    pub(crate) fn span(&self) -> CallSpan {
        CallSpan::new(self.config(), self.channel, self.reason)
    }

    /// Lets the upload suspend the wait for stable's answer while stable waits for the caller.
    fn share_answer(&self, upload: &Upload) {
        let (counters, key) = (self.counters.clone(), self.counter_key());
        upload.expect_answer(PendingAnswer::new(counters, key, self.started));
    }

    pub(crate) fn upload(&self) -> Option<&Upload> {
        self.upload.as_deref()
    }

    pub(crate) fn timer(&self) -> Timer {
        Timer::start(self.config(), self.channel, self.upload())
    }

    #[cfg(feature = "axum")]
    pub(crate) fn rematch(&self) -> Option<&crate::axum::Rematch> {
        match self.position {
            MountPosition::Anywhere => self.config().rematch.as_ref(),
            MountPosition::AroundRouter => None,
        }
    }

    #[inline]
    pub(crate) fn tag_request(&self, extensions: &mut Extensions) {
        if self.config().tags.request_extension {
            extensions.insert(self.assignment(self.upgrade.clone()));
        }
    }

    pub(crate) const fn hide_tags(&mut self) {
        self.shows_tags = false;
    }

    #[inline]
    pub(crate) fn tag_response<R>(&mut self, response: &mut Response<R>) {
        let tags = &self.counters.config.tags;
        let is_told = self.shows_tags && tags.apply(self.channel, response.headers_mut());
        // A caller that broke off its upload before left without the head.
        self.told_channel = is_told && !self.is_broken_off();
        if let Some(cookie) = &self.cookie {
            response.headers_mut().append(header::SET_COOKIE, (**cookie).clone());
        }
        if self.must_stay_private() {
            caching::make_private(response.headers_mut());
        }
        if tags.response_extension {
            response.extensions_mut().insert(self.assignment(None));
        }
    }

    /// Returns whether no shared cache may store the response.
    ///
    /// If the tags are hidden, this includes stable's responses: a difference between the channels
    /// would tell the caller its channel.
    fn must_stay_private(&self) -> bool {
        let weight = self.weight();
        let is_split = weight < Weight::FULL
            && (self.is_canary() || (!self.shows_tags && weight > Weight::ZERO));
        let may_be_cached = self.protocol == Protocol::Http && !self.config().cacheable_canary;
        (is_split && may_be_cached) || self.cookie.is_some()
    }

    fn assignment(&self, upgrade: Option<Arc<UpgradedCall>>) -> Assignment {
        Assignment::new(self.counters.clone(), self.channel, self.reason, self.key, upgrade)
    }

    pub(crate) fn set_polling(&mut self, polling: bool) {
        self.polling = polling;
    }

    pub(crate) const fn is_polling(&self) -> bool {
        self.polling
    }

    /// Tags a response, and ends the call if there is no body.
    ///
    /// Otherwise it returns the length of the body in bytes, if it is known.
    #[inline]
    pub(crate) fn send_head<R: Body>(
        &mut self,
        response: &mut Response<R>,
        head: ResponseHead,
    ) -> Option<u64> {
        self.tag_response(response);
        let ResponseHead { latency, announced, ends } = head;
        let status = response.status();
        self.polling = true;
        let length = match announced {
            _ if ends => None,
            AnnouncedLength::Bytes(bytes) => Some(bytes),
            // Without the header, hyper adds one with the exact size of the body.
            AnnouncedLength::None => response.body().size_hint().exact(),
            AnnouncedLength::Invalid => None,
        };
        self.polling = false;
        let upgrade = self.upgrade.take().filter(|_| self.framing.upgrades(status));
        if ends && upgrade.is_none() {
            let end = self.end_of_response(Some(response.headers()));
            self.end_with_head(latency, end);
            return None;
        }
        self.record_key(KeyActivity::head(latency));
        self.count(move |counters| counters.head(latency));
        if let Some(upgrade) = upgrade {
            upgrade.park(self.successor());
        }
        length
    }

    fn is_broken_off(&self) -> bool {
        self.upload().is_some_and(Upload::is_broken_off)
    }

    #[inline]
    fn latency_at(&self, now: TickInstant) -> LatencyBucket {
        LatencyBucket::of_nanos(self.nanos_until(now))
    }

    /// Counts that the call waits no longer for its head: it arrived, or the call ends without one.
    #[inline]
    fn count_answer(&mut self, now: TickInstant) {
        if mem::take(&mut self.is_unanswered) {
            match &self.upload {
                Some(upload) => upload.record_answer(now),
                None => {
                    let started = self.started;
                    self.count(move |counters| counters.answer(started, now));
                }
            }
        }
    }

    /// Returns the time since the channel got the call, without the time in which it waited for
    /// the body of the request.
    #[inline]
    fn nanos_until(&self, now: TickInstant) -> u64 {
        let elapsed = now.nanos_since(self.started);
        match self.upload() {
            Some(_) => {
                elapsed.saturating_sub(self.waited_nanos().saturating_sub(self.waited_before))
            }
            None => elapsed,
        }
    }

    fn waited_nanos(&self) -> u64 {
        self.upload().map_or(0, |upload| nanos_of(upload.waited()))
    }

    fn count(&self, count: impl Fn(&ChannelCounters) + Copy) {
        self.counters.count(self.counter_key(), count);
    }

    const fn counter_key(&self) -> CounterKey {
        CounterKey::new(self.channel, self.reason, self.route)
    }

    fn record_key(&self, activity: KeyActivity) {
        if let Some(key) = self.key {
            self.counters.record_key(key, self.counter_key(), activity);
        }
    }

    /// Returns the call of the upgraded connection, which records the outcome in place of `self`.
    fn successor(&mut self) -> Self {
        self.ended = true;
        let (counters, has_permits) = (self.counters.clone(), mem::take(&mut self.has_permits));
        let upload = self.upload.take();
        Self { counters, upload, upgrade: None, cookie: None, has_permits, ended: false, ..*self }
    }
}
