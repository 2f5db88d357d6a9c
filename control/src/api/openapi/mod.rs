//! The API as an OpenAPI 3.1 document, and as a page to read.
//!
//! Nothing of it is written by hand: the routes are those of the table, requests and answers are the types of the
//! handlers, fields and their meaning are those of the types. What answers stand in the document is checked by the
//! tests, which hold every answer that they get against it.

mod operation;
mod page;
mod schemas;
mod signature;

use std::sync::{Arc, LazyLock};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use fleet_protocol::enrolment::DEVICE_TOKEN_HEADER;
use fleet_protocol::problem::Problem;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

pub(super) use operation::Operation;
pub(super) use signature::{Signature, VERSION_TAG};

use self::schemas::Schemas;
use super::routes::routes;
use crate::app::App;

/// What a picture or film may be.
pub(super) const MEDIA: &[&str] = &["image/jpeg", "image/png", "video/mp4"];

/// A list without pages.
#[derive(JsonSchema)]
#[schemars(rename = "ListOf{T}")]
pub(super) struct Items<T> {
    #[expect(dead_code, reason = "only ever described")]
    items: Vec<T>,
}

const ABOUT: &str = "The API of Fleet's control plane, for operators' programs, devices and players.

Who asks: an operator sends a bearer token. A device shows the client certificate that it got when it enrolled, and \
sends its token beside it. Browsers log in at /login and get a cookie for the console's pages.

Errors are `application/problem+json` (RFC 9457). `code` is stable and for programs, `detail` and `hint` are for \
people, `requestId` is in the control plane's log too and in the header `x-request-id` of every answer.

Lists come in pages: `nextCursor` of one is `cursor` of the next; without it, there is no more.

Changes of what several people work on need `If-Match` with the `ETag` of an earlier answer. Whoever leaves it out \
gets 428; with an old one 412, and `currentEtag` says the present one.

Fields that are not known are ignored, or refused with 422 where a type takes no others. Instants are RFC 3339 in UTC; \
units stand at the end of a field's name.";

/// The document.
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(make);
    &DOCUMENT
}

fn make() -> Value {
    let mut schemas = Schemas::new();
    let problem = schemas.given::<Problem>();
    debug_assert_eq!(problem["$ref"], "#/components/schemas/Problem");
    let (mut paths, mut problems, mut tags) = (Map::new(), Map::new(), Vec::new());
    for route in routes().iter().filter(|r| r.path.starts_with("/v1/")) {
        let mut operation = Operation::new(&mut schemas);
        route.describe(&mut operation);
        let operation = operation.finish(route, &mut problems);
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        methods[route.method.as_str().to_lowercase()] = operation;
        let tag = json!({"name": route.tag});
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Fleet",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": tags,
        "paths": paths,
        "components": {"responses": problems, "securitySchemes": security_schemes()},
    });
    schemas.finish(&mut document);
    document
}

fn security_schemes() -> Value {
    json!({
        "operator": {
            "type": "http", "scheme": "bearer", "description": "An operator's token.",
        },
        "certificate": {
            "type": "mutualTLS",
            "description": "The client certificate that the device got when it enrolled.",
        },
        "deviceToken": {
            "type": "apiKey", "in": "header", "name": DEVICE_TOKEN_HEADER,
            "description": "The token that the device got when it enrolled.",
        },
        "deviceBearer": {
            "type": "http", "scheme": "bearer", "description": "The same token, as players send it.",
        },
        "browser": {
            "type": "apiKey", "in": "cookie", "name": crate::console::COOKIE,
            "description": "A session of the console.",
        },
    })
}

/// `GET /v1/openapi.json`
pub(super) async fn json(State(_): State<Arc<App>>) -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, TEXT.as_str()).into_response()
}

/// `GET /v1/docs`
pub(super) async fn page(State(_): State<Arc<App>>) -> Response {
    page::render(document())
}
