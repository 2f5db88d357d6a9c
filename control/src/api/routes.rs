//! All routes in one table, with who may call them and what they do. The document at `/v1/openapi.json` is made of it.

mod content;
mod device;
mod fleet;
mod people;

use axum::http::Method;
use axum::routing::{get, post};
use serde_json::{Map, Value};

use super::route::Rows;
pub use super::route::{Audience, Route};
use super::{monitoring, openapi};
use crate::console;

/// Every route that there is.
pub fn routes() -> Vec<Route> {
    let tables = [
        people::logging_in(),
        people::users(),
        content::library(),
        content::venues(),
        content::schedules(),
        fleet::devices(),
        fleet::alerts(),
        fleet::webhooks(),
        fleet::mail(),
        fleet::releases(),
        device::agents(),
        device::players(),
        open_routes(),
    ];
    tables.into_iter().flatten().collect()
}

#[rustfmt::skip]
fn open_routes() -> Vec<Route> {
    use console as c;
    let open = Rows { audience: Audience::Anyone, tag: "This document" };
    let browser = Rows { audience: Audience::Browser, ..open };
    let monitor = Rows { audience: Audience::Monitoring, ..open };
    vec![
        open.get("/v1/openapi.json", openapi::json, "The API as an OpenAPI 3.1 document").returns::<Map<String, Value>>(),
        open.get("/v1/docs", openapi::page, "The same as a page to read").media("text/html"),
        open.page(Method::GET, "/healthz", get(monitoring::healthz)),
        open.page(Method::GET, "/readyz", get(monitoring::readyz)),
        monitor.page(Method::GET, "/metrics", get(monitoring::metrics)),
        open.page(Method::GET, "/login", get(c::login)),
        open.page(Method::POST, "/login", post(c::submit_login)),
        open.page(Method::POST, "/logout", post(c::logout)),
        open.page(Method::GET, "/pair", get(c::pair)),
        open.page(Method::POST, "/pair", post(c::submit_pair)),
        open.page(Method::GET, "/forgot", get(c::forgot)),
        open.page(Method::POST, "/forgot", post(c::submit_forgot)),
        open.page(Method::GET, "/join", get(c::join)),
        open.page(Method::POST, "/join", post(c::submit_join)),
        browser.page(Method::GET, "/", get(c::fleet)),
        browser.page(Method::GET, "/rollouts/{id}", get(c::rollout)),
        browser.page(Method::GET, "/devices/{id}", get(c::device)),
    ]
}
