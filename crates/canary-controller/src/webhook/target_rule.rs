use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

/// Which addresses an [`HttpTransport`](super::HttpTransport) may connect to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TargetRule {
    /// No address at which a cloud serves the credentials of the machine.
    NoLinkLocal,
    Any,
}

impl TargetRule {
    pub(super) fn check(self, address: IpAddr) -> Result<(), String> {
        match self {
            Self::NoLinkLocal if is_link_local(address) => Err(format!(
                "{address} is a link-local address, at which clouds serve credentials: \
                 `HttpTransport::allow_link_local` allows it"
            )),
            Self::NoLinkLocal | Self::Any => Ok(()),
        }
    }
}

/// A resolver that omits addresses which the rule refuses.
#[derive(Clone, Debug)]
pub(super) struct CheckedResolver {
    pub(super) resolver: GaiResolver,
    pub(super) rule: TargetRule,
}

impl Service<Name> for CheckedResolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.resolver.poll_ready(cx)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (resolving, rule) = (self.resolver.call(name), self.rule);
        Box::pin(async move {
            let mut allowed = Vec::new();
            let mut refused = None;
            for address in resolving.await? {
                match rule.check(address.ip()) {
                    Ok(()) => allowed.push(address),
                    Err(why) => refused = Some(why),
                }
            }
            match refused {
                Some(why) if allowed.is_empty() => {
                    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
                }
                _ => Ok(allowed.into_iter()),
            }
        })
    }
}

/// Returns whether an address is link-local, or another one at which a cloud serves metadata.
fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local() || METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local()
                || v6 == METADATA_V6
                || embedded(v6).is_some_and(|v4| is_link_local(v4.into()))
        }
    }
}

/// Returns the IPv4 address that a mapped, compatible, translated (NAT64) or 6to4 address leads to.
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let (high, low) = match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => (g, h),
        (0x2002, high, low, ..) => (high, low),
        _ => return None,
    };
    let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
    Some(Ipv4Addr::new(a, b, c, d))
}

/// Azure, Alibaba and Oracle. The others use 169.254.169.254, which is link-local.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// AWS.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_link_local_address_is_refused() {
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ] {
            let address = address.parse().unwrap();
            assert!(TargetRule::NoLinkLocal.check(address).is_err(), "{address}");
            assert_eq!(TargetRule::Any.check(address), Ok(()));
        }
    }

    #[test]
    fn loopback_private_and_public_addresses_are_allowed() {
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "1.1.1.1",
            "::1",
            "fd00::1",
            "2001:db8::1",
        ] {
            assert_eq!(TargetRule::NoLinkLocal.check(address.parse().unwrap()), Ok(()));
        }
    }
}
