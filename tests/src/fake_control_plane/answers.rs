//! What the contract answers, and what a fault makes of it.

use fleet_protocol::event::MAX_EVENTS_PER_BATCH;
use fleet_protocol::player::MAX_PROOFS_PER_BATCH;
use fleet_protocol::problem::{self, Problem};
use serde_json::{Value, json};

use super::http::{Request, Response};
use super::{Fault, Shared, State};

impl Shared {
    pub(super) fn answer(&self, request: &Request, fault: Option<&Fault>) -> Response {
        let right = |request: &Request| {
            if let Some(name) = request.path.strip_prefix("/assets/") {
                self.asset(name, request)
            } else {
                self.state().answer(request)
            }
        };
        match fault {
            None | Some(Fault::Hang | Fault::Close | Fault::CutAfter(_) | Fault::LoseAnswer) => {
                right(request)
            }
            Some(Fault::Status(status)) => problem(*status, request),
            Some(Fault::RetryAfter(status, value)) => {
                problem(*status, request).header("retry-after", value)
            }
            Some(Fault::Redirect(to)) => Response::new(302).header("location", to),
            Some(Fault::TruncatedTo(bytes)) => {
                let mut response = right(request);
                response.body.truncate(*bytes);
                response
            }
            Some(Fault::FlippedBit) => {
                let mut response = right(request);
                let middle = response.body.len() / 2;
                if let Some(byte) = response.body.get_mut(middle) {
                    *byte ^= 1;
                }
                response
            }
            Some(Fault::ContentType(kind)) => right(request).header("content-type", kind),
            Some(Fault::Body(body)) => right(request).body(body.clone()),
            Some(Fault::IgnoreTag) => {
                let mut untagged = request.clone();
                untagged.headers.remove("if-none-match");
                right(&untagged)
            }
        }
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Response {
        let expected = format!("Bearer {}", self.token);
        if request.headers.get("authorization") != Some(&expected) {
            return problem(401, request);
        }
        let sent = || serde_json::from_slice::<Value>(&request.body).ok();
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/v1/player/manifest") => self.manifest(request),
            ("GET", "/v1/player/commands") => {
                Response::json(200, &json!({"items": self.pending()}))
            }
            ("POST", "/v1/player/heartbeat") => match sent() {
                Some(heartbeat) => {
                    self.heartbeats.push(heartbeat);
                    Response::new(204)
                }
                None => problem(422, request),
            },
            ("POST", "/v1/player/events") => {
                self.batch(request, "events", MAX_EVENTS_PER_BATCH, |state| {
                    &mut state.events
                })
            }
            ("POST", "/v1/player/proof-of-play") => {
                self.batch(request, "proofs", MAX_PROOFS_PER_BATCH, |state| {
                    &mut state.proofs
                })
            }
            ("POST", path) => match (command_of(path), sent()) {
                (Some(id), Some(result)) => {
                    self.results.entry(id.to_owned()).or_default().push(result);
                    Response::new(204)
                }
                (Some(_), None) => problem(422, request),
                (None, _) => problem(404, request),
            },
            _ => problem(404, request),
        }
    }

    fn manifest(&self, request: &Request) -> Response {
        let etag = self.manifest.get("manifestEtag").and_then(Value::as_str);
        let etag = format!("\"{}\"", etag.unwrap_or_default());
        let response = if request.headers.get("if-none-match") == Some(&etag) {
            Response::new(304)
        } else {
            Response::json(200, &self.manifest)
        };
        response.header("etag", &etag)
    }

    fn pending(&self) -> Vec<Value> {
        let is_pending = |command: &&Value| {
            let id = command.get("commandId").and_then(Value::as_str);
            id.is_none_or(|id| !self.results.contains_key(id))
        };
        self.commands.iter().filter(is_pending).cloned().collect()
    }

    /// A batch whose id is known is taken, and counts for nothing.
    fn batch(
        &mut self,
        request: &Request,
        field: &str,
        max: usize,
        kept: fn(&mut Self) -> &mut Vec<Value>,
    ) -> Response {
        let sent: Option<Value> = serde_json::from_slice(&request.body).ok();
        let rows = sent.as_ref().and_then(|sent| sent.get(field)?.as_array());
        let Some(rows) = rows.filter(|rows| rows.len() <= max) else {
            return problem(422, request);
        };
        let id = request.headers.get("idempotency-key");
        if id.is_none_or(|id| self.batches.insert(id.clone())) {
            kept(self).extend(rows.iter().cloned());
        }
        Response::new(204)
    }
}

/// Of `/v1/player/commands/ID/result`.
fn command_of(path: &str) -> Option<&str> {
    path.strip_prefix("/v1/player/commands/")?
        .strip_suffix("/result")
}

pub(super) fn problem(status: u16, request: &Request) -> Response {
    let (code, hint) = match status {
        401 => ("UNAUTHORIZED", Some("pair the device again".to_owned())),
        403 => ("FORBIDDEN", None),
        404 => ("NOT_FOUND", None),
        422 => ("VALIDATION_FAILED", None),
        429 => ("RATE_LIMITED", None),
        _ => ("FAULT", None),
    };
    let document = Problem {
        type_uri: format!("https://fleet.invalid/errors/{code}"),
        title: code.to_owned(),
        status,
        code: code.to_owned(),
        detail: format!("the fake control plane answers {status}"),
        hint,
        instance: request.path.clone(),
        request_id: "req_fake".to_owned(),
        errors: Vec::new(),
        retry_after_seconds: None,
        current_etag: None,
        context: serde_json::Map::new(),
    };
    let body = serde_json::to_vec(&document).unwrap_or_default();
    Response::new(status)
        .header("content-type", problem::CONTENT_TYPE)
        .body(body)
}
