use std::fmt;

use canary_core::{CanaryName, Channel};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::select::{Incoming, Select, Selection};

/// Honors what an earlier service of the call chain decided, so that one user's calls stay on one channel
/// through all services.
///
/// The decision travels in the W3C `baggage` header, as the member `canary.<name>`, where the name is
/// the canary's: give the canaries of services that are released together the same name. The calling
/// service adds it with a [`PropagateLayer`](crate::PropagateLayer) around its client.
///
/// Whoever sends a request can write that header. So only the callers that your check admits are
/// believed; the member is removed from everybody's requests, and the layer of this service's own client
/// adds it anew. Propagated calls are no evidence: it was not this canary's weight that assigned them.
///
/// ```
/// use tower_canary::{CanaryOptions, select::Propagated};
///
/// #[derive(Clone)]
/// struct PeerIsInternal; // put into the request's extensions by the layer that checks certificates
///
/// let policy = Propagated::from_callers(|request| {
///     request.extensions().get::<PeerIsInternal>().is_some()
/// });
/// let options = CanaryOptions::new().select(policy);
/// # let _ = options;
/// ```
#[must_use]
pub struct Propagated {
    trusts: Option<Box<Trusts>>,
}

type Trusts = dyn Fn(&Incoming<'_>) -> bool + Send + Sync;

impl Propagated {
    /// Believes the callers that the check admits.
    ///
    /// Members of other canaries stay: this service may be between two that share one.
    pub fn from_callers(trusts: impl Fn(&Incoming<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self { trusts: Some(Box::new(trusts)) }
    }

    /// Believes nobody: the policy of a service at the edge.
    ///
    /// The members of all canaries are removed, because services further on may have others, and believe
    /// this service, which may pass on what baggage it got.
    pub const fn from_nobody() -> Self {
        Self { trusts: None }
    }
}

impl Select for Propagated {
    fn select(&self, request: &Incoming<'_>) -> Option<Selection> {
        let trusts = self.trusts.as_ref()?;
        let channel = find(request.headers(), request.canary())?;
        trusts(request).then(|| Selection::propagated(channel))
    }

    fn strip(&self, headers: &mut HeaderMap, canary: &CanaryName) {
        match self.trusts {
            Some(_) => remove(headers, |member| value_of(member, canary).is_some()),
            None => remove(headers, |member| member.starts_with(PREFIX.as_bytes())),
        }
    }
}

impl fmt::Debug for Propagated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Propagated").finish_non_exhaustive()
    }
}

/// Adds the decision to what a request already carries. It goes first, since a receiver may stop reading
/// after 64 members.
pub(crate) fn add(headers: &mut HeaderMap, canary: &CanaryName, channel: Channel) {
    remove(headers, |member| value_of(member, canary).is_some());
    let Ok(member) = HeaderValue::try_from(format!("{PREFIX}{canary}={channel}")) else {
        return;
    };
    let others: Vec<HeaderValue> = headers.get_all(&BAGGAGE).iter().cloned().collect();
    headers.insert(BAGGAGE, member);
    for other in others {
        headers.append(BAGGAGE, other);
    }
}

/// The channel of the first member of this canary. One that names no channel says nothing.
fn find(headers: &HeaderMap, canary: &CanaryName) -> Option<Channel> {
    let member = members(headers).find_map(|member| value_of(member, canary))?;
    Channel::ALL.into_iter().find(|channel| channel.as_str().as_bytes() == member)
}

fn remove(headers: &mut HeaderMap, is_ours: impl Fn(&[u8]) -> bool) {
    let has_ours = |value: &HeaderValue| split(value).any(&is_ours);
    if !headers.get_all(&BAGGAGE).iter().any(has_ours) {
        return;
    }
    let values: Vec<HeaderValue> = headers.get_all(&BAGGAGE).iter().cloned().collect();
    headers.remove(&BAGGAGE);
    for value in values {
        let kept: Vec<&[u8]> = split(&value).filter(|member| !is_ours(member)).collect();
        match HeaderValue::from_bytes(&kept.join(&b","[..])) {
            Ok(value) if !kept.is_empty() => {
                headers.append(BAGGAGE, value);
            }
            // What was a header's value is one without a part of it, too.
            _ => {}
        }
    }
}

/// The members, as far as the specification asks anybody to read.
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

/// The value, without the properties that may follow, if the member is this canary's.
fn value_of<'a>(member: &'a [u8], canary: &CanaryName) -> Option<&'a [u8]> {
    let value = member
        .strip_prefix(PREFIX.as_bytes())?
        .strip_prefix(canary.as_str().as_bytes())?
        .trim_ascii_start()
        .strip_prefix(b"=")?;
    Some(value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii())
}

const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
const PREFIX: &str = "canary.";
/// The limits of the W3C's Baggage specification.
const MAX_MEMBERS: usize = 64;
const MAX_BYTES: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        let values = values.iter().map(|value| (BAGGAGE, HeaderValue::from_static(value)));
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
    fn nobody_reads_beyond_the_limits_of_the_specification() {
        let mut many = vec!["a=b"; MAX_MEMBERS];
        many.push("canary.shop=canary");
        assert_eq!(find(&headers(&many), &shop()), None);
        many.remove(0);
        assert_eq!(find(&headers(&many), &shop()), Some(Channel::Canary));
    }

    #[test]
    fn what_others_wrote_stays_when_the_decision_is_added_or_removed() {
        let mut headers = headers(&["a=b,canary.shop=stable;p=q,c=d", "canary.shop=stable"]);
        add(&mut headers, &shop(), Channel::Canary);
        let values: Vec<_> = headers.get_all(BAGGAGE).iter().cloned().collect();
        assert_eq!(values, ["canary.shop=canary", "a=b,c=d"]);
        Propagated::from_callers(|_| true).strip(&mut headers, &shop());
        assert_eq!(headers[BAGGAGE], "a=b,c=d");
    }

    #[test]
    fn at_the_edge_nobody_can_write_the_members_of_canaries_further_on() {
        let sent = ["a=b,canary.shop=canary,canary.stock=canary", "canary.stock=stable"];
        let mut inside = headers(&sent);
        Propagated::from_callers(|_| true).strip(&mut inside, &shop());
        let values: Vec<_> = inside.get_all(BAGGAGE).iter().collect();
        assert_eq!(values, ["a=b,canary.stock=canary", "canary.stock=stable"]);

        let mut edge = headers(&sent);
        Propagated::from_nobody().strip(&mut edge, &shop());
        let values: Vec<_> = edge.get_all(BAGGAGE).iter().collect();
        assert_eq!(values, ["a=b"]);
    }
}
