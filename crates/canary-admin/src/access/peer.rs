use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::ConnectInfo;
use http::request::Parts;

/// The address of a caller of [`Admin::serve`](crate::Admin::serve).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Returns the address of the caller; `None` if the application does not tell.
pub(super) fn peer(parts: &Parts) -> Option<SocketAddr> {
    if let Some(ConnectInfo(Peer(peer))) = parts.extensions.get() {
        return Some(*peer);
    }
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer)
}

/// Returns the address for limits. An IPv6 caller has the whole network of 64 bits.
pub(crate) fn network(peer: SocketAddr) -> IpAddr {
    match peer.ip().to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        ip @ IpAddr::V4(_) => ip,
    }
}
