//! The door of the page: PIN, lockout, sessions, and the checks that every form passes.

use std::sync::Mutex;

use axum::http::{HeaderMap, header};
use fleet_device::files::{self, Access};

use super::lockout::{Lockout, Tries};
use super::pin::Pin;
use super::session::{Sessions, Token};
use crate::core::Monotonic;
use crate::platform::paths::Paths;

const COOKIE: &str = "fleet_session";

/// Who may act.
#[derive(Debug)]
pub struct Gate {
    pin: Pin,
    paths: Paths,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    lockout: Lockout,
    sessions: Sessions,
}

/// Why a PIN opened nothing; the sentence is for the one who typed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    #[error("That is not the PIN. {0}")]
    Wrong(String),
    #[error("Too many wrong PINs. Try again in {}.", crate::page::duration(*.0))]
    Locked(u64),
    #[error("The device has no random numbers yet. Try again in a minute.")]
    NoRandomness,
}

impl Gate {
    pub fn new(paths: &Paths, pin: Pin, now: Monotonic) -> Self {
        let tries = places(paths)
            .iter()
            .filter_map(|path| match files::read_json::<Tries>(path, 4_096) {
                files::Found::Value(tries) => Some(tries),
                _ => None,
            })
            .max_by_key(|tries| tries.failures)
            .unwrap_or_default();
        Self {
            pin,
            paths: paths.clone(),
            inner: Mutex::new(Inner {
                lockout: Lockout::resume(tries, now),
                sessions: Sessions::default(),
            }),
        }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Nothing that holds the lock leaves it half changed.
        self.inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The cookie of a new session, for the right PIN.
    pub fn log_in(&self, typed: &str, now: Monotonic) -> Result<String, LoginError> {
        let mut inner = self.inner();
        inner
            .lockout
            .begin(now)
            .map_err(|locked| LoginError::Locked(locked.wait_s))?;
        // Counted before it is judged: cutting the power does not give the try back.
        self.persist(inner.lockout.tries());
        let right = Pin::parse(typed).is_some_and(|typed| self.pin.matches(&typed));
        if !right {
            let left = match inner.lockout.locked(now) {
                Some(locked) => format!("Now wait {}.", crate::page::duration(locked.wait_s)),
                None => format!("{} more before the page locks.", inner.lockout.tries_left()),
            };
            return Err(LoginError::Wrong(left));
        }
        inner.lockout.succeeded();
        self.persist(inner.lockout.tries());
        let id = Token::random().map_err(|_| LoginError::NoRandomness)?;
        let form_token = Token::random().map_err(|_| LoginError::NoRandomness)?;
        let cookie = format!(
            "{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict",
            id.as_str()
        );
        inner.sessions.open(id, form_token, now);
        Ok(cookie)
    }

    /// The form token of the request's session; `None`: nobody is logged in.
    pub fn form_token(&self, headers: &HeaderMap, now: Monotonic) -> Option<Token> {
        self.inner().sessions.form_token(&cookie(headers)?, now)
    }

    /// Whether this form may act: a live session, its own token, and not sent by another site.
    pub fn allows(&self, headers: &HeaderMap, token: &str, now: Monotonic) -> bool {
        same_origin(headers)
            && self
                .form_token(headers, now)
                .is_some_and(|t| t.matches(token))
    }

    pub fn log_out(&self, headers: &HeaderMap) {
        if let Some(id) = cookie(headers) {
            self.inner().sessions.close(&id);
        }
    }

    /// Whether somebody is logged in.
    pub fn is_somebody_there(&self, now: Monotonic) -> bool {
        self.inner().sessions.any(now)
    }

    /// Somebody is at the device: what others guessed is forgotten. Returns the PIN for the screen.
    pub fn presence(&self) -> String {
        let mut inner = self.inner();
        if inner.lockout.tries() != Tries::default() {
            inner.lockout.succeeded();
            self.persist(Tries::default());
        }
        self.pin.for_people()
    }

    /// On `/run` always, on `/data` if it is there; the higher count is believed.
    fn persist(&self, tries: Tries) {
        for path in places(&self.paths) {
            let home_exists = path
                .parent()
                .and_then(std::path::Path::parent)
                .is_some_and(std::path::Path::is_dir);
            if !home_exists {
                continue;
            }
            if let Err(error) = files::write_json(&path, &tries, Access::Secret) {
                log::warn!(error:% = error; "the count of wrong PINs could not be kept");
            }
        }
    }
}

fn places(paths: &Paths) -> [std::path::PathBuf; 2] {
    [
        paths.run.join("pin-tries.json"),
        paths.state().join("pin-tries.json"),
    ]
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| {
            pair.trim()
                .strip_prefix(COOKIE)?
                .strip_prefix('=')
                .map(str::to_owned)
        })
}

/// A browser says where a form came from; no header means it is no browser of another site.
pub(super) fn same_origin(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok());
    match headers.get(header::ORIGIN).map(|o| o.to_str()) {
        None => true,
        Some(Ok(origin)) => origin
            .strip_prefix("http://")
            .is_some_and(|o| Some(o) == host),
        Some(Err(_)) => false,
    }
}
