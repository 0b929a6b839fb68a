use std::{collections::BTreeMap, fmt, pin::Pin, sync::Arc, time::Duration};

use canary_rollout::{Plan, Probe, ProbeOutcome, Run, bounded};

use super::{http, target::ProbeTarget};
use crate::{
    isolated::{Broken, isolated},
    requirements::{Need, Unmet},
};

/// Runs the probes of a canary's plans.
///
/// Clones are cheap, and the same runner.
#[derive(Clone, Default)]
pub struct ProbeRunner {
    target: Option<ProbeTarget>,
    functions: BTreeMap<String, ProbeFunction>,
}

type ProbeFunction =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

impl ProbeRunner {
    /// A runner without a canary to probe and without functions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The canary that HTTP and gRPC probes are sent to.
    #[must_use]
    pub fn target(mut self, target: ProbeTarget) -> Self {
        self.target = Some(target);
        self
    }

    /// A function that plans run by this name. Its error is the reason that people read.
    ///
    /// A function of the same name that was registered before is replaced.
    #[must_use]
    pub fn function<F, R, E>(mut self, name: impl Into<String>, function: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        let function = Arc::new(function);
        let run: ProbeFunction = Arc::new(move || {
            let function = Arc::clone(&function);
            // Called inside, so that a function that panics at once panics in its task.
            Box::pin(async move { function().await.map_err(|error| error.to_string()) })
        });
        self.functions.insert(name.into(), run);
        self
    }

    /// Checks that every probe of the plan can be run.
    ///
    /// # Errors
    ///
    /// If the plan names a function that is not registered, or probes a canary that was not given.
    pub fn check_plan(&self, plan: &Plan) -> Result<(), Unmet> {
        let need = |(name, probe): (&String, &Probe)| {
            let field = format!("probes.{name}.run");
            match &probe.run {
                Run::Function(function) if self.functions.contains_key(function) => None,
                Run::Function(function) => {
                    let registered = self.functions.keys();
                    Some(Need::function(format!("{field}.function"), function, registered))
                }
                Run::Http(_) => self.lacks_target().then(|| Need::new(field, NO_TARGET)),
                Run::GrpcHealth(_) if cfg!(not(feature = "tonic")) => {
                    let message = "needs the feature `tonic` of canary-controller";
                    Some(Need::new(field, message))
                }
                Run::GrpcHealth(_) => self.lacks_target().then(|| Need::new(field, NO_TARGET)),
                other => Some(Need::new(field, format!("{other:?} is not known to this version"))),
            }
        };
        Unmet::check(plan.probes().iter().filter_map(need).collect())
    }

    /// Runs a probe, within its time limit. It does not fail but by its outcome.
    ///
    /// It runs in a task of its own, which is aborted when the future is dropped.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn run(&self, probe: &Probe) -> ProbeOutcome {
        let limit = probe.timeout;
        let said = match &probe.run {
            Run::Function(name) => match self.functions.get(name) {
                Some(function) => {
                    let function = Arc::clone(function);
                    let name = format!("function {name:?}");
                    limited(limit, &name, async move { function().await }).await
                }
                None => Err(format!("no function {name:?} is registered")),
            },
            Run::Http(it) => match self.target.clone() {
                Some(target) => {
                    limited(limit, &http::name(it), http::probe(target, it.clone())).await
                }
                None => Err(NO_TARGET.to_owned()),
            },
            #[cfg(feature = "tonic")]
            Run::GrpcHealth(it) => match self.target.clone() {
                Some(target) => {
                    use super::grpc;
                    limited(limit, &grpc::name(it), grpc::probe(target, it.clone())).await
                }
                None => Err(NO_TARGET.to_owned()),
            },
            other => Err(format!("{other:?} cannot be run by this build")),
        };
        match said {
            Ok(()) => ProbeOutcome::Passed,
            Err(how) => ProbeOutcome::Failed(bounded(&how, FAILURE_BYTES)),
        }
    }

    const fn lacks_target(&self) -> bool {
        self.target.is_none()
    }
}

impl fmt::Debug for ProbeRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.functions.keys().collect();
        f.debug_struct("ProbeRunner")
            .field("target", &self.target)
            .field("functions", &names)
            .finish()
    }
}

async fn limited(
    limit: Duration,
    name: &str,
    work: impl Future<Output = Result<(), String>> + Send + 'static,
) -> Result<(), String> {
    match isolated(limit, work).await {
        Ok(said) => said,
        Err(Broken::Panicked(said)) if said.is_empty() => Err(format!("{name} panicked")),
        Err(broken) => Err(format!("{name} {broken}")),
    }
}

const NO_TARGET: &str = "there is no canary to probe: give ProbeRunner::target one";

/// A rollout keeps half of that.
const FAILURE_BYTES: usize = 256;
