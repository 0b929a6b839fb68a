use std::net::SocketAddr;

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
