use canary_api::client::ClientError;

use crate::{cli::Target, failure::Failure, session::Session};

/// Returns the name of the canary that the user means: the named one, or the only one.
pub(crate) async fn resolve(session: &Session, target: &Target) -> Result<String, Failure> {
    if let Some(name) = &target.canary {
        return Ok(name.clone());
    }
    only(session).await?.map_err(|names| several(&names))
}

/// Returns the name of the only canary, or else the names of all.
pub(crate) async fn only(session: &Session) -> Result<Result<String, Vec<String>>, ClientError> {
    let mut names: Vec<_> =
        session.client.canaries().await?.into_iter().map(|view| view.name).collect();
    Ok(if names.len() == 1 { Ok(names.remove(0)) } else { Err(names) })
}

pub(crate) fn several(names: &[String]) -> Failure {
    if names.is_empty() {
        return Failure::error("the server has no canary yet");
    }
    Failure::error(format!("the server has {} canaries: name one of them", names.len()))
        .detail(names.join(", "))
}
