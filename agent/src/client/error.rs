//! What a request to the control plane can end in, and what to do about it.

use fleet_protocol::problem::Problem;

/// A request that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
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
    /// One of the two does not accept the other's certificate.
    #[error("{operation}: no trusted connection: {detail}")]
    Tls {
        operation: &'static str,
        detail: String,
    },
    /// The control plane says no, and why.
    #[error("{operation}: {} ({})", problem.detail, problem.code)]
    Refused {
        operation: &'static str,
        problem: Box<Problem>,
    },
    /// An answer that is no answer of a control plane.
    #[error("{operation}: unexpected answer: {detail}")]
    Unexpected {
        operation: &'static str,
        status: u16,
        detail: String,
    },
}

impl ClientError {
    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => {
                "nothing: it is tried again; if it stays, check the network and the server's address"
            }
            Self::Tls { detail, .. } if detail.contains("NotValidYet") => {
                "the device's clock is behind: let it reach a time server once"
            }
            Self::Tls { .. } => {
                "check the server's certificate against the fleet's CA, and the device's clock"
            }
            Self::Refused { problem, .. } => {
                return problem
                    .hint
                    .clone()
                    .unwrap_or_else(|| "see the control plane's log for this request".to_owned());
            }
            Self::Unexpected { .. } => {
                "check that the server address leads to the control plane and not to a proxy"
            }
        }
        .to_owned()
    }

    /// The HTTP status, if there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { problem, .. } => Some(problem.status),
            Self::Unexpected { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The control plane has understood the request and will never take what is in it.
    pub fn is_refused_content(&self) -> bool {
        matches!(self, Self::Refused { problem, .. } if matches!(problem.status, 400 | 413 | 422))
    }

    /// For logs and pages: what happened and what to do.
    pub fn with_hint(&self) -> String {
        format!("{self}; {}", self.hint())
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
            ureq::Error::Io(source) => Self::from_io(operation, source),
            other => Self::Unreachable {
                operation,
                detail: other.to_string(),
            },
        }
    }

    /// rustls hides its errors in those of the stream.
    pub(super) fn from_io(operation: &'static str, error: &std::io::Error) -> Self {
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
