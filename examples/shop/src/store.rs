//! The store of the rollout, as `--store` names it.

mod etcd_url;

use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use canary_controller::{Controller, store::FileStore};
use canary_store_postgres::{PostgresOptions, PostgresStore};

use self::etcd_url::EtcdUrl;

/// Returns a controller that keeps its state in the store with this URL. The password may be in a file
/// instead.
///
/// No error repeats the URL, which may contain a password.
pub(crate) async fn controller(
    url: &str,
    password_file: Option<&Path>,
) -> anyhow::Result<Controller> {
    let password = password_file.map(read_password).transpose()?;
    match url.split_once(':') {
        Some(("dir", path)) if !path.is_empty() => {
            if password.is_some() {
                bail!("--store: a directory has no password");
            }
            Ok(Controller::new(FileStore::open(path).await?))
        }
        Some(("etcd", rest)) => {
            let url = rest.parse::<EtcdUrl>().map_err(|error| anyhow!("--store: {error}"))?;
            Ok(Controller::new(url.store(password)?))
        }
        Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
            let options = PostgresOptions::from_url(url).context("--store")?;
            let options = match password {
                Some(password) => options.password(password),
                None => options,
            };
            Ok(Controller::new(PostgresStore::new(options)?))
        }
        _ => bail!("--store: expected dir:DIRECTORY, etcd://.. or postgres://.., see --help"),
    }
}

/// Reads a password, which an editor may have ended with a line break.
fn read_password(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file);
    let text = text.with_context(|| format!("cannot read {}", file.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
