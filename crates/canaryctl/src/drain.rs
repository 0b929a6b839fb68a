use canary_api::{ChannelName, DrainRequest, DrainResponse};

use crate::{
    canary_name, cli::DrainOptions, confirm::confirm, exit::Exit, failure::Failure, numbers,
    session::Session,
};

/// Asks the open calls of a channel to end, in the process that answers.
pub(crate) async fn drain(session: &Session, options: &DrainOptions) -> Result<Exit, Failure> {
    let DrainOptions { target, stable, close, reason, dry_run, yes } = options;
    let name = canary_name::resolve(session, target).await?;
    let channel = if *stable { ChannelName::Stable } else { ChannelName::Canary };
    let channel_name = if *stable { "stable" } else { "the canary" };
    let effect = if *close { "are closed" } else { "are asked to end" };
    if *dry_run {
        let view = match session.client.canary(&name).await {
            Ok(view) => view,
            Err(error) => return Err(session.explain(&name, error).await),
        };
        let channels = &view.channels;
        let open = if *stable { channels.stable.open } else { channels.canary.open };
        if session.output.is_json() {
            session.output.json(&DrainResponse { open })?;
        } else {
            let open = numbers::grouped(open);
            session.output.text(&format!("{open} open calls of {channel_name} {effect}."))?;
        }
        return Ok(Exit::Done);
    }
    if (*stable || *close) && !*yes {
        confirm(
            &format!("drain {name}"),
            &format!("All open calls and streams of {channel_name} {effect}."),
        )?;
    }
    let request = DrainRequest { channel, close: *close, reason: reason.clone() };
    let response = match session.client.drain(&name, &request).await {
        Ok(response) => response,
        Err(error) => return Err(session.explain(&name, error).await),
    };
    if session.output.is_json() {
        session.output.json(&response)?;
    } else {
        let open = numbers::grouped(response.open);
        let effect = if *close { "closed" } else { "asked to end" };
        session.output.text(&format!("{open} open calls of {channel_name} {effect}"))?;
    }
    Ok(Exit::Done)
}
