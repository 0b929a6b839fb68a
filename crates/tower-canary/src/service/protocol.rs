use http::HeaderValue;

/// The protocol of a call.
///
/// By default, a call is gRPC if its request *and* its response are: a client of an HTTP service
/// cannot make its call a gRPC call by a header. [`CanaryOptions::protocol`] sets the protocol of
/// all calls instead.
///
/// [`CanaryOptions::protocol`]: crate::CanaryOptions::protocol
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Protocol {
    /// HTTP. The status code shows the outcome.
    ///
    /// gRPC-Web is HTTP here, because its status is in the body. Put a translation such as
    /// `tonic-web` outside of the layer, so that the layer sees gRPC.
    Http,
    /// gRPC. `grpc-status` shows the outcome, in the trailers or in the head of a response without
    /// a body. The HTTP status is 200 even for failures.
    Grpc,
}

impl Protocol {
    /// Returns the protocol of a call whose request claims `self`.
    ///
    /// The response alone does not show it either: tonic responds with a gRPC status even to a
    /// browser that requests an unknown path.
    #[inline]
    pub(crate) fn confirmed_by(self, is_grpc: bool) -> Self {
        match self {
            Self::Grpc if is_grpc => Self::Grpc,
            Self::Grpc | Self::Http => Self::Http,
        }
    }
}

/// Returns whether the content type is `application/grpc`, with a suffix (`+proto`) or parameters.
pub(crate) fn is_grpc_type(content_type: &HeaderValue) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let Some((essence, rest)) = content_type.as_bytes().split_at_checked(GRPC.len()) else {
        return false;
    };
    // `application/grpc-web` is another protocol.
    // Almost all callers write it in lower case, and to compare that takes fewer instructions.
    (essence == GRPC || essence.eq_ignore_ascii_case(GRPC))
        && matches!(rest, [] | [b'+' | b';' | b' ' | b'\t', ..])
}

/// Returns whether this value of `upgrade` asks for an upgrade of the connection.
///
/// `h2c` is ignored: some clients offer it with every request, and neither hyper nor tonic accepts
/// it.
pub(crate) fn is_upgrade(value: &HeaderValue) -> bool {
    !value.as_bytes().eq_ignore_ascii_case(b"h2c")
}
