use canary_core::{CanaryName, Channel};
use http::{HeaderMap, HeaderName, HeaderValue, Request};

use crate::{
    select::{Condition, Incoming, RequestHead, Select, Selection},
    service::header_search,
};

/// Assigns a call to the channel that an earlier service of the call chain chose.
///
/// The calls of one user then stay on one channel through all services.
///
/// The decision travels in the W3C `baggage` header, as the member `canary.<name>`, where `<name>`
/// is the name of the canary. Use the same name for the canaries of services that are released
/// together. The calling service adds the member with a [`PropagateLayer`](crate::PropagateLayer)
/// around its client.
///
/// Any client can send that header, so the policy trusts only the callers that meet a condition. The
/// layer removes the member from every request before the handler sees it; the `PropagateLayer` of
/// this service adds it again. From other callers, and without this policy, the layer removes the
/// members of all canaries. So every service of the chain that has a canary needs the policy, except
/// for those at the edge. Propagated calls are not evidence, because another canary's weight assigned
/// them.
///
/// ```
/// use tower_canary::{
///     CanaryOptions,
///     select::{Condition, Propagated},
/// };
///
/// #[derive(Clone)]
/// struct PeerIsInternal; // set in the extensions by the layer that checks certificates
///
/// let internal =
///     Condition::when(|request| request.extensions().get::<PeerIsInternal>().is_some());
/// let options = CanaryOptions::new().select(Propagated::from_callers(internal));
/// # let _ = options;
/// ```
#[derive(Debug)]
#[must_use]
pub struct Propagated {
    trusted: Condition,
}

impl Propagated {
    /// Trusts the requests that meet `condition`.
    ///
    /// Their members of other canaries stay in the header, for services further along the chain.
    pub const fn from_callers(condition: Condition) -> Self {
        Self { trusted: condition }
    }
}

impl Select for Propagated {
    fn select(&self, request: &Incoming<'_>) -> Option<Selection> {
        let channel = find(request.headers(), request.canary())?;
        self.trusted.matches(request).then(|| Selection::propagated(channel))
    }

    fn may_be_sticky(&self) -> bool {
        false
    }

    fn trusts_baggage(&self, request: &RequestHead<'_>) -> bool {
        self.trusted.matches(request)
    }
}

/// Removes the member of `canary`, or those of all canaries unless `policy` trusts the caller.
#[inline]
pub(crate) fn strip<B>(request: &mut Request<B>, policy: Option<&dyn Select>, canary: &CanaryName) {
    if header_search::find(request.headers(), &BAGGAGE).is_some() {
        strip_present(request, policy, canary);
    }
}

#[cold]
fn strip_present<B>(request: &mut Request<B>, policy: Option<&dyn Select>, canary: &CanaryName) {
    let is_trusted = policy.is_some_and(|it| it.trusts_baggage(&RequestHead::new(request)));
    remove(request.headers_mut(), |member| {
        let is_own = || value_of(member, canary).is_some();
        member.starts_with(PREFIX.as_bytes()) && (!is_trusted || is_own())
    });
}

/// Replaces the member of `canary`.
///
/// The new member goes first, since a receiver may ignore all but the first 64.
pub(crate) fn add(headers: &mut HeaderMap, canary: &CanaryName, channel: Channel) {
    remove(headers, |member| value_of(member, canary).is_some());
    let Ok(member) = HeaderValue::try_from(format!("{PREFIX}{canary}={channel}")) else {
        return;
    };
    let others: Vec<HeaderValue> = headers.get_all(&BAGGAGE).iter().cloned().collect();
    headers.insert(&BAGGAGE, member);
    for other in others {
        headers.append(&BAGGAGE, other);
    }
}

/// Returns the channel in the first member of this canary, if it is valid.
fn find(headers: &HeaderMap, canary: &CanaryName) -> Option<Channel> {
    let member = members(headers).find_map(|member| value_of(member, canary))?;
    Channel::ALL.into_iter().find(|channel| channel.as_str().as_bytes() == member)
}

/// Removes the members for which `is_removed` returns true.
fn remove(headers: &mut HeaderMap, is_removed: impl Fn(&[u8]) -> bool) {
    let has_removed = |value: &HeaderValue| split(value).any(&is_removed);
    if !headers.get_all(&BAGGAGE).iter().any(has_removed) {
        return;
    }
    let values: Vec<HeaderValue> = headers.get_all(&BAGGAGE).iter().cloned().collect();
    headers.remove(&BAGGAGE);
    for value in values {
        let kept: Vec<&[u8]> = split(&value).filter(|member| !is_removed(member)).collect();
        match HeaderValue::from_bytes(&kept.join(&b","[..])) {
            Ok(value) if !kept.is_empty() => {
                headers.append(&BAGGAGE, value);
            }
            // No member is left. The bytes are valid, as a part of a valid value.
            _ => {}
        }
    }
}

/// Returns the members within the limits of the specification.
fn members(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let mut bytes = 0;
    let within = move |value: &&HeaderValue| {
        bytes += value.len();
        bytes <= MAX_BYTES
    };
    headers.get_all(&BAGGAGE).iter().take_while(within).flat_map(split).take(MAX_MEMBERS)
}

fn split(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Returns the value of a member of this canary, without properties.
fn value_of<'a>(member: &'a [u8], canary: &CanaryName) -> Option<&'a [u8]> {
    let value = member
        .strip_prefix(PREFIX.as_bytes())?
        .strip_prefix(canary.as_str().as_bytes())?
        .trim_ascii_start()
        .strip_prefix(b"=")?;
    Some(value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii())
}

// A static: each use of a constant would create the name.
pub(crate) static BAGGAGE: HeaderName = HeaderName::from_static("baggage");
const PREFIX: &str = "canary.";
// The limits of the W3C Baggage specification.
const MAX_MEMBERS: usize = 64;
const MAX_BYTES: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        let values = values.iter().map(|value| (BAGGAGE.clone(), HeaderValue::from_static(value)));
        values.collect()
    }

    fn shop() -> CanaryName {
        "shop".parse().unwrap()
    }

    #[test]
    fn the_first_member_of_the_canary_counts() {
        for (values, channel) in [
            (&["canary.shop=canary"][..], Some(Channel::Canary)),
            (&["a=b, canary.shop = stable ;ttl=3,canary.shop=canary"], Some(Channel::Stable)),
            (&["a=b", "canary.shop=canary"], Some(Channel::Canary)),
            (&["canary.shop=neither"], None),
            (&["canary.shopping=canary", "xcanary.shop=canary", "canary.shop", ""], None),
        ] {
            assert_eq!(find(&headers(values), &shop()), channel, "{values:?}");
        }
    }

    #[test]
    fn members_beyond_the_limits_of_the_specification_are_ignored() {
        let mut many = vec!["a=b"; MAX_MEMBERS];
        many.push("canary.shop=canary");
        assert_eq!(find(&headers(&many), &shop()), None);
        many.remove(0);
        assert_eq!(find(&headers(&many), &shop()), Some(Channel::Canary));
    }

    #[test]
    fn other_members_stay_when_the_decision_is_added_or_removed() {
        let mut headers = headers(&["a=b,canary.shop=stable;p=q,c=d", "canary.shop=stable"]);
        add(&mut headers, &shop(), Channel::Canary);
        let values: Vec<_> = headers.get_all(&BAGGAGE).iter().cloned().collect();
        assert_eq!(values, ["canary.shop=canary", "a=b,c=d"]);
        assert_eq!(stripped(&["canary.shop=canary", "a=b,c=d"], Some(&trusting())), ["a=b,c=d"]);
    }

    fn trusting() -> Propagated {
        Propagated::from_callers(Condition::any())
    }

    fn stripped(sent: &[&'static str], policy: Option<&dyn Select>) -> Vec<HeaderValue> {
        let mut request = Request::new(());
        *request.headers_mut() = headers(sent);
        strip(&mut request, policy, &shop());
        request.headers().get_all(&BAGGAGE).iter().cloned().collect()
    }

    #[test]
    fn only_trusted_callers_propagate_the_members_of_other_canaries() {
        let sent = ["a=b,canary.shop=canary,canary.stock=canary", "canary.stock=stable"];
        let inside = stripped(&sent, Some(&trusting()));
        assert_eq!(inside, ["a=b,canary.stock=canary", "canary.stock=stable"]);

        let no_caller = Propagated::from_callers(Condition::any().not());
        let elsewhere = Condition::path("/internal").then(trusting());
        let either = no_caller.or(elsewhere);
        for policy in [None, Some(&either as &dyn Select)] {
            assert_eq!(stripped(&sent, policy), ["a=b"]);
        }
    }
}
