use std::{collections::BTreeMap, fmt, pin::Pin, sync::Arc, time::Duration};

use canary_rollout::{
    Plan,
    plan::{Gate, GateKind},
    tick::GateAnswer,
};

use super::{question::GateQuestion, reply};
use crate::{
    isolated::isolated,
    requirements::{Requirement, Unmet},
    webhook::WebhookClient,
};

/// Asks the gates of plans.
///
/// Clones are cheap.
#[derive(Clone)]
pub struct GateRunner {
    client: WebhookClient,
    functions: BTreeMap<String, GateFunction>,
    function_timeout: Duration,
}

type GateFunction =
    Arc<dyn Fn(GateQuestion) -> Pin<Box<dyn Future<Output = GateAnswer> + Send>> + Send + Sync>;

impl GateRunner {
    /// Creates a runner without functions, which asks webhooks with this client.
    #[must_use]
    pub fn new(client: WebhookClient) -> Self {
        let function_timeout = Duration::from_secs(10);
        Self { client, functions: BTreeMap::new(), function_timeout }
    }

    /// Registers a function under the name that plans use. Replaces a function of the same name.
    #[must_use]
    pub fn function<F, R>(mut self, name: impl Into<String>, function: F) -> Self
    where
        F: Fn(GateQuestion) -> R + Send + Sync + 'static,
        R: Future<Output = GateAnswer> + Send + 'static,
    {
        let function = Arc::new(function);
        let ask: GateFunction = Arc::new(move |question| {
            let function = Arc::clone(&function);
            Box::pin(async move { function(question).await })
        });
        self.functions.insert(name.into(), ask);
        self
    }

    /// Sets the time limit of functions. The default is 10 s. A function that exceeds it answers
    /// "not yet".
    #[must_use]
    pub const fn function_timeout(mut self, timeout: Duration) -> Self {
        self.function_timeout = timeout;
        self
    }

    /// Checks that all gates of the plan can be asked.
    ///
    /// # Errors
    ///
    /// Returns an error if a function of the plan is not registered, or if a webhook cannot be
    /// used, for example because its secret is missing.
    pub fn check_plan(&self, plan: &Plan) -> Result<(), Unmet> {
        let needs = |(name, gate): (&String, &Gate)| {
            let field = format!("gates.{name}.kind");
            match &gate.kind {
                GateKind::Approval(_) => Vec::new(),
                GateKind::Webhook(webhook) => {
                    self.client.unmet_requirements(&format!("{field}.webhook"), webhook)
                }
                GateKind::Function(function) if self.functions.contains_key(function) => Vec::new(),
                GateKind::Function(function) => {
                    let registered = self.functions.keys();
                    vec![Requirement::function(format!("{field}.function"), function, registered)]
                }
                other => {
                    vec![Requirement::new(
                        field,
                        format!("{other:?} is not supported by this version"),
                    )]
                }
            }
        };
        Unmet::check(plan.gates().iter().flat_map(needs).collect())
    }

    /// Asks a gate once.
    ///
    /// An approval is a command, so for an approval nothing is sent, and the answer is "not yet"
    /// without a reason. Receivers learn of the request from the event
    /// [`GateAsked`](canary_rollout::event::EventKind::GateAsked).
    ///
    /// A function that panics or exceeds its time limit answers "not yet", and so does an
    /// unreachable webhook; the gate's deadline still applies. Dropping the future cancels the
    /// function or the request.
    ///
    /// # Panics
    ///
    /// Panics outside of a Tokio runtime, except for approvals.
    pub async fn ask(&self, gate: &Gate, question: &GateQuestion) -> GateAnswer {
        match &gate.kind {
            GateKind::Approval(_) => GateAnswer::NotYet(String::new()),
            GateKind::Webhook(webhook) => {
                let body = serde_json::to_vec(question).expect("all keys are strings");
                let delivery = format!("{}-{:016x}", question.id, rand::random::<u64>());
                reply::answer(self.client.post(webhook, &delivery, body).await)
            }
            GateKind::Function(name) => self.call(name, question.clone()).await,
            other => GateAnswer::NotYet(format!("{other:?} is not supported by this version")),
        }
    }

    async fn call(&self, name: &str, question: GateQuestion) -> GateAnswer {
        let Some(function) = self.functions.get(name).cloned() else {
            return GateAnswer::NotYet(format!("no function {name:?} is registered"));
        };
        let answer = isolated(self.function_timeout, async move { function(question).await }).await;
        answer.unwrap_or_else(|broken| GateAnswer::NotYet(format!("function {name:?} {broken}")))
    }
}

impl fmt::Debug for GateRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.functions.keys().collect();
        f.debug_struct("GateRunner")
            .field("client", &self.client)
            .field("functions", &names)
            .field("function_timeout", &self.function_timeout)
            .finish()
    }
}
