use std::{fs, path::Path};

use canary_api::client::Client;

use crate::{cli::Connection, config_file::ConfigFile, failure::Failure};

/// Creates the client that the flags, the environment and the configuration file describe.
pub(crate) fn client(connection: &Connection) -> Result<Client, Failure> {
    let name = connection.context.as_deref().filter(|name| !name.is_empty());
    let entry = ConfigFile::load().and_then(|file| file.context(name)).map_err(Failure::error)?;
    let is_set = |path: &&Path| !path.as_os_str().is_empty();
    let server = connection.server.clone().filter(|url| !url.is_empty()).or(entry.server);
    let token_file =
        connection.token_file.as_deref().filter(is_set).or(entry.token_file.as_deref());
    let ca_file = connection.ca_file.as_deref().filter(is_set).or(entry.ca_file.as_deref());

    let mut builder = Client::builder(server.unwrap_or_else(|| DEFAULT_SERVER.to_owned()));
    if let Some(file) = token_file {
        builder = builder.token(read_token(file)?);
    }
    if let Some(file) = ca_file {
        builder = builder.ca_file(file);
    }
    if connection.allow_exposed_token {
        builder = builder.allow_exposed_token();
    }
    Ok(builder.build()?)
}

fn read_token(file: &Path) -> Result<String, Failure> {
    let wrong = |reason: String| Failure::error(format!("token file {}: {reason}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let token = text.trim();
    // The token itself is never shown.
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(wrong("expected one line with the token".to_owned()));
    }
    Ok(token.to_owned())
}

/// The address of the example shop.
const DEFAULT_SERVER: &str = "http://127.0.0.1:3000/canary/";
