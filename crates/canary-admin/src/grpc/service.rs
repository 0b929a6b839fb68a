use std::{pin::Pin, sync::Arc};

use canary_api::Role;
use canary_controller::Command;
use futures_core::Stream;
use tonic::{Request, Response, Status};

use super::{
    command::command,
    convert,
    proto::{
        self, CommandRequest, CommandResponse, GetRequest, ListRequest, ListResponse, WatchRequest,
        WatchResponse, control_server::Control,
    },
    status::status,
    watch,
};
use crate::{
    access::Caller,
    extract::{NamedCanary, Seen},
    problem::{ApiError, Kind},
    routes::commands::{check_preview, give, refused, response},
    shared::Shared,
};

/// The service, for operators whom the layers have authenticated.
#[derive(Clone)]
pub(super) struct ControlService {
    shared: Arc<Shared>,
}

impl ControlService {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn answer(
        &self,
        caller: &Caller,
        request: &CommandRequest,
    ) -> Result<CommandResponse, ApiError> {
        let NamedCanary(canary) = NamedCanary::find(&self.shared, &request.canary)?;
        let command = command(request)?;
        if request.dry_run {
            check_preview(caller, &command)?;
            let preview = canary.rollout().preview(&command).map_err(|it| refused(&it))?;
            return Ok(CommandResponse {
                note: preview.note.clone(),
                events: Vec::new(),
                canary: Some(convert::canary(canary.view())),
                effect: Some(preview.to_string()),
            });
        }
        match &command {
            Command::Approve { gate } | Command::Reject { gate } => caller.needs_gate(gate)?,
            _ => caller.needs(Role::Operate)?,
        }
        let seen = seen(request.if_match.as_deref());
        let transition = give(&canary, caller, command, &request.reason, seen).await?;
        let response = response(&canary, transition).await;
        Ok(CommandResponse {
            note: response.note,
            events: response.events.into_iter().map(convert::event).collect(),
            canary: Some(convert::canary(response.canary)),
            effect: None,
        })
    }
}

#[tonic::async_trait]
impl Control for ControlService {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn list(&self, _: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let canaries = self.shared.canaries.all();
        let canaries = canaries.iter().map(|canary| convert::canary(canary.view())).collect();
        Ok(Response::new(ListResponse { canaries }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<proto::Canary>, Status> {
        let found = NamedCanary::find(&self.shared, &request.get_ref().canary);
        let NamedCanary(canary) = found.map_err(|error| status(error.problem()))?;
        Ok(Response::new(convert::canary(canary.view())))
    }

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let WatchRequest { canary, after } = request.get_ref();
        let stream = caller(&request)
            .and_then(|caller| watch::open(&self.shared, canary, caller, after.as_deref()));
        let stream = stream.map_err(|error| status(error.problem()))?;
        Ok(Response::new(Box::pin(stream)))
    }

    async fn command(
        &self,
        request: Request<CommandRequest>,
    ) -> Result<Response<CommandResponse>, Status> {
        let result = match caller(&request) {
            Ok(caller) => self.answer(caller, request.get_ref()).await,
            Err(error) => Err(error),
        };
        result.map(Response::new).map_err(|error| status(error.problem()))
    }
}

fn caller<T>(request: &Request<T>) -> Result<&Caller, ApiError> {
    let caller = request.extensions().get::<Caller>();
    caller.ok_or_else(|| ApiError::new(Kind::Unauthorized, "the call has no operator"))
}

fn seen(if_match: Option<&str>) -> Result<Seen, ApiError> {
    match if_match {
        None => Ok(Seen::Nothing),
        Some("*") => Ok(Seen::Any),
        Some(text) => text.parse().map(Seen::Event).map_err(|_| {
            let expected = "the id of an event, such as 17-1795510800000, or *";
            ApiError::new(Kind::Invalid, "this is not the id of an event")
                .field("if_match", text, expected)
        }),
    }
}
