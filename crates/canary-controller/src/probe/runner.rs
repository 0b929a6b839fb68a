use std::{collections::BTreeMap, fmt, pin::Pin, sync::Arc, time::Duration};

use canary_rollout::{
    Plan,
    plan::{Probe, ProbeKind},
    tick::ProbeOutcome,
};

use super::{http, target::ProbeTarget};
use crate::{
    bounded_text::bounded,
    isolated::{TaskFailure, isolated},
    requirements::{Requirement, Unmet},
};

/// Runs the probes of plans.
///
/// Clones are cheap.
#[derive(Clone, Default)]
pub struct ProbeRunner {
    target: Option<ProbeTarget>,
    functions: BTreeMap<String, ProbeFunction>,
}

type ProbeFunction =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

impl ProbeRunner {
    /// Creates a runner without a target and without functions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the target of HTTP and gRPC probes.
    #[must_use]
    pub fn target(mut self, target: ProbeTarget) -> Self {
        self.target = Some(target);
        self
    }

    /// Registers a function under the name that plans use. Replaces a function of the same name.
    /// Its error becomes the reason of the failure.
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
            // Call it inside the future, so that an immediate panic is caught with the task.
            Box::pin(async move { function().await.map_err(|error| error.to_string()) })
        });
        self.functions.insert(name.into(), run);
        self
    }

    /// Checks that all probes of the plan can be run.
    ///
    /// # Errors
    ///
    /// Returns an error if a function of the plan is not registered, or if the plan has an HTTP or
    /// gRPC probe and there is no target.
    pub fn check_plan(&self, plan: &Plan) -> Result<(), Unmet> {
        let need = |(name, probe): (&String, &Probe)| {
            let field = format!("probes.{name}.kind");
            match &probe.kind {
                ProbeKind::Function(function) if self.functions.contains_key(function) => None,
                ProbeKind::Function(function) => {
                    let registered = self.functions.keys();
                    Some(Requirement::function(format!("{field}.function"), function, registered))
                }
                ProbeKind::GrpcHealth(_) if cfg!(not(feature = "tonic")) => {
                    let message = "needs the feature `tonic` of canary-controller";
                    Some(Requirement::new(field, message))
                }
                ProbeKind::Http(_) | ProbeKind::GrpcHealth(_) => {
                    self.target.is_none().then(|| Requirement::new(field, NO_TARGET))
                }
                other => Some(Requirement::new(
                    field,
                    format!("{other:?} is not supported by this version"),
                )),
            }
        };
        Unmet::check(plan.probes().iter().filter_map(need).collect())
    }

    /// Runs a probe within its time limit.
    ///
    /// The probe runs in a separate task. Dropping the future aborts it. Panics and timeouts of the
    /// probe are failures.
    ///
    /// # Panics
    ///
    /// Panics outside of a Tokio runtime.
    pub async fn run(&self, probe: &Probe) -> ProbeOutcome {
        let limit = probe.timeout;
        let target = self.target.clone().ok_or_else(|| NO_TARGET.to_owned());
        let result = match (&probe.kind, target) {
            (ProbeKind::Function(name), _) => match self.functions.get(name).cloned() {
                Some(function) => {
                    let name = format!("function {name:?}");
                    limited(limit, &name, async move { function().await }).await
                }
                None => Err(format!("no function {name:?} is registered")),
            },
            (ProbeKind::Http(it), Ok(target)) => {
                limited(limit, &http::name(it), http::probe(target, it.clone())).await
            }
            #[cfg(feature = "tonic")]
            (ProbeKind::GrpcHealth(it), Ok(target)) => {
                use super::grpc;
                limited(limit, &grpc::name(it), grpc::probe(target, it.clone())).await
            }
            #[cfg(feature = "tonic")]
            (ProbeKind::GrpcHealth(_), Err(reason)) => Err(reason),
            (ProbeKind::Http(_), Err(reason)) => Err(reason),
            (other, _) => Err(format!("{other:?} is not supported by this build")),
        };
        match result {
            Ok(()) => ProbeOutcome::Passed,
            Err(reason) => ProbeOutcome::Failed(bounded(&reason, MAX_REASON_BYTES)),
        }
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
        Ok(result) => result,
        Err(TaskFailure::Panicked(text)) if text.is_empty() => Err(format!("{name} panicked")),
        Err(broken) => Err(format!("{name} {broken}")),
    }
}

const NO_TARGET: &str = "there is no canary to probe: set `ProbeRunner::target`";

/// Twice the length to which a rollout cuts reasons.
const MAX_REASON_BYTES: usize = 256;
