//! The style sheet, the script and the mark. Their addresses change with their contents, so that a browser may keep them.

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use minijinja::{Value, context};
use sha2::{Digest, Sha256};

use super::Broken;
use crate::web::problem::Problem;

const STYLE: &str = include_str!("../../../assets/web/style.css");
const LIVE: &str = include_str!("../../../assets/web/live.js");
const MARK: &str = include_str!("../../../assets/web/mark.svg");

/// Stem, ending, kind and contents.
const FILES: &[(&str, &str, &str, &str)] = &[
    ("style", "css", "text/css; charset=utf-8", STYLE),
    ("live", "js", "text/javascript; charset=utf-8", LIVE),
    ("mark", "svg", "image/svg+xml", MARK),
];

fn name(stem: &str, ending: &str, contents: &str) -> String {
    format!("{stem}-{}.{ending}", &hex::encode(Sha256::digest(contents))[..12])
}

/// Where the files are, by their stems.
pub(super) fn addresses() -> Value {
    let address = |stem: &str| {
        let file = FILES.iter().find(|(other, ..)| *other == stem);
        file.map_or(String::new(), |(stem, ending, _, contents)| {
            format!("/assets/{}", name(stem, ending, contents))
        })
    };
    context! { style => address("style"), live => address("live"), mark => address("mark") }
}

/// One of the files, as it is now.
pub(super) async fn file(Path(asked): Path<String>) -> Result<Response, Broken> {
    let file = FILES.iter().find(|(stem, ending, _, contents)| name(stem, ending, contents) == asked);
    let Some((_, _, kind, contents)) = file else {
        return Err(Problem::not_found("there is no such file").into());
    };
    let for_ever = HeaderValue::from_static("public, max-age=31536000, immutable");
    Ok((
        [(header::CONTENT_TYPE, HeaderValue::from_static(kind)), (header::CACHE_CONTROL, for_ever)],
        *contents,
    )
        .into_response())
}

/// What browsers ask for by themselves.
pub(super) async fn icon() -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml"))], MARK).into_response()
}
