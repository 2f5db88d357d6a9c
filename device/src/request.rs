//! What a request to the control plane can end in, and what to do about it.

use fleet_protocol::problem::{self, Problem};
use jiff::fmt::rfc2822;
use ureq::http::{HeaderMap, HeaderName, StatusCode, header};

/// A request that did not succeed. `operation` says what it was for: `fetch the target`.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
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
    /// The answer is no. With a problem document the control plane itself says so, and why; without one it
    /// may be whatever stands before it.
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

impl RequestError {
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
            Self::Tls { .. } => "check the server's certificate against the fleet's CA, and the clock",
            Self::Refused {
                problem: Some(problem),
                ..
            } if problem.hint.is_some() => return problem.hint.clone().unwrap_or_default(),
            Self::Refused { status: 429, .. } => "nothing: it is tried again when the server wants it",
            Self::Refused {
                problem: Some(_),
                status,
                ..
            } => match status {
                401 => "enrol the device again if it stays",
                _ => "see the control plane's log for this request",
            },
            Self::Refused { problem: None, .. } | Self::Unexpected { .. } => {
                "check that the server's address leads to the control plane and not to a proxy or a portal"
            }
        }
        .to_owned()
    }

    /// For logs and pages: what happened and what to do.
    pub fn with_hint(&self) -> String {
        format!("{self}; {}", self.hint())
    }

    /// The HTTP status, if there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Unexpected { status, .. } => *status,
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Tls { .. } => None,
        }
    }

    /// The control plane does not take whoever asks for one of its own.
    pub fn is_refused_identity(&self) -> bool {
        matches!(self.status(), Some(401 | 403))
    }

    /// The control plane has understood the request and will never take what is in it.
    pub fn is_refused_content(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                status: 400 | 409 | 410 | 413 | 422,
                problem: Some(_),
                ..
            }
        )
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

    /// The answer is no answer of a control plane, or there was no request: see [`Self::Unexpected`].
    pub fn unexpected(
        operation: &'static str,
        status: Option<u16>,
        detail: impl std::fmt::Display,
    ) -> Self {
        Self::Unexpected {
            operation,
            status,
            detail: detail.to_string(),
        }
    }

    /// The answer was `status` with this head and body.
    pub fn refused(
        operation: &'static str,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Self {
        let text = |name| header_text(headers, &name).unwrap_or_default();
        let is_problem = text(header::CONTENT_TYPE)
            .to_ascii_lowercase()
            .starts_with(problem::CONTENT_TYPE);
        let problem = is_problem.then(|| serde_json::from_slice(body).ok());
        Self::Refused {
            operation,
            status: status.as_u16(),
            retry_after_s: retry_after_s(text(header::RETRY_AFTER), text(header::DATE)),
            problem: problem.flatten().map(Box::new),
        }
    }

    pub fn from_ureq(operation: &'static str, error: &ureq::Error) -> Self {
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
            ureq::Error::BodyExceedsLimit(limit) => Self::unexpected(
                operation,
                Some(200),
                format_args!("more than {limit} bytes"),
            ),
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

/// A header's value, if it is there and text.
pub fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// `Retry-After` as seconds (RFC 9110, §10.2.3): given as such, or as a date, which is held against the
/// server's own clock.
fn retry_after_s(value: &str, date: &str) -> Option<u64> {
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

    #[test]
    fn an_ended_certificate_is_told_apart_by_whose_it_is() {
        let hint = |error: rustls::Error| {
            let error = std::io::Error::other(error);
            RequestError::from_io("heartbeat", &error).hint()
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

    #[test]
    fn only_the_control_plane_itself_can_refuse_what_is_in_a_request() {
        let check = |status: u16, content_type: &'static str, expected| {
            let problem = serde_json::json!({
                "type": "https://fleet.invalid/errors/X", "title": "X", "status": status,
                "code": "X", "detail": "no", "instance": "/v1/x", "requestId": "req_1",
            });
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
            let status = StatusCode::from_u16(status).unwrap();
            let body = problem.to_string();
            let error = RequestError::refused("send events", status, &headers, body.as_bytes());
            assert_eq!(error.is_refused_content(), expected, "{error:?}");
        };
        check(422, "application/problem+json", true);
        check(422, "Application/Problem+JSON; charset=utf-8", true);
        check(422, "text/html", false);
        check(401, "application/problem+json", false);
        check(503, "application/problem+json", false);
    }
}
