use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::Router;
use canary_api::Environment;
use canary_controller::{Controller, RolloutHandle};
use tokio::sync::watch;
use tower_canary_mirror::MirrorHandle;

use crate::{
    access::{Access, Throttle},
    audit::Outsiders,
    canary::{self, Canary},
    router,
    shared::{Canaries, Shared},
    streams::Streams,
};

/// The HTTP API and the page, for the rollouts of any number of controllers.
///
/// Clones share everything. See the [crate documentation](crate) for an example.
#[derive(Clone)]
pub struct Admin {
    pub(crate) shared: Arc<Shared>,
}

/// Sets up an [`Admin`].
#[derive(Debug)]
#[must_use]
pub struct AdminBuilder {
    access: Access,
    hosts: Vec<String>,
    environment: Option<Environment>,
    mirrors: BTreeMap<String, MirrorHandle>,
}

impl AdminBuilder {
    /// Names the environment, such as `prod`, and the color of its label as `#rrggbb`. The page shows
    /// both at its top, so that environments are not mistaken for each other.
    pub fn environment(mut self, name: impl Into<String>, color: impl Into<String>) -> Self {
        self.environment = Some(Environment::new(name, color));
        self
    }

    /// Shows the counts of a mirror beside the canary of this name.
    pub fn mirror(mut self, canary: impl Into<String>, mirror: MirrorHandle) -> Self {
        self.mirrors.insert(canary.into(), mirror);
        self
    }

    /// Answers to this host name. It is compared without the port and without regard to case.
    ///
    /// With [`Access::loopback`], `localhost`, `127.0.0.1` and `[::1]` are always allowed. With other
    /// access, all host names are allowed until one is named here.
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Creates the `Admin`, which shows no rollouts yet.
    #[must_use]
    pub fn build(self) -> Admin {
        let Self { access, hosts, environment, mirrors } = self;
        let shared = Shared {
            access,
            throttle: Throttle::default(),
            hosts,
            environment,
            mirrors,
            canaries: Canaries::default(),
            next_source: AtomicU64::new(0),
            streams: Streams::default(),
            outsiders: Outsiders::default(),
            #[cfg(feature = "grpc")]
            public_streams: Arc::new(tokio::sync::Semaphore::new(MAX_PUBLIC_STREAMS)),
            stop: watch::Sender::new(false),
        };
        Admin { shared: Arc::new(shared) }
    }
}

impl Admin {
    /// Begins to set up an `Admin`.
    pub const fn builder(access: Access) -> AdminBuilder {
        AdminBuilder { access, hosts: Vec::new(), environment: None, mirrors: BTreeMap::new() }
    }

    /// Creates an `Admin` without options, which shows no rollouts yet.
    #[must_use]
    pub fn new(access: Access) -> Self {
        Self::builder(access).build()
    }

    /// Shows the rollouts of a controller, and those that are added to it later. Each is shown until
    /// the controller stops.
    ///
    /// A rollout is not shown while a running one of another controller has the same name.
    ///
    /// # Panics
    ///
    /// Panics outside of a Tokio runtime.
    pub fn watch(&self, controller: &Controller) {
        let mut rollouts = controller.rollouts().watch();
        let source = self.shared.next_source.fetch_add(1, Ordering::Relaxed);
        self.show(source, &rollouts.borrow_and_update().clone());
        let (shared, mut stop) = (Arc::downgrade(&self.shared), self.shared.stop.subscribe());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    changed = rollouts.changed() => if changed.is_err() { return },
                    // The server is gone.
                    stopped = stop.changed() => match stopped {
                        Ok(()) => continue,
                        Err(_) => return,
                    },
                }
                let Some(shared) = shared.upgrade() else { return };
                Self { shared }.show(source, &rollouts.borrow_and_update().clone());
            }
        });
    }

    /// Shows the rollouts of one controller, which `source` identifies.
    fn show(&self, source: u64, rollouts: &[RolloutHandle]) {
        for rollout in rollouts.iter().filter(|rollout| rollout.is_running()) {
            let name = rollout.name().as_str();
            let known = self.shared.canaries.find(name);
            if known.is_some_and(|it| it.source() == source && it.rollout().is_running()) {
                continue;
            }
            let mirror = self.shared.mirrors.get(name).cloned();
            let canary = Arc::new(Canary::new(rollout.clone(), source, mirror));
            if self.shared.canaries.add(Arc::clone(&canary)) {
                canary::spawn(&self.shared, &canary);
            } else {
                tracing::warn!(
                    target: "canary_admin",
                    canary = name,
                    "the rollout is not shown: another controller runs one of the same name",
                );
            }
        }
    }

    /// Creates a router with the API and the page. All links of the page are relative, so that it can
    /// be below any path: `app.nest_service("/canary", admin.router())`. `Router::nest` works as well,
    /// but does not pass on `/canary/` with the slash at its end.
    ///
    /// With [`Access::loopback`], the application has to serve with
    /// `into_make_service_with_connect_info::<SocketAddr>()`.
    pub fn router(&self) -> Router {
        router::new(&self.shared)
    }

    /// Creates the gRPC service `canary.v1.Control` of `proto/canary/v1/control.proto`, with health and
    /// reflection. It has the same operators and host names as the HTTP API; health and reflection need
    /// no operator, and have at most 32 open streams of their own.
    ///
    /// Serve it with tonic, `Server::builder().add_routes(admin.grpc_routes())`, or on the port of an
    /// axum application: `app.merge(admin.grpc_routes().into_axum_router())`.
    #[cfg(feature = "grpc")]
    #[must_use]
    pub fn grpc_routes(&self) -> tonic::service::Routes {
        crate::grpc::routes(&self.shared)
    }

    /// Ends the streams that pages, command lines and gRPC clients have open, and refuses new ones with
    /// 503.
    ///
    /// Call it when a graceful shutdown of the HTTP server begins, which waits for them otherwise.
    pub fn stop(&self) {
        self.shared.stop.send_replace(true);
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> =
            self.shared.canaries.all().iter().map(|it| it.name().to_owned()).collect();
        f.debug_struct("Admin")
            .field("access", &self.shared.access)
            .field("canaries", &names)
            .finish_non_exhaustive()
    }
}

/// The number of open streams of health and reflection. Operators have places of their own.
#[cfg(feature = "grpc")]
const MAX_PUBLIC_STREAMS: usize = 32;
