use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    base_url::Path,
    builder::Client,
    error::ClientError,
    event_stream::{EventStream, id_header},
    transport::RequestParts,
};
use crate::{
    canary::CanaryView,
    command::{CommandRequest, CommandResponse, DrainRequest, DrainResponse, PreviewView},
    event::{EventId, EventView},
    plan::{PlanCheck, PlanCheckRequest, PlanRequest, PlanView},
    points::Points,
    session::Session,
    variables::{VariablesRequest, VariablesView},
};

/// Each request needs a tokio runtime with time and I/O.
///
/// Some changes take the id of the latest event that the caller has seen: the server refuses them if
/// another event has happened since, and requires the id where acting on an outdated state would do
/// harm. A rollback and a halt are never refused for it.
///
/// # Errors
///
/// All requests return the error of the connection, of the response, or the
/// [`Problem`](crate::Problem) that the server describes.
#[expect(clippy::missing_errors_doc, reason = "the errors are those of the block")]
impl Client {
    /// Returns who the caller is.
    pub async fn session(&self) -> Result<Session, ClientError> {
        self.read(Path::new("session")).await
    }

    /// Returns all canaries.
    pub async fn canaries(&self) -> Result<Vec<CanaryView>, ClientError> {
        self.read(Path::new("canaries")).await
    }

    /// Returns one canary.
    pub async fn canary(&self, name: &str) -> Result<CanaryView, ClientError> {
        self.read(Path::of_canary(name, "")).await
    }

    /// Returns stored events, oldest first: the latest ones, or those of them after an event. The
    /// server limits their number even if `most` does not. An event that is no longer stored is a
    /// problem with status 410.
    pub async fn events(
        &self,
        name: &str,
        after: Option<&EventId>,
        most: Option<u32>,
    ) -> Result<Vec<EventView>, ClientError> {
        self.read(Path::of_canary(name, "events").query("after", after).query("most", most)).await
    }

    /// Returns the stream of a canary: its events after this one, and its state. Nothing is sent
    /// until the stream is polled.
    #[must_use]
    pub fn stream(&self, name: &str, after: Option<EventId>) -> EventStream {
        EventStream::new(self.transport.clone(), name, after)
    }

    /// Returns the recent past, for charts: the points after `since_ms`, in milliseconds since 1970,
    /// with about `step_s` seconds between them.
    pub async fn points(
        &self,
        name: &str,
        since_ms: Option<i64>,
        step_s: Option<u32>,
    ) -> Result<Points, ClientError> {
        self.read(Path::of_canary(name, "points").query("since", since_ms).query("step", step_s))
            .await
    }

    /// Gives a command. `seen` is the latest event that the caller has seen.
    ///
    /// If the [outcome is unknown](ClientError::is_outcome_unknown), give the command again with the
    /// same `seen`: if it was carried out the first time, the problem's `events` have its event.
    pub async fn command(
        &self,
        name: &str,
        request: &CommandRequest,
        seen: Option<&EventId>,
    ) -> Result<CommandResponse, ClientError> {
        self.write(Method::POST, Path::of_canary(name, "commands"), request, seen).await
    }

    /// Returns the effect that a command would have now. Nothing changes.
    pub async fn preview(
        &self,
        name: &str,
        request: &CommandRequest,
    ) -> Result<PreviewView, ClientError> {
        let path = Path::of_canary(name, "commands").query("dry", Some(1));
        self.write(Method::POST, path, request, None).await
    }

    /// Returns the variables.
    pub async fn variables(&self, name: &str) -> Result<VariablesView, ClientError> {
        self.read(Path::of_canary(name, "variables")).await
    }

    /// Changes variables, and returns all of them.
    pub async fn change_variables(
        &self,
        name: &str,
        request: &VariablesRequest,
        seen: Option<&EventId>,
    ) -> Result<VariablesView, ClientError> {
        self.write(Method::PATCH, Path::of_canary(name, "variables"), request, seen).await
    }

    /// Returns the plan, without secrets.
    pub async fn plan(&self, name: &str) -> Result<PlanView, ClientError> {
        self.read(Path::of_canary(name, "plan")).await
    }

    /// Replaces the plan. The new one applies from the next start.
    pub async fn replace_plan(
        &self,
        name: &str,
        request: &PlanRequest,
        seen: Option<&EventId>,
    ) -> Result<PlanView, ClientError> {
        self.write(Method::PUT, Path::of_canary(name, "plan"), request, seen).await
    }

    /// Checks a plan. Nothing changes.
    pub async fn check_plan(&self, request: &PlanCheckRequest) -> Result<PlanCheck, ClientError> {
        self.write(Method::POST, Path::new("plans/check"), request, None).await
    }

    /// Asks the open calls of a channel to end, or closes them.
    pub async fn drain(
        &self,
        name: &str,
        request: &DrainRequest,
    ) -> Result<DrainResponse, ClientError> {
        self.write(Method::POST, Path::of_canary(name, "drain"), request, None).await
    }

    async fn read<T: DeserializeOwned>(&self, path: Path) -> Result<T, ClientError> {
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        self.transport.send(RequestParts { method: Method::GET, path, headers, body }).await
    }

    async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        path: Path,
        body: &impl Serialize,
        seen: Option<&EventId>,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body)
            .map_err(|error| ClientError::Settings(format!("the body of {path}: {error}")))?
            .into();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(id) = seen {
            let quoted = EventId::new(format!("\"{id}\""));
            headers.insert(header::IF_MATCH, id_header(&quoted)?);
        }
        self.transport.send(RequestParts { method, path, headers, body }).await
    }
}
