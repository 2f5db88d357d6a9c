//! Safe mode in HTML.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use fleet_device::clock;

use super::actions::{ActionError, UsbBundle};
use super::facts::Facts;
use super::install::InstallState;
use super::network::Trial;
use crate::page::{bytes, duration, web};

/// The log's share of a page that is to stay light.
const LOG_BYTES: usize = 16_000;

#[derive(Template)]
#[template(path = "door.html")]
struct DoorPage<'a> {
    title: &'static str,
    refresh_s: u32,
    facts: &'a Facts,
    problem: Option<String>,
}

/// What everybody on the LAN may see: what happened, and the field for the PIN.
pub(super) fn door(status: StatusCode, facts: &Facts, problem: Option<String>) -> Response {
    let page = DoorPage {
        title: "Safe mode",
        refresh_s: 0,
        facts,
        problem,
    };
    web::html(status, &page)
}

struct BundleLine {
    path: String,
    name: String,
    size: String,
    signed: bool,
}

#[derive(Template)]
#[template(path = "safe_mode.html")]
struct HomePage<'a> {
    title: &'static str,
    refresh_s: u32,
    facts: &'a Facts,
    token: &'a str,
    slot: String,
    other: Option<String>,
    temperature: Option<String>,
    uptime: String,
    data: String,
    data_usable: bool,
    addresses: String,
    bundles: Vec<BundleLine>,
    install: &'a InstallState,
    trial: Option<(String, u64)>,
    interfaces: &'a [(String, bool)],
    log: String,
}

/// After the PIN: everything known, and everything that can be done.
pub(super) fn home(
    facts: &Facts,
    token: &str,
    bundles: &[UsbBundle],
    install: &InstallState,
    trial: Option<&Trial>,
    interfaces: &[(String, bool)],
) -> Response {
    let now = clock::monotonic();
    let page = HomePage {
        title: "Safe mode",
        // A page that is being filled in must not reload.
        refresh_s: if matches!(
            install,
            InstallState::Receiving | InstallState::Running { .. }
        ) {
            3
        } else {
            0
        },
        facts,
        token,
        slot: facts.slot.map_or_else(|| "?".to_owned(), |s| s.to_string()),
        other: facts
            .other_good()
            .map(|line| format!("slot {}, version {}", line.slot, line.version)),
        temperature: facts.temperature_c.map(|c| format!("{c:.0} °C")),
        uptime: duration(facts.uptime_seconds),
        data: facts.data.sentence(),
        data_usable: facts.data.is_usable(),
        addresses: if facts.addresses.is_empty() {
            "none".to_owned()
        } else {
            facts.addresses.join(", ")
        },
        bundles: bundles
            .iter()
            .map(|bundle| BundleLine {
                path: bundle.path.display().to_string(),
                name: bundle.name.clone(),
                size: bytes(bundle.size_bytes),
                signed: bundle.metadata.is_some(),
            })
            .collect(),
        install,
        trial: trial.map(|t| (t.interface.clone(), t.until.since(now) / 1_000)),
        interfaces,
        log: newest(&facts.log).join("\n"),
    };
    web::html(StatusCode::OK, &page)
}

/// The newest lines, as many as there is room for.
fn newest(lines: &[String]) -> &[String] {
    let mut room = LOG_BYTES;
    let fits = |line: &&String| match room.checked_sub(escaped_bytes(line) + 1) {
        Some(left) => {
            room = left;
            true
        }
        None => false,
    };
    let count = lines.iter().rev().take_while(fits).count();
    &lines[lines.len() - count..]
}

/// As HTML: some characters become references such as `&#60;`.
fn escaped_bytes(text: &str) -> usize {
    let bytes = |c: char| {
        if "<>&\"'".contains(c) {
            5
        } else {
            c.len_utf8()
        }
    };
    text.chars().map(bytes).sum()
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    heading: String,
    text: String,
    /// Seconds after which the page looks again.
    refresh_s: u32,
}

impl Outcome {
    pub(super) fn new(heading: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            heading: heading.into(),
            text: text.into(),
            refresh_s: 0,
        }
    }

    pub(super) fn reboots(heading: impl Into<String>) -> Self {
        let text = "This takes about a minute. Watch the screen. If it comes back to safe mode, its page is \
                    at the address shown there.";
        Self::new(heading, text)
    }

    pub(super) fn installing() -> Self {
        Self {
            refresh_s: 2,
            ..Self::new("Installing", "The page shows how far it is.")
        }
    }
}

#[derive(Template)]
#[template(path = "outcome.html")]
struct OutcomePage<'a> {
    title: &'static str,
    refresh_s: u32,
    tone: &'static str,
    heading: &'a str,
    text: &'a str,
    hint: Option<&'a str>,
}

pub(super) fn outcome(result: Result<Outcome, ActionError>) -> Response {
    match result {
        Ok(outcome) => {
            let page = OutcomePage {
                title: "Safe mode",
                refresh_s: outcome.refresh_s,
                tone: "good",
                heading: &outcome.heading,
                text: &outcome.text,
                hint: None,
            };
            web::html(StatusCode::OK, &page)
        }
        Err(error) => refused(StatusCode::UNPROCESSABLE_ENTITY, "Not done", &error),
    }
}

/// A form without a live session, or not from this page.
pub(super) fn expired() -> Response {
    let error = ActionError::new(
        "you are not logged in any more, or the form is not of this page",
        "go back to the page and give the PIN again",
    );
    refused(StatusCode::FORBIDDEN, "Nothing was done", &error)
}

fn refused(status: StatusCode, heading: &str, error: &ActionError) -> Response {
    let page = OutcomePage {
        title: "Safe mode",
        refresh_s: 0,
        tone: "bad",
        heading,
        text: &error.message,
        hint: Some(&error.hint),
    };
    web::html(status, &page)
}
