//! Gates: approvals, webhooks and functions that must agree before a rollout continues.
//!
//! The driver asks a gate when the rollout returns the action
//! [`AskGate`](canary_rollout::Action::AskGate), and reports the answer with a later tick. Do not
//! wait for the answer in the loop that ticks, because the judge must keep running. With retries, a
//! question can take longer than the gate's `every`, so do not ask the same gate twice at once.
//!
//! ```
//! use canary_controller::{gate::{GateQuestion, GateRunner}, webhook::WebhookClient};
//! use canary_rollout::{Plan, Releases, Rollout, Timestamp, tick::GateAnswer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let plan = Plan::from_toml(
//!     r#"
//!     start.gates = ["schema"]
//!     steps = [{ weight = "1%" }]
//!     gates.schema.kind = { function = "is-migrated" }
//!     "#,
//! )?;
//! let gates = GateRunner::new(WebhookClient::without_transport())
//!     .function("is-migrated", async |question: GateQuestion| {
//!         GateAnswer::NotYet(format!("{} needs table `totals`", question.releases.canary))
//!     });
//! gates.check_plan(&plan)?;
//!
//! let releases = Releases { stable: "v1".parse()?, canary: "v2".parse()? };
//! let rollout = Rollout::new("checkout".parse()?, releases, plan);
//! let now: Timestamp = "2026-11-24T09:00:00Z".parse()?;
//! let question = GateQuestion::for_gate(&rollout, "schema", now).ok_or("no such gate")?;
//! let answer = gates.ask(&rollout.plan().gates()["schema"], &question).await;
//! assert_eq!(answer, GateAnswer::NotYet("v2 needs table `totals`".into()));
//! # Ok(())
//! # }
//! ```
//!
//! The [guide](crate::webhook::guide) describes the requests and answers of webhooks.

mod question;
mod reply;
mod runner;

pub use self::{
    question::{Confirm, GateQuestion},
    runner::GateRunner,
};
