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
        /// `None`: the request could not even be made.
        status: Option<u16>,
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
            // The control plane's alert, in rustls' words; below, rustls' own finding.
            Self::Tls { detail, .. } if detail.contains("CertificateExpired") => {
                "the device's certificate has ended: put a new provisioning file on the boot partition"
            }
            Self::Tls { detail, .. } if detail.contains("certificate expired") => {
                "the server's certificate has ended: start the control plane anew"
            }
            Self::Tls { .. } => "check the server's certificate against the fleet's CA",
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
            Self::Unexpected { status, .. } => *status,
            _ => None,
        }
    }

    /// The control plane has understood the request and will never take what is in it.
    pub fn is_refused_content(&self) -> bool {
        matches!(self, Self::Refused { problem, .. } if matches!(problem.status, 400 | 413 | 422))
    }

    /// The control plane, or what stands before it, says that it is out of service for now.
    pub fn is_out_of_service(&self) -> bool {
        matches!(self.status(), Some(502..=504))
    }

    /// The same request may succeed later without anybody doing anything.
    pub fn is_passing(&self) -> bool {
        match (self, self.status()) {
            (_, Some(status)) => status >= 500 || matches!(status, 408 | 425 | 429),
            (Self::Unexpected { .. }, None) => false,
            (_, None) => true,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_certificate_is_told_apart_by_whose_it_is() {
        let hint = |error: rustls::Error| {
            let error = std::io::Error::other(error);
            ClientError::from_io("heartbeat", &error).hint()
        };
        let alert = rustls::AlertDescription::CertificateExpired;
        assert!(hint(rustls::Error::AlertReceived(alert)).contains("the device's certificate"));
        let at = |second| {
            let passed = std::time::Duration::from_secs(second);
            rustls_pki_types::UnixTime::since_unix_epoch(passed)
        };
        let ended = rustls::CertificateError::ExpiredContext {
            time: at(2),
            not_after: at(1),
        };
        assert!(hint(ended.into()).contains("the server's certificate"));
    }
}
