use axum::response::Response;
use canary_api::{ChannelName, DrainRequest, DrainResponse, Role};
use canary_core::Channel;

use crate::{
    access::Caller,
    audit,
    extract::{JsonBody, NamedCanary},
    problem::ApiError,
    routes::json,
};

/// Asks the open calls of a channel to end, or closes them: their clients see a broken response.
///
/// It concerns the calls that are open in the process that answers, on either channel. The channel
/// goes on to serve new calls. It is not an event of the rollout, and has no preview and no condition:
/// an operator who closes the calls of stable cuts off its clients.
#[utoipa::path(
    post,
    path = "/canaries/{canary}/drain",
    params(("canary" = String, Path, description = "The name of the canary")),
    request_body = DrainRequest,
    responses((status = 200, description = "The open calls", body = DrainResponse))
)]
pub(crate) async fn drain(
    NamedCanary(canary): NamedCanary,
    caller: Caller,
    JsonBody(request): JsonBody<DrainRequest>,
) -> Result<Response, ApiError> {
    caller.needs(Role::Operate)?;
    let channel = match request.channel {
        ChannelName::Stable => Channel::Stable,
        ChannelName::Canary => Channel::Canary,
    };
    let drain = canary.rollout().canary().drain(channel);
    let open = drain.open();
    let what = if request.close { "closed" } else { "asked to end" };
    if request.close {
        drain.close();
    }
    let calls = if open == 1 { "call" } else { "calls" };
    let what = format!("{what} {open} open {calls} of {channel}");
    audit::done(&caller, canary.name(), &what, &request.reason);
    Ok(json(&DrainResponse { open }))
}
