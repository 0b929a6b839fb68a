use canary_rollout::plan::HttpProbe;
use http::{Request, header};

use super::{PROBE_HEADER, body::ProbeBody, target::ProbeTarget};
use crate::{
    USER_AGENT,
    body::{MAX_BODY_BYTES, first_bytes},
    error_chain,
    or_list::or_list,
};

/// Runs an HTTP probe. The error is the reason of the failure.
pub(super) async fn probe(target: ProbeTarget, http: HttpProbe) -> Result<(), String> {
    let name = name(&http);
    let request = Request::builder()
        .method(http.method.as_str())
        .uri(&http.path)
        .header(header::HOST, "canary")
        .header(header::USER_AGENT, USER_AGENT)
        .header(PROBE_HEADER, "1")
        .body(ProbeBody::empty())
        .map_err(|error| format!("{name} is not a valid request: {error}"))?;
    let response = target.call(request).await;
    let response = response.map_err(|error| {
        format!("{name} got no response: {}", error_chain::with_causes(&*error))
    })?;
    let status = response.status();
    if !http.status.contains(&status.as_u16()) {
        let expected: Vec<String> = http.status.iter().map(u16::to_string).collect();
        let expected = or_list(&expected);
        return Err(format!("{name} answered {}, expected {expected}", status.as_u16()));
    }
    // A body that fails is a failure. The rest of a body longer than the limit is not read.
    let body = first_bytes(response.into_body(), MAX_BODY_BYTES).await;
    body.map(drop).map_err(|error| {
        let causes = error_chain::with_causes(&*error);
        format!("{name} answered {}, but its body failed: {causes}", status.as_u16())
    })
}

/// Returns the probe's name in messages, such as `GET /health`.
pub(super) fn name(HttpProbe { method, path, .. }: &HttpProbe) -> String {
    format!("{method} {path}")
}
