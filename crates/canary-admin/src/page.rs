//! The files of the page, which are built into the binary.

use std::sync::{LazyLock, OnceLock};

use axum::{
    Router,
    extract::{OriginalUri, Path},
    response::{Html, IntoResponse, Redirect, Response},
    routing::get,
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use miniz_oxide::deflate::compress_to_vec_zlib;
use sha2::{Digest as _, Sha256};

use crate::problem::ApiError;

/// A file that the page loads.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    text: &'static str,
    /// The compressed text, from the first request that accepts it. The application starts faster
    /// without it.
    deflated: OnceLock<Bytes>,
}

impl Asset {
    const fn style(text: &'static str) -> Self {
        Self::new("style.css", "text/css; charset=utf-8", text)
    }

    const fn module(name: &'static str, text: &'static str) -> Self {
        Self::new(name, "text/javascript; charset=utf-8", text)
    }

    const fn new(name: &'static str, content_type: &'static str, text: &'static str) -> Self {
        Self { name, content_type, text, deflated: OnceLock::new() }
    }

    fn deflated(&self) -> Bytes {
        let compress = || compress_to_vec_zlib(self.text.as_bytes(), COMPRESSION_LEVEL).into();
        self.deflated.get_or_init(compress).clone()
    }
}

/// The style sheet, as one file: a browser loads six files at a time, and draws nothing without the style.
macro_rules! style {
    ($($name:literal,)*) => {
        Asset::style(concat!($(include_str!(concat!("../page/", $name)),)*))
    };
}

macro_rules! assets {
    ($style:expr, $($name:literal,)*) => {
        vec![$style, $(Asset::module($name, include_str!(concat!("../page/", $name))),)*]
    };
}

/// All files that the page loads. In the style sheet, a later file overrides an earlier one.
static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    assets! {
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
    }
});

/// The page itself. Its links begin with `assets/`.
const INDEX: &str = include_str!("../page/index.html");

/// The name under which a redirection reaches the page.
const INDEX_NAME: &str = "index.html";

/// A digest of the page and its assets. The paths of the assets contain it, so that a browser can keep
/// them for ever: another version has other paths.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut digest = Sha256::new_with_prefix(INDEX);
    for asset in ASSETS.iter() {
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
async fn asset(
    Path((version, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let asset =
        ASSETS.iter().find(|asset| asset.name == name).ok_or_else(ApiError::no_such_path)?;
    let caching =
        if version == *VERSION { "public, max-age=31536000, immutable" } else { "no-store" };
    let described = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, caching),
        (header::VARY, "accept-encoding"),
    ];
    if accepts_deflate(&headers) {
        let encoding = [(header::CONTENT_ENCODING, "deflate")];
        return Ok((described, encoding, asset.deflated()).into_response());
    }
    Ok((described, asset.text).into_response())
}

/// Returns whether a request accepts the encoding `deflate`. All browsers do, and the files have a third
/// of the bytes in it.
fn accepts_deflate(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).into_iter();
    let encodings = values.filter_map(|value| value.to_str().ok()).flat_map(|it| it.split(','));
    { encodings }.any(|encoding| {
        let (name, quality) = encoding.split_once(';').unwrap_or((encoding, ""));
        let quality = quality.trim().strip_prefix("q=").and_then(|it| it.parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("deflate") && quality.is_none_or(|it| it > 0.0)
    })
}

/// A higher level saves less than 1%.
const COMPRESSION_LEVEL: u8 = 6;

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use axum::body::{Body, to_bytes};
    use http::Request;
    use miniz_oxide::inflate::decompress_to_vec_zlib;
    use tower::ServiceExt as _;

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

    #[tokio::test]
    async fn an_asset_is_compressed_for_a_client_that_accepts_it() {
        for (accepted, is_compressed) in [
            ("gzip, deflate, br, zstd", true),
            ("Deflate;q=0.5", true),
            ("gzip, deflate;q=0", false),
            ("identity", false),
        ] {
            let request = Request::get(format!("/assets/{}/app.js", *VERSION))
                .header(header::ACCEPT_ENCODING, accepted)
                .body(Body::empty())
                .unwrap();
            let response = routes::<()>().oneshot(request).await.unwrap();
            assert_eq!(response.headers()[header::VARY], "accept-encoding");
            let encoding = response.headers().get(header::CONTENT_ENCODING).cloned();
            let sent = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            let text = include_str!("../page/app.js").as_bytes();
            if is_compressed {
                assert_eq!(encoding.unwrap(), "deflate", "{accepted}");
                assert!(2 * sent.len() < text.len(), "{accepted}");
                assert_eq!(decompress_to_vec_zlib(&sent).unwrap(), text, "{accepted}");
            } else {
                assert_eq!((encoding, &*sent), (None, text), "{accepted}");
            }
        }
    }
}
