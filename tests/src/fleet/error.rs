//! What can go wrong around a fleet on one host.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::vm::VmError;

/// Why something around the fleet did not work, with where to look next.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    #[error(transparent)]
    Vm(#[from] VmError),
    #[error("{what}: {source}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
    #[error("{method} {path} was answered with {status}: {answer}")]
    Refused {
        method: &'static str,
        path: String,
        status: u16,
        answer: String,
    },
    #[error("{method} {path}: {reason}")]
    Unreachable {
        method: &'static str,
        path: String,
        reason: String,
    },
    #[error("`{command}` failed ({status}): {output}")]
    Command {
        command: String,
        status: String,
        output: String,
    },
    #[error("waited {} s for {what}; last seen: {last}", waited.as_secs())]
    Deadline {
        what: String,
        waited: Duration,
        last: String,
    },
    #[error("the control plane did not start: {reason}\nhint: its log is {}", log.display())]
    Control { reason: String, log: PathBuf },
    #[error("{what} is not as expected: {reason}")]
    Unexpected { what: String, reason: String },
}

impl FleetError {
    /// Wraps an I/O error with what was being tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// The result of anything done to a fleet.
pub type Result<T> = std::result::Result<T, FleetError>;
