//! All routes in one table, with who may call them.

use std::sync::Arc;

use axum::http::Method;
use axum::routing::{MethodRouter, delete, get, patch, post, put};

use super::{device, operator};
use crate::app::App;
use crate::console;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    Anyone,
    /// An enrolled device: client certificate and device token.
    Device,
    /// An operator: bearer token.
    Operator,
    /// An operator with a browser: session cookie.
    Browser,
}

/// Whether bodies are documents, or go on for as long as they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Document,
    Stream,
}

/// One row of the table.
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    pub audience: Audience,
    pub(super) body: Body,
    pub(super) handler: MethodRouter<Arc<App>>,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({:?})", self.method, self.path, self.audience)
    }
}

type Handler = MethodRouter<Arc<App>>;

fn row(
    audience: Audience,
    method: Method,
    path: &'static str,
    body: Body,
    handler: Handler,
) -> Route {
    Route {
        method,
        path,
        audience,
        body,
        handler,
    }
}

/// Every route that there is.
pub fn routes() -> Vec<Route> {
    let mut routes = device_routes();
    routes.extend(operator_routes());
    routes.extend(open_routes());
    routes
}

fn device_routes() -> Vec<Route> {
    use Body::{Document, Stream};
    use device as d;
    let row = |method, path, body, handler| row(Audience::Device, method, path, body, handler);
    vec![
        row(
            Method::POST,
            "/v1/device/certificate",
            Document,
            post(d::renew_certificate),
        ),
        row(
            Method::POST,
            "/v1/device/heartbeat",
            Document,
            post(d::heartbeat),
        ),
        row(Method::GET, "/v1/device/target", Document, get(d::target)),
        row(
            Method::GET,
            "/v1/device/commands",
            Document,
            get(d::commands),
        ),
        row(
            Method::POST,
            "/v1/device/commands/{command_id}/result",
            Document,
            post(d::command_result),
        ),
        row(Method::POST, "/v1/device/events", Document, post(d::events)),
        row(
            Method::POST,
            "/v1/device/update-report",
            Document,
            post(d::update_report),
        ),
        row(Method::GET, "/v1/device/wakeup", Stream, get(d::wakeup)),
        row(
            Method::PUT,
            "/v1/device/support-bundles/{name}",
            Stream,
            put(d::put_support_bundle),
        ),
        row(
            Method::GET,
            "/v1/device/bundles/{sha256}",
            Stream,
            get(d::bundle),
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn operator_routes() -> Vec<Route> {
    use Body::{Document, Stream};
    use operator as o;
    let row = |method, path, body, handler| row(Audience::Operator, method, path, body, handler);
    let (get_, post_) = (Method::GET, Method::POST);
    vec![
        row(
            post_.clone(),
            "/v1/enrolment-tokens",
            Document,
            post(o::create_enrolment_token),
        ),
        row(
            get_.clone(),
            "/v1/enrolment-tokens",
            Document,
            get(o::enrolment_tokens),
        ),
        row(get_.clone(), "/v1/overview", Document, get(o::overview)),
        row(get_.clone(), "/v1/devices", Document, get(o::devices)),
        row(
            Method::PATCH,
            "/v1/devices/{id}",
            Document,
            patch(o::change_device),
        ),
        row(get_.clone(), "/v1/devices/{id}", Document, get(o::device)),
        row(
            Method::DELETE,
            "/v1/devices/{id}",
            Document,
            delete(o::revoke_device),
        ),
        row(
            post_.clone(),
            "/v1/devices/{id}/restore",
            Document,
            post(o::restore_device),
        ),
        row(get_.clone(), "/v1/devices/{id}/why", Document, get(o::why)),
        row(
            get_.clone(),
            "/v1/devices/{id}/heartbeats",
            Document,
            get(o::heartbeats),
        ),
        row(
            post_.clone(),
            "/v1/devices/{id}/commands",
            Document,
            post(o::create_command),
        ),
        row(
            get_.clone(),
            "/v1/devices/{id}/commands",
            Document,
            get(o::commands),
        ),
        row(
            post_.clone(),
            "/v1/devices/{id}/commands/{command_id}/cancel",
            Document,
            post(o::cancel_command),
        ),
        row(
            get_.clone(),
            "/v1/devices/{id}/events",
            Document,
            get(o::events),
        ),
        row(
            get_.clone(),
            "/v1/devices/{id}/support-bundles",
            Document,
            get(o::support_bundles),
        ),
        row(
            get_.clone(),
            "/v1/devices/{id}/support-bundles/{name}",
            Stream,
            get(o::support_bundle),
        ),
        row(
            Method::PUT,
            "/v1/bundles/{sha256}",
            Stream,
            put(o::put_bundle),
        ),
        row(get_.clone(), "/v1/bundles/{sha256}", Stream, get(o::bundle)),
        row(
            Method::DELETE,
            "/v1/bundles/{sha256}",
            Document,
            delete(o::delete_bundle),
        ),
        row(get_.clone(), "/v1/bundles", Document, get(o::bundles)),
        row(
            post_.clone(),
            "/v1/bundles/prune",
            Document,
            post(o::prune_bundles),
        ),
        row(
            get_.clone(),
            "/v1/bundles/{sha256}/upload",
            Document,
            get(o::bundle_upload),
        ),
        row(
            post_.clone(),
            "/v1/releases",
            Document,
            post(o::create_release),
        ),
        row(get_.clone(), "/v1/releases", Document, get(o::releases)),
        row(
            post_.clone(),
            "/v1/releases/{version}/status",
            Document,
            post(o::set_release_status),
        ),
        row(
            post_.clone(),
            "/v1/rollouts",
            Document,
            post(o::create_rollout),
        ),
        row(get_.clone(), "/v1/rollouts", Document, get(o::rollouts)),
        row(get_.clone(), "/v1/rollouts/{id}", Document, get(o::rollout)),
        row(
            post_.clone(),
            "/v1/rollouts/{id}/pause",
            Document,
            post(o::pause_rollout),
        ),
        row(
            post_.clone(),
            "/v1/rollouts/{id}/resume",
            Document,
            post(o::resume_rollout),
        ),
        row(
            post_.clone(),
            "/v1/rollouts/{id}/abort",
            Document,
            post(o::abort_rollout),
        ),
        row(get_.clone(), "/v1/config/{scope}", Document, get(o::config)),
        row(
            Method::PUT,
            "/v1/config/{scope}",
            Document,
            put(o::put_config),
        ),
        row(get_.clone(), "/v1/keysets", Document, get(o::key_sets)),
        row(post_.clone(), "/v1/keysets", Document, post(o::add_key_set)),
    ]
}

fn open_routes() -> Vec<Route> {
    use Audience::{Anyone, Browser};
    use Body::Document;
    use console as c;
    vec![
        row(
            Anyone,
            Method::POST,
            "/v1/enroll",
            Document,
            post(device::enrol),
        ),
        row(
            Anyone,
            Method::GET,
            "/healthz",
            Document,
            get(super::healthz),
        ),
        row(Anyone, Method::GET, "/readyz", Document, get(super::readyz)),
        row(Anyone, Method::GET, "/login", Document, get(c::login)),
        row(
            Anyone,
            Method::POST,
            "/login",
            Document,
            post(c::submit_login),
        ),
        row(Anyone, Method::POST, "/logout", Document, post(c::logout)),
        row(Browser, Method::GET, "/", Document, get(c::fleet)),
        row(
            Browser,
            Method::GET,
            "/rollouts/{id}",
            Document,
            get(c::rollout),
        ),
        row(
            Browser,
            Method::GET,
            "/devices/{id}",
            Document,
            get(c::device),
        ),
    ]
}
