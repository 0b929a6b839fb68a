use tonic::server::NamedService;

use crate::CanaryService;

/// Stable's name: `Server::builder().add_service(layer.layer(greeter))` needs one.
impl<S: NamedService, C> NamedService for CanaryService<S, C> {
    const NAME: &'static str = S::NAME;
}
