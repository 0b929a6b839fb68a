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
    let effect = if *close { "closed" } else { "asked to end" };
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
            let verb = if open == 1 { "is" } else { "are" };
            let calls = open_calls(open);
            session.output.text(&format!("{calls} of {channel_name} {verb} {effect}."))?;
        }
        return Ok(Exit::Done);
    }
    if (*stable || *close) && !*yes {
        confirm(
            &format!("drain {name}"),
            &format!("All open calls and streams of {channel_name} are {effect}."),
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
        let calls = open_calls(response.open);
        session.output.text(&format!("{calls} of {channel_name} {effect}"))?;
    }
    Ok(Exit::Done)
}

fn open_calls(open: u64) -> String {
    format!("{} open {}", numbers::grouped(open), if open == 1 { "call" } else { "calls" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_open_call_is_no_plural() {
        let texts = [0, 1, 1_000].map(open_calls);
        assert_eq!(texts, ["0 open calls", "1 open call", "1,000 open calls"]);
    }
}
