//! What an operation answers when it does not do what was asked: refused, with a hint, or broken.

use fleet_protocol::problem::FieldError;
use serde_json::{Map, Value};

use super::rates::Standing;
use crate::disk::DiskError;
use crate::pki::PkiError;
use crate::store::StoreError;
use crate::tokens::RingError;

/// What kind of refusal; the HTTP status follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    BadRequest,
    Unauthenticated,
    Forbidden,
    NotFound,
    Conflict,
    Precondition,
    PreconditionRequired,
    TooLarge,
    Unprocessable,
    TooMany,
    Timeout,
    Unavailable,
}

/// A request that was understood and not done. Every one says what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub kind: Kind,
    /// Stable, for programs.
    pub code: &'static str,
    pub detail: String,
    pub hint: String,
    pub fields: Vec<FieldError>,
    pub retry_after_seconds: Option<u64>,
    /// The tag of what is there now, when another one was expected.
    pub current_etag: Option<String>,
    /// What is left to an asker who was refused for asking too often.
    pub standing: Option<Standing>,
    /// Facts for programs that go with the code.
    pub context: Map<String, Value>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}", .0.detail)]
    Refused(Box<Refusal>),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error(transparent)]
    Tokens(#[from] RingError),
}

impl Refusal {
    pub fn new(
        kind: Kind,
        code: &'static str,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            code,
            detail: detail.into(),
            hint: hint.into(),
            fields: Vec::new(),
            retry_after_seconds: None,
            current_etag: None,
            standing: None,
            context: Map::new(),
        }
    }

    /// Adds a fact for programs.
    #[must_use]
    pub fn with(mut self, name: &str, fact: impl Into<Value>) -> Self {
        self.context.insert(name.to_owned(), fact.into());
        self
    }

    /// A value that was understood and can't be used.
    pub fn field(field: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let message = message.into();
        let mut refusal = Self::new(
            Kind::Unprocessable,
            "VALIDATION_FAILED",
            format!("`{field}`: {message}"),
            hint,
        );
        refusal.fields.push(FieldError {
            field: field.to_owned(),
            message,
        });
        refusal
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

/// Somebody else changed it meanwhile.
pub(super) fn stale(what: &str, present: u64) -> Error {
    Refusal {
        current_etag: Some(etag(present)),
        ..Refusal::new(
            Kind::Precondition,
            "PRECONDITION_FAILED",
            format!("the {what} is at version {present} by now"),
            "fetch it again, repeat the change on it, and send its new ETag as If-Match",
        )
    }
    .into()
}

/// A version as an ETag.
pub(crate) fn etag(version: u64) -> String {
    format!("\"{version}\"")
}

pub(crate) fn no_such(what: &str, id: impl std::fmt::Display, list: &str) -> Error {
    Refusal::new(
        Kind::NotFound,
        "NOT_FOUND",
        format!("there is no {what} `{id}`"),
        format!("see {list} for those that there are"),
    )
    .into()
}
