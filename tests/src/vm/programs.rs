//! Where QEMU and its companions come from. The harness does not choose: it is handed a place.

use std::fmt::Debug;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::error::{Result, VmError};

/// A source of programs, such as xtask's tools tree.
pub trait Programs: Debug + Send + Sync {
    /// A command that runs `program`. Killing the started process must end the program at once.
    fn command(&self, program: &str) -> Command;

    /// A data file of the same installation, such as `usr/share/OVMF/OVMF_CODE_4M.fd`.
    fn file(&self, relative: &str) -> PathBuf;
}

/// Runs a short program to its end and returns its standard output.
pub(crate) fn run(command: &mut Command, name: &str) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(VmError::io(format!("starting {name}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(VmError::Program {
        program: name.to_owned(),
        output: format!(
            "{} {}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout)
        ),
    })
}
