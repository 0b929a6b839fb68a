use canary_rollout::tick::GateAnswer;
use http::StatusCode;

use crate::{
    error_chain,
    webhook::{PostError, Reply},
};

/// Converts the reply of a webhook to an answer.
///
/// Only the statuses in the guide open or close a gate. For example, 404 and 503 mean "not yet":
/// the path may be wrong, or the service may be restarting.
pub(super) fn answer(reply: Result<Reply, PostError>) -> GateAnswer {
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) => return GateAnswer::NotYet(error_chain::with_causes(&error)),
    };
    let reason = reply.reason();
    let status = reply.status;
    match status {
        StatusCode::OK => GateAnswer::Open,
        StatusCode::ACCEPTED => GateAnswer::NotYet(reason.unwrap_or_default()),
        StatusCode::FORBIDDEN | StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
            GateAnswer::Rejected(reason.unwrap_or_else(|| format!("answered {}", status.as_u16())))
        }
        _ if status.is_redirection() => {
            GateAnswer::NotYet(format!("answered {}: redirects are not followed", status.as_u16()))
        }
        _ => {
            let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            GateAnswer::NotYet(format!("answered {}{reason}", status.as_u16()))
        }
    }
}
