use std::fmt;

use tokio::sync::Mutex;
use tonic::{
    Code, Request,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use crate::{
    failure::{Failure, FailureKind},
    proto::{AuthenticateRequest, auth_client::AuthClient},
};

/// Gets tokens for a user. All members of a cluster know a token.
pub(crate) struct Tokens {
    user: String,
    password: String,
    /// Locked while a new token is requested, so that many calls request one.
    current: Mutex<Option<Token>>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Token {
    /// The server has no users.
    NotNeeded,
    Value(MetadataValue<Ascii>),
}

impl Tokens {
    pub(crate) fn new(user: String, password: String) -> Self {
        Self { user, password, current: Mutex::default() }
    }

    /// Returns the current token, or requests one.
    pub(crate) async fn current(&self, channel: Channel) -> Result<Token, Failure> {
        let mut current = self.current.lock().await;
        if let Some(token) = &*current {
            return Ok(token.clone());
        }
        let token = self.authenticate(channel).await?;
        *current = Some(token.clone());
        Ok(token)
    }

    /// Forgets a token that the server no longer accepts.
    pub(crate) async fn discard(&self, token: &Token) {
        let mut current = self.current.lock().await;
        if current.as_ref() == Some(token) {
            *current = None;
        }
    }

    async fn authenticate(&self, channel: Channel) -> Result<Token, Failure> {
        let request =
            AuthenticateRequest { name: self.user.clone(), password: self.password.clone() };
        match AuthClient::new(channel).authenticate(Request::new(request)).await {
            Ok(response) => {
                let token = MetadataValue::try_from(response.into_inner().token);
                let mut token = token.map_err(|_| {
                    let cause = "the token for the user is not ASCII";
                    Failure::new(FailureKind::Refused, cause)
                })?;
                token.set_sensitive(true);
                Ok(Token::Value(token))
            }
            Err(status)
                if status.code() == Code::FailedPrecondition
                    && status.message().contains("not enabled") =>
            {
                Ok(Token::NotNeeded)
            }
            Err(status) => {
                let mut failure = Failure::of(&status);
                if failure.kind == FailureKind::Unanswered {
                    // Nothing but a token was requested.
                    failure.kind = FailureKind::Unavailable;
                }
                failure.cause = format!("user {:?}: {}", self.user, failure.cause);
                Err(failure)
            }
        }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("user", &self.user).finish_non_exhaustive()
    }
}
