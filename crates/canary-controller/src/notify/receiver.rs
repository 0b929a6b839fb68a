use std::sync::Arc;

use canary_rollout::plan::NotifyFormat;

use super::{
    chat::{discord_body, teams_body},
    queue::{NotificationQueue, QueuedNotification},
    slack::slack_body,
};
use crate::{error_chain, webhook::WebhookClient};

/// Sends the events of a queue in order, until it is closed and empty.
pub(super) async fn serve(name: String, queue: Arc<NotificationQueue>, client: WebhookClient) {
    while let Some((queued, lost)) = queue.next().await {
        let sent = send(&client, &queued, lost).await;
        if let Err(why) = &sent {
            let (canary, event) = (&queued.notification.canary, queued.notification.event.number);
            tracing::warn!(
                target: "canary::notify",
                canary = canary.as_str(),
                receiver = name,
                event,
                why,
                "an event could not be delivered",
            );
        }
        queue.done(sent.is_ok(), lost);
    }
}

async fn send(
    client: &WebhookClient,
    queued: &QueuedNotification,
    lost: u64,
) -> Result<(), String> {
    let QueuedNotification { target, notification } = queued;
    let body = match target.format {
        NotifyFormat::Slack => slack_body(notification, lost),
        NotifyFormat::Teams => teams_body(notification, lost),
        NotifyFormat::Discord => discord_body(notification, lost),
        NotifyFormat::Json => notification.to_json(lost),
    };
    let reply = client.post(&target.webhook, &notification.id(), body).await;
    let reply = reply.map_err(|error| error_chain::with_causes(&error))?;
    if reply.status.is_success() {
        return Ok(());
    }
    let reason = reply.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
    let redirect = if reply.status.is_redirection() { ", redirects are not followed" } else { "" };
    Err(format!("answered {}{redirect}{reason}", reply.status.as_u16()))
}
