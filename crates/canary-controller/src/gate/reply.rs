use canary_rollout::Answer;
use http::StatusCode;

use crate::{
    error_chain,
    webhook::{PostError, Reply},
};

/// What a webhook's reply says.
///
/// Only what the guide lists opens or closes: a gate whose service is being deployed, or whose path
/// is wrong, has not said no.
pub(super) fn answer(reply: Result<Reply, PostError>) -> Answer {
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) => return Answer::NotYet(error_chain::with_causes(&error)),
    };
    let said = reply.reason();
    let status = reply.status;
    match status {
        StatusCode::OK => Answer::Open,
        StatusCode::ACCEPTED => Answer::NotYet(said.unwrap_or_default()),
        StatusCode::FORBIDDEN | StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
            Answer::Refused(said.unwrap_or_else(|| format!("answered {}", status.as_u16())))
        }
        _ if status.is_redirection() => {
            Answer::NotYet(format!("answered {}: redirects are not followed", status.as_u16()))
        }
        _ => {
            let said = said.map(|said| format!(": {said}")).unwrap_or_default();
            Answer::NotYet(format!("answered {}{said}", status.as_u16()))
        }
    }
}
