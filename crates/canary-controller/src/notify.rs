//! Notifications about the events of a rollout.
//!
//! [`audit`] emits each event as a `tracing` event. A [`Notifier`] sends it to the receivers of the
//! plan. Neither blocks, so a receiver that hangs cannot delay a rollback.
//!
//! ```
//! use std::time::Duration;
//! use canary_controller::{notify::{Notification, Notifier, audit}, webhook::WebhookClient};
//! use canary_rollout::{Action, Releases, Rollout, Transition, plan::Preset};
//!
//! /// Reports the transition of a tick or a command.
//! fn report(notifier: &Notifier, rollout: &Rollout, transition: &Transition) {
//!     for event in &transition.events {
//!         audit(&Notification::new(rollout, event.clone()));
//!     }
//!     for action in &transition.actions {
//!         if let Action::Notify { to, event } = action {
//!             notifier.notify(to, Notification::new(rollout, event.clone()));
//!         }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let releases = Releases { stable: "v1".parse()?, canary: "v2".parse()? };
//! let rollout = Rollout::new("checkout".parse()?, releases, Preset::all()[0].plan());
//! let notifier = Notifier::new(WebhookClient::without_transport());
//! notifier.register(rollout.name(), rollout.plan())?;
//! report(&notifier, &rollout, &Transition::default());
//!
//! // At the end of the process, allow five seconds for queued events.
//! let undelivered = notifier.shutdown(Duration::from_secs(5)).await;
//! assert_eq!(undelivered, 0);
//! # Ok(())
//! # }
//! ```
//!
//! The [guide](crate::webhook::guide) describes the messages.

mod audit;
mod chat;
mod lines;
mod notification;
mod notifier;
mod page_url;
mod queue;
mod receiver;
mod slack;

pub use self::{
    audit::audit,
    chat::{discord_body, teams_body},
    notification::Notification,
    notifier::Notifier,
    page_url::{InvalidPageUrl, PageUrl},
    queue::{Deliveries, QUEUE_CAPACITY},
    slack::slack_body,
};
