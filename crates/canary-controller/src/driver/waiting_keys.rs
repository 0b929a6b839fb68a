use std::collections::BTreeMap;

use canary_core::{Age, Channel, KeySample, RouteClass, Weight};
use tokio::time::Instant;
use tower_canary::control::KeyEvent;

/// The keys with a call that waits for its answer, to find those without one for
/// [five seconds](Age::FiveSeconds).
///
/// A key waits from its first assigned call until any of its calls is answered or over. So a key
/// with many calls in flight waits only if none of them is answered. Calls without a key are not
/// followed. The keys that wait are not stored: after a restart, only new calls count.
#[derive(Debug, Default)]
pub(super) struct WaitingKeys(BTreeMap<Place, Waiting>);

type Place = (u64, Weight, Channel, Option<RouteClass>);

#[derive(Debug)]
struct Waiting {
    since: Instant,
    is_reported: bool,
    event: KeyEvent,
}

impl WaitingKeys {
    /// Adds the events since the last call. Returns an event of each key that now waits too long.
    pub(super) fn update(&mut self, events: &[KeyEvent], now: Instant) -> Vec<KeyEvent> {
        for event in events {
            let Some(key) = event.key else { continue };
            let place = (key, event.weight, event.channel, event.class.clone());
            let activity = &event.activity;
            if activity.slowest_head.is_some() || activity.failed || activity.cancelled {
                self.0.remove(&place);
            } else if activity.picked {
                let event = event.clone();
                let waiting = || Waiting { since: now, is_reported: false, event };
                self.0.entry(place).or_insert_with(waiting);
            }
        }
        let is_overdue = |waiting: &&mut Waiting| {
            !waiting.is_reported && now - waiting.since >= Age::FiveSeconds.duration()
        };
        let report = |waiting: &mut Waiting| {
            waiting.is_reported = true;
            waiting.event.clone()
        };
        self.0.values_mut().filter(is_overdue).map(report).collect()
    }

    /// Forgets the keys outside `sample`.
    pub(super) fn narrow(&mut self, sample: KeySample) {
        self.0.retain(|(key, ..), _| sample.holds(*key));
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::pending, time::Duration};

    use http::{HeaderName, Request, Response};
    use tower::{Layer, Service, service_fn};
    use tower_canary::{CanaryLayer, CanaryOptions, control::ControlExt, select::Sticky};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_is_reported_once_when_no_call_of_it_is_answered_for_five_seconds() {
        let user = HeaderName::from_static("x-user-id");
        let options = CanaryOptions::new().select(Sticky::by_header(user.clone()));
        // A service that hangs if the request asks for it.
        let service = || {
            service_fn(|request: Request<bool>| async move {
                if *request.body() {
                    pending::<()>().await;
                }
                Ok::<_, Infallible>(Response::new(String::new()))
            })
        };
        let layer = CanaryLayer::with_options("shop", service(), options);
        let canary = layer.handle();
        let watch = canary.watch_keys(KeySample::ALL);
        let mut split = layer.layer(service());
        let mut call = |name: &str, hangs: bool| {
            let request = Request::get("/").header(&user, name).body(hangs).unwrap();
            let mut call = Box::pin(split.call(request));
            let _ = futures_util::FutureExt::now_or_never(&mut call);
            call
        };
        let mut waiting = WaitingKeys::default();
        let started = Instant::now();
        let mut open = vec![call("hangs", true), call("busy", true), call("quick", false)];
        let mut reported = Vec::new();
        for second in 0..12 {
            if second % 2 == 0 {
                open.push(call("busy", false));
            }
            let now = started + Duration::from_secs(second);
            let overdue = waiting.update(&watch.take().events, now);
            reported.extend(overdue.into_iter().map(|event| (second, event.key)));
        }
        assert_eq!(reported, [(5, Some(canary.sticky_key("hangs").hash()))]);

        drop(open);
        waiting.update(&watch.take().events, started + Duration::from_secs(20));
        assert_eq!(waiting.count(), 0);
    }
}
