use canary_rollout::Answer;
use http::StatusCode;

use crate::{
    error_chain,
    webhook::{PostError, Reply},
};

/// Converts the reply of a webhook to an answer.
///
/// Only the statuses in the guide open or close a gate. For example, 404 and 503 mean "not yet":
/// the path may be wrong, or the service may be restarting.
pub(super) fn answer(reply: Result<Reply, PostError>) -> Answer {
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) => return Answer::NotYet(error_chain::with_causes(&error)),
    };
    let reason = reply.reason();
    let status = reply.status;
    match status {
        StatusCode::OK => Answer::Open,
        StatusCode::ACCEPTED => Answer::NotYet(reason.unwrap_or_default()),
        StatusCode::FORBIDDEN | StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
            Answer::Refused(reason.unwrap_or_else(|| format!("answered {}", status.as_u16())))
        }
        _ if status.is_redirection() => {
            Answer::NotYet(format!("answered {}: redirects are not followed", status.as_u16()))
        }
        _ => {
            let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            Answer::NotYet(format!("answered {}{reason}", status.as_u16()))
        }
    }
}
