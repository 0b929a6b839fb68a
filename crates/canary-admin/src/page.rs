//! The files of the page, which are built into the binary.

use axum::{
    extract::OriginalUri,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

/// A file of the page.
struct File {
    name: &'static str,
    content_type: &'static str,
    text: &'static str,
}

macro_rules! files {
    ($($name:literal: $content_type:literal,)*) => {
        &[$(File {
            name: $name,
            content_type: $content_type,
            text: include_str!(concat!("../page/", $name)),
        },)*]
    };
}

/// All files, by their paths below the mount.
const FILES: &[File] = files! {
    "actions.js": "text/javascript; charset=utf-8",
    "api.js": "text/javascript; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "canary.js": "text/javascript; charset=utf-8",
    "cards.css": "text/css; charset=utf-8",
    "charts.css": "text/css; charset=utf-8",
    "charts.js": "text/javascript; charset=utf-8",
    "commands.js": "text/javascript; charset=utf-8",
    "dialogs.js": "text/javascript; charset=utf-8",
    "dom.js": "text/javascript; charset=utf-8",
    "events.js": "text/javascript; charset=utf-8",
    "findings.css": "text/css; charset=utf-8",
    "findings.js": "text/javascript; charset=utf-8",
    "format.js": "text/javascript; charset=utf-8",
    "history.js": "text/javascript; charset=utf-8",
    "index.html": "text/html; charset=utf-8",
    "list.js": "text/javascript; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "media.css": "text/css; charset=utf-8",
    "overview.css": "text/css; charset=utf-8",
    "overview.js": "text/javascript; charset=utf-8",
    "panels.js": "text/javascript; charset=utf-8",
    "plot.js": "text/javascript; charset=utf-8",
    "points.js": "text/javascript; charset=utf-8",
    "shortcuts.js": "text/javascript; charset=utf-8",
    "stream.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "tab.js": "text/javascript; charset=utf-8",
    "theme.js": "text/javascript; charset=utf-8",
    "variables.js": "text/javascript; charset=utf-8",
};

/// The name of the page itself, which is at the root.
const INDEX: &str = "index.html";

/// Returns the paths of all files.
pub(crate) fn paths() -> impl Iterator<Item = String> {
    FILES.iter().map(|file| format!("/{}", file.name))
}

/// Returns whether a path needs no operator: it has no data, and the page asks for the token.
pub(crate) fn is_public(path: &str) -> bool {
    matches!(path, "/" | "/healthz" | "/openapi.json")
        || path.strip_prefix('/').is_some_and(|name| FILES.iter().any(|file| file.name == name))
}

/// Serves the page. Its links are relative, so its path has to end with a slash or a file name.
pub(crate) async fn index(OriginalUri(uri): OriginalUri, headers: HeaderMap) -> Response {
    match uri.path().rsplit_once('/') {
        // `Router::nest` does not pass on a path that ends with a slash, so the name is needed.
        Some((_, last)) if !last.is_empty() => {
            Redirect::temporary(&format!("./{last}/{INDEX}")).into_response()
        }
        _ => file(INDEX, &headers),
    }
}

/// Serves a file, or says that the browser has it already.
pub(crate) fn file(name: &str, headers: &HeaderMap) -> Response {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let tag = etag(file.text);
    // Another version of the service has other files at the same paths, so that each use is a question.
    let caching = HeaderValue::from_static("no-cache");
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| *known == tag);
    if known {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag), (header::CACHE_CONTROL, caching)])
            .into_response();
    }
    let content_type = HeaderValue::from_static(file.content_type);
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::ETAG, tag),
        (header::CACHE_CONTROL, caching),
    ];
    (headers, file.text).into_response()
}

fn etag(text: &str) -> HeaderValue {
    let digest = Sha256::digest(text);
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::try_from(format!("\"{hex}\"")).expect("hexadecimal digits are valid in a header")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_file_of_the_page_is_served() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let entries = fs::read_dir(directory).unwrap();
        let there: BTreeSet<_> = entries.map(|entry| name(entry.unwrap())).collect();
        let served: BTreeSet<_> = FILES.iter().map(|file| file.name.to_owned()).collect();
        assert_eq!(served, there);
    }
}
