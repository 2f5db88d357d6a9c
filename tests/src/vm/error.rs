//! What can go wrong around a virtual machine, always with what was being tried and where to look.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why the harness could not do something. Every message says what to look at next.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    #[error("{what}: {source}")]
    Io {
        what: String,
        #[source]
        source: io::Error,
    },
    #[error("{program} failed: {output}")]
    Program { program: String, output: String },
    #[error("QMP `{command}` failed: {reason}")]
    Qmp { command: String, reason: String },
    #[error("waited {waited:?} for {what}; the log ends:\n{tail}\nhint: the whole log is {}", log.display())]
    Deadline {
        what: String,
        waited: Duration,
        tail: String,
        log: PathBuf,
    },
    #[error("the machine is off ({what}); {detail}")]
    Off { what: String, detail: String },
    #[error("`{command}` in the guest ended with {status}: {output}")]
    Shell {
        command: String,
        status: i32,
        output: String,
    },
    #[error("{} is not the disk that was expected: {reason}", path.display())]
    Disk { path: PathBuf, reason: String },
}

impl VmError {
    /// Wraps an I/O error with what was being tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// The result of anything done to a machine.
pub type Result<T> = std::result::Result<T, VmError>;
