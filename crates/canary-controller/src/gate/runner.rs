use std::{collections::BTreeMap, fmt, pin::Pin, sync::Arc, time::Duration};

use canary_rollout::{Answer, Ask, Gate, Plan};

use super::{question::GateQuestion, reply};
use crate::{
    isolated::isolated,
    requirements::{Need, Unmet},
    webhook::WebhookClient,
};

/// Asks the gates of a canary's plans.
///
/// Clones are cheap, and the same runner.
#[derive(Clone)]
pub struct GateRunner {
    client: WebhookClient,
    functions: BTreeMap<String, GateFunction>,
    function_timeout: Duration,
}

type GateFunction =
    Arc<dyn Fn(GateQuestion) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync>;

impl GateRunner {
    /// A runner without functions. Webhooks are asked by this client.
    #[must_use]
    pub fn new(client: WebhookClient) -> Self {
        let function_timeout = Duration::from_secs(10);
        Self { client, functions: BTreeMap::new(), function_timeout }
    }

    /// A function that plans ask by this name.
    ///
    /// A function of the same name that was registered before is replaced.
    #[must_use]
    pub fn function<F, R>(mut self, name: impl Into<String>, function: F) -> Self
    where
        F: Fn(GateQuestion) -> R + Send + Sync + 'static,
        R: Future<Output = Answer> + Send + 'static,
    {
        let function = Arc::new(function);
        let ask: GateFunction = Arc::new(move |question| {
            let function = Arc::clone(&function);
            Box::pin(async move { function(question).await })
        });
        self.functions.insert(name.into(), ask);
        self
    }

    /// How long a function may take: 10 seconds unless told otherwise. One that takes longer has said
    /// "not yet".
    #[must_use]
    pub const fn function_timeout(mut self, timeout: Duration) -> Self {
        self.function_timeout = timeout;
        self
    }

    /// Checks that every gate of the plan can be asked.
    ///
    /// # Errors
    ///
    /// If the plan names a function that is not registered, or a webhook that cannot be asked, because
    /// its secret is missing for example.
    pub fn check_plan(&self, plan: &Plan) -> Result<(), Unmet> {
        let needs = |(name, gate): (&String, &Gate)| {
            let field = format!("gates.{name}.ask");
            match &gate.ask {
                Ask::Approval(_) => Vec::new(),
                Ask::Webhook(webhook) => self.client.needs(&format!("{field}.webhook"), webhook),
                Ask::Function(function) if self.functions.contains_key(function) => Vec::new(),
                Ask::Function(function) => {
                    let registered = self.functions.keys();
                    vec![Need::function(format!("{field}.function"), function, registered)]
                }
                other => vec![Need::new(field, format!("{other:?} is not known to this version"))],
            }
        };
        Unmet::check(plan.gates().iter().flat_map(needs).collect())
    }

    /// Asks a gate, once.
    ///
    /// A person's approval is a command, and nothing is sent here: whoever is to know of it is told by
    /// the event [`GateAsked`](canary_rollout::What::GateAsked). The answer is "not yet", and no reason.
    ///
    /// A function that panics or takes too long has said "not yet", as a webhook has that cannot be
    /// reached: the gate's deadline decides then. Dropping the future ends the function and the
    /// request.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, unless it is an approval.
    pub async fn ask(&self, gate: &Gate, question: &GateQuestion) -> Answer {
        match &gate.ask {
            Ask::Approval(_) => Answer::NotYet(String::new()),
            Ask::Webhook(webhook) => {
                let body = serde_json::to_vec(question).expect("all keys are texts");
                let delivery = format!("{}-{:016x}", question.id, rand::random::<u64>());
                reply::answer(self.client.post(webhook, &delivery, body).await)
            }
            Ask::Function(name) => self.call(name, question.clone()).await,
            other => Answer::NotYet(format!("{other:?} is not known to this version")),
        }
    }

    async fn call(&self, name: &str, question: GateQuestion) -> Answer {
        let Some(function) = self.functions.get(name).cloned() else {
            return Answer::NotYet(format!("no function {name:?} is registered"));
        };
        let answer = isolated(self.function_timeout, async move { function(question).await }).await;
        answer.unwrap_or_else(|broken| Answer::NotYet(format!("function {name:?} {broken}")))
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
