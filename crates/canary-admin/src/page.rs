//! The files of the page, which are built into the binary.

use std::sync::LazyLock;

use axum::{
    Router,
    extract::{OriginalUri, Path},
    response::{Html, IntoResponse, Redirect, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, header};
use sha2::{Digest as _, Sha256};

use crate::problem::ApiError;

/// A file that the page loads.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    text: &'static str,
}

const fn style(text: &'static str) -> Asset {
    Asset { name: "style.css", content_type: "text/css; charset=utf-8", text }
}

const fn module(name: &'static str, text: &'static str) -> Asset {
    Asset { name, content_type: "text/javascript; charset=utf-8", text }
}

/// The style sheet, as one file: a browser loads six files at a time, and draws nothing without the style.
macro_rules! style {
    ($($name:literal,)*) => {
        style(concat!($(include_str!(concat!("../page/", $name)),)*))
    };
}

macro_rules! assets {
    ($style:expr, $($name:literal,)*) => {
        &[$style, $(module($name, include_str!(concat!("../page/", $name))),)*]
    };
}

/// All files that the page loads. In the style sheet, a later file overrides an earlier one.
const ASSETS: &[Asset] = assets! {
    style! {
        "style.css",
        "overview.css",
        "findings.css",
        "charts.css",
        "cards.css",
        "media.css",
    },
    "actions.js",
    "api.js",
    "app.js",
    "canary.js",
    "charts.js",
    "commands.js",
    "dialogs.js",
    "dom.js",
    "events.js",
    "findings.js",
    "format.js",
    "history.js",
    "list.js",
    "live.js",
    "overview.js",
    "panels.js",
    "plot.js",
    "points.js",
    "shortcuts.js",
    "stream.js",
    "tab.js",
    "theme.js",
    "variables.js",
};

/// The page itself. Its links begin with `assets/`.
const INDEX: &str = include_str!("../page/index.html");

/// The name under which a redirection reaches the page.
const INDEX_NAME: &str = "index.html";

/// A digest of the page and its assets. The paths of the assets contain it, so that a browser can keep
/// them for ever: another version has other paths.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut digest = Sha256::new_with_prefix(INDEX);
    for asset in ASSETS {
        digest.update(asset.name);
        digest.update(asset.text);
    }
    digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
});

/// The page, with the version in its links.
static PAGE: LazyLock<String> =
    LazyLock::new(|| INDEX.replace("\"assets/", &format!("\"assets/{}/", *VERSION)));

/// Returns whether a path needs no operator: it has no data, and the page asks for the token.
pub(crate) fn is_public(path: &str) -> bool {
    matches!(path, "/" | "/index.html" | "/healthz" | "/openapi.json")
        || path.starts_with("/assets/")
}

/// Returns the routes of the page.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(page_or_redirect))
        .route(&format!("/{INDEX_NAME}"), get(page))
        .route("/assets/{version}/{name}", get(asset))
}

/// Serves the page. Its links are relative, so its path has to end with a slash or a file name.
async fn page_or_redirect(OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Response {
    match uri.path().rsplit_once('/') {
        // `Router::nest` does not pass on a path that ends with a slash, so the name is needed.
        Some((_, last)) if !last.is_empty() => {
            Redirect::temporary(&format!("./{last}/{INDEX_NAME}")).into_response()
        }
        _ => page(headers).await,
    }
}

/// Serves the page, or says that the browser has it already. Another version of the service has another
/// page at the same path, so that each use is a question.
async fn page(headers: HeaderMap) -> Response {
    let tag = format!("\"{}\"", *VERSION);
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| *known == *tag);
    let caching = [(header::ETAG, tag.as_str()), (header::CACHE_CONTROL, "no-cache")];
    if is_known {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, Html(PAGE.as_str())).into_response()
}

/// Serves an asset. A page of another version, which another replica has served, gets this version: it
/// may work, and without the asset it cannot.
async fn asset(Path((version, name)): Path<(String, String)>) -> Result<Response, ApiError> {
    let asset =
        ASSETS.iter().find(|asset| asset.name == name).ok_or_else(ApiError::no_such_path)?;
    let caching =
        if version == *VERSION { "public, max-age=31536000, immutable" } else { "no-store" };
    let headers = [(header::CONTENT_TYPE, asset.content_type), (header::CACHE_CONTROL, caching)];
    Ok((headers, asset.text).into_response())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_file_of_the_page_is_served() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        let style = ASSETS.iter().find(|asset| asset.name == "style.css").unwrap();
        for entry in fs::read_dir(directory).unwrap() {
            let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            let is_served = name == INDEX_NAME
                || style.text.contains(&text)
                || ASSETS.iter().any(|asset| asset.name == name && asset.text == text);
            assert!(is_served, "{name}");
        }
    }

    #[test]
    fn the_page_names_each_asset_once() {
        let named: Vec<_> =
            PAGE.split("\"assets/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let expected: BTreeSet<_> =
            ASSETS.iter().map(|asset| format!("{}/{}", *VERSION, asset.name)).collect();
        assert_eq!(named.len(), expected.len());
        assert_eq!(named.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), expected);
    }
}
