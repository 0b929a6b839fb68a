use canary_api::{ChannelName, DrainRequest};

use crate::{
    canary_name, cli::DrainOptions, confirm::confirm, exit::Exit, failure::Failure, numbers,
    session::Session,
};

/// Asks the open calls of a channel to end, in the process that answers.
pub(crate) async fn drain(session: &Session, options: &DrainOptions) -> Result<Exit, Failure> {
    let DrainOptions { target, stable, close, reason, yes } = options;
    let name = canary_name::resolve(session, target).await?;
    let channel = if *stable { ChannelName::Stable } else { ChannelName::Canary };
    let channel_name = if *stable { "stable" } else { "the canary" };
    if (*stable || *close) && !*yes {
        let effect = if *close { "are closed" } else { "are asked to end" };
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
