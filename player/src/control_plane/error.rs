//! What a call to the control plane can end in, and what to do about it.

use fleet_protocol::problem::{self, Problem};
use jiff::fmt::rfc2822;

use super::identity::IdentityError;
use crate::core::sync::Failure;

/// Why there is no way to a control plane at all.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error(
        "`{address}` is no address of a control plane; it looks like https://host or http://localhost"
    )]
    NoAddress { address: String },
    #[error("the token does not go to `{host}` over plain http; use https, or allow plain http")]
    Plain { host: String },
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer: no route, no name, no server, a broken connection.
    #[error("{operation}: the control plane cannot be reached: {detail}")]
    Unreachable {
        operation: &'static str,
        detail: String,
    },
    #[error("{operation}: no answer in time ({phase})")]
    TimedOut {
        operation: &'static str,
        phase: String,
    },
    /// One of the two does not accept the other.
    #[error("{operation}: no trusted connection: {detail}")]
    Tls {
        operation: &'static str,
        detail: String,
    },
    /// The control plane says no, and perhaps why.
    #[error("{operation}: {}", refusal(*status, problem.as_deref()))]
    Refused {
        operation: &'static str,
        status: u16,
        retry_after_s: Option<u64>,
        problem: Option<Box<Problem>>,
    },
    /// An answer that is no answer of a control plane.
    #[error("{operation}: unexpected answer: {detail}")]
    Unexpected {
        operation: &'static str,
        /// `None`: the request could not even be made.
        status: Option<u16>,
        detail: String,
    },
}

fn refusal(status: u16, problem: Option<&Problem>) -> String {
    match problem {
        Some(problem) => format!("{} ({status} {})", problem.detail, problem.code),
        None => format!("HTTP {status}"),
    }
}

impl CallError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => {
                "nothing: it is tried again; if it stays, check the network and the server's address"
            }
            Self::Tls { .. } => "check the server's certificate against the fleet's CA, and the clock",
            Self::Refused {
                problem: Some(problem),
                ..
            } if problem.hint.is_some() => return problem.hint.clone().unwrap_or_default(),
            Self::Refused { status: 401, .. } => "pair the device again if it stays",
            Self::Refused { status: 429, .. } => "nothing: the player waits as long as it is told to",
            Self::Refused { .. } => "see the control plane's log for this request",
            Self::Unexpected { .. } => {
                "check that the server's address leads to the control plane and not to a proxy or a portal"
            }
        }
        .to_owned()
    }

    /// The HTTP status, if there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Unexpected { status, .. } => *status,
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Tls { .. } => None,
        }
    }

    /// The control plane has understood the request and will never take what is in it.
    pub fn is_refused_content(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                status: 400 | 409 | 410 | 413 | 422,
                ..
            }
        )
    }

    /// For the machine that decides when to ask again.
    pub fn failure(&self) -> Failure {
        Failure {
            status: self.status(),
            retry_after_s: match self {
                Self::Refused { retry_after_s, .. } => *retry_after_s,
                _ => None,
            },
            reason: self.to_string(),
        }
    }

    pub(super) fn unexpected(operation: &'static str, status: Option<u16>, detail: String) -> Self {
        Self::Unexpected {
            operation,
            status,
            detail,
        }
    }

    pub(super) fn from_ureq(operation: &'static str, error: &ureq::Error) -> Self {
        match error {
            ureq::Error::Timeout(phase) => Self::TimedOut {
                operation,
                phase: phase.to_string(),
            },
            ureq::Error::Tls(detail) => Self::Tls {
                operation,
                detail: (*detail).to_owned(),
            },
            ureq::Error::Rustls(source) => Self::Tls {
                operation,
                detail: source.to_string(),
            },
            ureq::Error::BodyExceedsLimit(limit) => Self::Unexpected {
                operation,
                status: Some(200),
                detail: format!("more than {limit} bytes"),
            },
            ureq::Error::Io(source) => Self::from_io(operation, source),
            other => Self::Unreachable {
                operation,
                detail: other.to_string(),
            },
        }
    }

    /// rustls and ureq hide their errors in those of the stream.
    fn from_io(operation: &'static str, error: &std::io::Error) -> Self {
        let inner = error.get_ref();
        if let Some(tls) = inner.and_then(|e| e.downcast_ref::<rustls::Error>()) {
            return Self::Tls {
                operation,
                detail: tls.to_string(),
            };
        }
        if let Some(error) = inner.and_then(|e| e.downcast_ref::<ureq::Error>()) {
            return Self::from_ureq(operation, error);
        }
        Self::Unreachable {
            operation,
            detail: error.to_string(),
        }
    }
}

/// The problem document, if that is what came.
pub(super) fn problem_of(content_type: &str, body: &[u8]) -> Option<Problem> {
    let is_problem = content_type.starts_with(problem::CONTENT_TYPE);
    is_problem.then(|| serde_json::from_slice(body).ok())?
}

/// `Retry-After` as seconds (RFC 9110, §10.2.3): given as such, or as a date, which is held against the
/// server's own clock.
pub(super) fn retry_after_s(value: &str, date: &str) -> Option<u64> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(seconds);
    }
    let at = rfc2822::parse(value.trim()).ok()?.timestamp();
    let now = rfc2822::parse(date.trim()).ok()?.timestamp();
    Some(u64::try_from(at.as_second() - now.as_second()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_after_is_a_number_or_a_date() {
        let check = |value: &str, date: &str, expected| {
            assert_eq!(retry_after_s(value, date), expected, "{value}");
        };
        let noon = "Wed, 21 Oct 2026 12:00:00 GMT";
        check("120", "", Some(120));
        check(" 0 ", "", Some(0));
        check("Wed, 21 Oct 2026 12:01:30 GMT", noon, Some(90));
        check("Wed, 21 Oct 2026 11:00:00 GMT", noon, Some(0));
        check("Wed, 21 Oct 2026 12:01:30 GMT", "", None);
        check("soon", noon, None);
        check("-5", noon, None);
        check("", "", None);
    }
}
