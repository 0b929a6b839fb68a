use std::{num::NonZeroU64, sync::Arc};

use canary_core::{AssignmentReason, Channel, LatencyBucket, Outcome, Weight};
use http::{Extensions, HeaderMap, HeaderValue, Request, Response};
use http_body::Body;

use crate::{
    config::{
        canary_config::Config,
        classify::{Class, HeadClass},
    },
    control::{drain_signal::Lifeline, state::Assigned},
    counting::{
        clock::{Moment, nanos_of},
        key_watch::KeyEventKind,
        route_classes::RouteIndex,
        shard_counters::{Account, Cells, Place, SharedTally},
    },
    select::{Incoming, StickyKey},
    service::{
        assignment::Assignment,
        fallback::Fallback,
        framing::BodyRule,
        layer::Position,
        layer_response::Refusal,
        protocol::{Protocol, grpc_timeout},
        response_body::length_of,
        upgraded_call::Upgrade,
    },
};

/// One call, from assignment to end: it counts itself, exactly once, whatever happens.
///
/// It lives in the future, then in the body. A call that is dropped unended was left by its caller,
/// unless it panicked or ran into its deadline.
pub(crate) struct Call {
    tally: SharedTally,
    started: Moment,
    /// In nanoseconds from the start.
    deadline: Option<NonZeroU64>,
    upgrade: Option<Arc<Upgrade>>,
    channel: Channel,
    reason: AssignmentReason,
    key: Option<StickyKey>,
    route: Option<RouteIndex>,
    /// To be set with the response.
    cookie: Option<Box<HeaderValue>>,
    #[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "only axum has routers"))]
    position: Position,
    protocol: Protocol,
    body_rule: BodyRule,
    /// None until the head of the response came.
    class: Option<HeadClass>,
    /// Whether the service is running, or panicked: found set in `drop`, it did.
    polling: bool,
    /// Whether it counts against the canary's limit of concurrent calls.
    has_place: bool,
    ended: bool,
}

/// How the canary failed a call that stable repeats.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Failure {
    Error,
    /// The head of its response says so, which took this long.
    Head(LatencyBucket),
    Refused(Refusal),
}

impl Call {
    /// Takes over a call that was just assigned.
    pub(crate) fn new<B>(assigned: Assigned, position: Position, request: &Request<B>) -> Self {
        let body_rule = BodyRule::of(request.method());
        let protocol = Protocol::of(request);
        let deadline = match protocol {
            // At least one: a time that is over from the start is over.
            Protocol::Grpc => grpc_timeout(request.headers())
                .and_then(|timeout| NonZeroU64::new(nanos_of(timeout).max(1))),
            Protocol::Http => None,
        };
        let Assigned { tally, channel, reason, key, route, cookie } = assigned;
        // Without the extension nobody can hold on to an upgraded connection.
        let may_be_held = tally.config.tags.request_extension && body_rule.may_upgrade(request);
        Self {
            tally,
            started: Moment::now(),
            deadline,
            upgrade: may_be_held.then(Arc::default),
            channel,
            reason,
            key,
            route,
            cookie,
            position,
            protocol,
            body_rule,
            class: None,
            polling: false,
            has_place: false,
            ended: false,
        }
    }

    /// Takes a place among the canary's concurrent calls; false, if all are taken.
    ///
    /// At full weight there is always one more: stable may be gone.
    pub(crate) fn take_place(&mut self) -> bool {
        let Some(places) = &self.config().places else { return true };
        let has_place = match self.tally.weight() {
            Weight::FULL => {
                places.take();
                true
            }
            _ => places.try_take(),
        };
        self.has_place = has_place;
        has_place
    }

    fn give_place_back(&mut self) {
        if std::mem::take(&mut self.has_place)
            && let Some(places) = &self.config().places
        {
            places.give_back();
        }
    }

    /// By what stable may repeat the call, should the canary fail it.
    pub(crate) fn fallback_for<B>(&self, request: &Request<B>) -> Option<&Fallback> {
        let Config { name, fallback, .. } = self.config();
        let fallback = fallback.as_ref()?;
        // At full weight stable may be gone.
        let may_be_repeated = !self.body_rule.may_upgrade(request)
            && self.tally.weight() != Weight::FULL
            && fallback.may_repeat(&Incoming::new(request, name, &self.tally.terms));
        may_be_repeated.then_some(fallback)
    }

    pub(crate) fn config(&self) -> &Config {
        &self.tally.config
    }

    #[cfg(feature = "axum")]
    pub(crate) fn rematch(&self) -> Option<&crate::axum::Rematch> {
        match self.position {
            Position::Anywhere => self.config().rematch.as_ref(),
            Position::AroundRouter => None,
        }
    }

    pub(crate) fn weight(&self) -> Weight {
        self.tally.weight()
    }

    pub(crate) const fn channel(&self) -> Channel {
        self.channel
    }

    pub(crate) fn is_canary(&self) -> bool {
        self.channel == Channel::Canary
    }

    #[cfg(feature = "tracing")]
    pub(crate) const fn reason(&self) -> AssignmentReason {
        self.reason
    }

    pub(crate) const fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(crate) fn lifeline(&self) -> &Lifeline {
        &self.tally.lifelines[self.channel]
    }

    /// Tells the handler about the call.
    pub(crate) fn tag_request(&self, extensions: &mut Extensions) {
        if self.config().tags.request_extension {
            extensions.insert(self.assignment(self.upgrade.clone()));
        }
    }

    /// Gives the call to stable, since the canary has no place for it.
    pub(crate) fn shed(&mut self) {
        self.count(Cells::shed);
        self.spill();
    }

    /// Gives the call to stable, since the canary was not ready for it.
    pub(crate) fn spill(&mut self) {
        // Stable's pick comes first: an epoch of which no call is in flight is given up.
        self.tally.pick(Channel::Stable, AssignmentReason::Spilled, self.key, self.route);
        self.give_place_back();
        self.note_key(KeyEventKind::Failed);
        self.count(Cells::spill);
        self.lifeline().call_ended();
        self.tell_of_failure();
        self.go_to_stable(AssignmentReason::Spilled);
    }

    /// Gives the call to stable, since the canary failed it. It counts as a failure of the canary, and
    /// as a call of stable's from now on.
    pub(crate) fn fall_back(&mut self, failure: Failure) {
        self.tally.pick(Channel::Stable, AssignmentReason::FellBack, self.key, self.route);
        self.count(Cells::fall_back);
        match failure {
            Failure::Error => self.fail(),
            Failure::Head(latency) => self.end_with_head(latency, Outcome::Failure),
            Failure::Refused(refusal) => self.break_down(refusal),
        }
        self.class = None;
        self.polling = false;
        self.ended = false;
        self.go_to_stable(AssignmentReason::FellBack);
    }

    const fn go_to_stable(&mut self, reason: AssignmentReason) {
        self.channel = Channel::Stable;
        self.reason = reason;
    }

    pub(crate) fn set_polling(&mut self, polling: bool) {
        self.polling = polling;
    }

    /// Looks at the response's head, and says how long it took.
    #[inline]
    pub(crate) fn look_at_head<R>(&mut self, response: &mut Response<R>) -> LatencyBucket {
        let latency = self.latency();
        self.polling = true;
        self.class = Some(self.config().classify.head(self.protocol, response));
        self.polling = false;
        latency
    }

    /// Whether the head alone said that the service failed.
    pub(crate) fn head_is_failure(&self) -> bool {
        self.class == Some(HeadClass::Now(Class::Failure))
    }

    /// Tags the response, which is to go out, and whose head took `latency`. If it ends with its head, so
    /// does the call; else says how many bytes of it are to come, if that is known.
    #[inline]
    pub(crate) fn send_head<R: Body>(
        &mut self,
        response: &mut Response<R>,
        latency: LatencyBucket,
    ) -> Option<u64> {
        self.tag_response(response);
        let status = response.status();
        self.polling = true;
        let ends = response.body().is_end_stream() || self.body_rule.has_no_body(status);
        let to_come = match self.protocol {
            Protocol::Http if !ends => length_of(response),
            Protocol::Http | Protocol::Grpc => None,
        };
        self.polling = false;
        // An upgrade that nobody listens to ends with the head.
        let upgrade = self.upgrade.take().filter(|_| self.body_rule.upgrades(status));
        if ends && upgrade.is_none() {
            self.end_with_head(latency, self.class_at_end(None));
            return None;
        }
        self.count(|cells| cells.head(latency));
        if let Some(upgrade) = upgrade {
            upgrade.park(self.successor());
        }
        to_come
    }

    /// Ends the call with its response. What the head left open, the trailers decide.
    pub(crate) fn end_of_body(&mut self, trailers: Option<&HeaderMap>) {
        self.end(self.class_at_end(trailers));
    }

    pub(crate) fn fail(&mut self) {
        self.end(Outcome::Failure);
    }

    pub(crate) fn cancel(&mut self) {
        self.end(Outcome::Cancelled);
    }

    pub(crate) fn panic(&mut self) {
        self.break_down(Refusal::Panicked);
    }

    pub(crate) fn break_down(&mut self, refusal: Refusal) {
        if !self.ended {
            self.count(|cells| match refusal {
                Refusal::Panicked => cells.panic(),
                Refusal::TimedOut => cells.time_out(),
            });
            self.fail();
        }
    }

    pub(crate) const fn is_polling(&self) -> bool {
        self.polling
    }

    pub(crate) const fn has_ended(&self) -> bool {
        self.ended
    }

    fn end(&mut self, outcome: Outcome) {
        let latency = self.latency();
        self.end_as(outcome, |cells| cells.end(outcome, latency));
    }

    fn end_with_head(&mut self, latency: LatencyBucket, outcome: Outcome) {
        self.end_as(outcome, |cells| {
            cells.head(latency);
            cells.end(outcome, latency);
        });
    }

    #[inline]
    fn latency(&self) -> LatencyBucket {
        LatencyBucket::of_nanos(self.started.elapsed_nanos())
    }

    #[inline]
    fn end_as(&mut self, outcome: Outcome, count: impl Fn(&Cells)) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        // First, so that whoever sees the call ended finds its place free.
        self.give_place_back();
        match outcome {
            Outcome::Success => {}
            Outcome::Failure => self.note_key(KeyEventKind::Failed),
            Outcome::Cancelled => self.note_key(KeyEventKind::Cancelled),
        }
        self.count(count);
        self.lifeline().call_ended();
        if outcome == Outcome::Failure && self.is_canary() {
            self.tell_of_failure();
        }
    }

    fn count(&self, count: impl Fn(&Cells)) {
        self.tally.count(self.place(), count);
    }

    const fn place(&self) -> Place {
        (Account::of(self.reason), self.channel, self.route)
    }

    fn note_key(&self, kind: KeyEventKind) {
        if let Some(key) = self.key {
            self.tally.note(key, self.place(), kind);
        }
    }

    /// Tells the hook that the canary failed a call, or spilled it.
    fn tell_of_failure(&self) {
        if self.reason.is_evidence() {
            self.config().canary_failed(self.tally.weight());
        }
    }

    fn class_at_end(&self, trailers: Option<&HeaderMap>) -> Outcome {
        let class = match self.class {
            Some(HeadClass::Now(class)) => class,
            Some(HeadClass::AtEnd) | None => {
                self.config().classify.trailers(self.protocol, trailers)
            }
        };
        match class {
            Class::Success => Outcome::Success,
            Class::Failure => Outcome::Failure,
        }
    }

    #[inline]
    pub(crate) fn tag_response<R>(&self, response: &mut Response<R>) {
        let tags = &self.config().tags;
        tags.apply(self.channel, self.cookie.as_deref(), response.headers_mut());
        if tags.response_extension {
            response.extensions_mut().insert(self.assignment(None));
        }
    }

    fn assignment(&self, upgrade: Option<Arc<Upgrade>>) -> Assignment {
        Assignment::new(self.tally.clone(), self.channel, self.reason, upgrade)
    }

    /// The same call, to be ended elsewhere; this one counts no more.
    fn successor(&mut self) -> Self {
        self.ended = true;
        let (tally, has_place) = (self.tally.clone(), std::mem::take(&mut self.has_place));
        Self { tally, upgrade: None, cookie: None, has_place, ended: false, ..*self }
    }

    fn deadline_is_over(&self) -> bool {
        // The caller's clock started earlier than ours, and whoever gives up in the last tenth of the
        // time they granted cannot be told from one whose time was over.
        self.deadline
            .is_some_and(|deadline| self.started.elapsed_nanos() >= deadline.get() / 10 * 9)
    }
}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        if !self.ended {
            self.end_unanswered();
        }
    }
}

impl Call {
    #[cold]
    fn end_unanswered(&mut self) {
        if self.polling {
            self.panic();
        } else if self.deadline_is_over() || self.head_is_failure() {
            self.fail();
        } else {
            self.cancel();
        }
    }
}
