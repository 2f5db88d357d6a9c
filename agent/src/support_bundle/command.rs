//! Running another program: with a deadline, a bounded output, and nothing of a shell.
//!
//! The one place of this crate that starts processes; everything that has a D-Bus interface goes
//! through the platform module instead. Safe mode uses it for what must work when D-Bus doesn't.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a program may take and how much it may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub deadline: Duration,
    pub max_bytes: usize,
}

impl Limits {
    pub const fn seconds(seconds: u64) -> Self {
        Self {
            deadline: Duration::from_secs(seconds),
            max_bytes: 64 * 1024,
        }
    }
}

/// What a program that ended with status 0 wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub stdout: Vec<u8>,
    /// There was more than the limit; the end is missing, cut at a line.
    pub truncated: bool,
}

impl Output {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("{program} is not on this system")]
    Missing { program: String },
    #[error("{program} could not be started")]
    Start {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{program} did not end within {seconds} s and was stopped")]
    Deadline { program: String, seconds: u64 },
    #[error("{program} failed ({status}): {message}")]
    Failed {
        program: String,
        status: ExitStatus,
        /// The last of what it wrote to standard error.
        message: String,
    },
}

/// Runs `program` with `arguments`, no input, in the C locale. Blocking.
///
/// # Errors
/// Any exit status but 0 is an error, with the end of standard error as its message.
pub fn run(program: &str, arguments: &[&str], limits: Limits) -> Result<Output, CommandError> {
    let end = Instant::now() + limits.deadline;
    let mut child = spawn(program, arguments)?;
    let (sender, receiver) = mpsc::channel();
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    let out_sender = sender.clone();
    std::thread::spawn(move || {
        let _ = out_sender.send((
            true,
            stdout.map_or((Vec::new(), false), |s| drain(s, limits.max_bytes)),
        ));
    });
    std::thread::spawn(move || {
        let _ = sender.send((
            false,
            stderr.map_or((Vec::new(), false), |s| drain(s, 4_096)),
        ));
    });
    let late = |child: &mut Child| {
        // Its readers end with it; a grandchild that keeps the pipe open keeps only its thread.
        let _ = child.kill();
        let _ = child.wait();
        CommandError::Deadline {
            program: program.to_owned(),
            seconds: limits.deadline.as_secs(),
        }
    };
    let (mut stdout, mut stderr) = ((Vec::new(), false), Vec::new());
    for _ in 0..2 {
        match receiver.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok((true, output)) => stdout = output,
            Ok((false, (text, _))) => stderr = text,
            Err(_) => return Err(late(&mut child)),
        }
    }
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) => return Err(late(&mut child)),
            Err(source) => {
                return Err(CommandError::Start {
                    program: program.to_owned(),
                    source,
                });
            }
        }
    };
    if status.success() {
        let (bytes, truncated) = stdout;
        return Ok(Output {
            stdout: if truncated { whole_lines(bytes) } else { bytes },
            truncated,
        });
    }
    Err(CommandError::Failed {
        program: program.to_owned(),
        status,
        message: last_lines(&String::from_utf8_lossy(&stderr)),
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the module that starts processes, with a deadline"
)]
fn spawn(program: &str, arguments: &[&str]) -> Result<Child, CommandError> {
    Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .env("SYSTEMD_COLORS", "0")
        .env("SYSTEMD_PAGER", "")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => CommandError::Missing {
                program: program.to_owned(),
            },
            _ => CommandError::Start {
                program: program.to_owned(),
                source,
            },
        })
}

/// Reads to the end so that the writer never blocks, but keeps only the first `max_bytes`.
fn drain(mut source: impl Read, max_bytes: usize) -> (Vec<u8>, bool) {
    let mut kept = Vec::new();
    let mut truncated = false;
    let mut buffer = [0; 8_192];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return (kept, truncated),
            Ok(count) => {
                let room = max_bytes - kept.len();
                kept.extend_from_slice(&buffer[..count.min(room)]);
                truncated |= count > room;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return (kept, true),
        }
    }
}

/// Without the last, possibly incomplete line: half a secret would escape redaction.
pub(super) fn whole_lines(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |at| at + 1);
    bytes.truncate(end);
    bytes
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join(" / ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_is_cut_at_a_line_and_says_so() {
        let limits = Limits {
            deadline: Duration::from_secs(20),
            max_bytes: 10,
        };
        let output = run("printf", &["one\\ntwo\\nthree\\n"], limits).unwrap();
        assert_eq!(
            (output.text().as_str(), output.truncated),
            ("one\ntwo\n", true)
        );
    }

    #[test]
    fn a_program_that_does_not_end_is_stopped() {
        let limits = Limits {
            deadline: Duration::from_millis(50),
            max_bytes: 10,
        };
        let error = run("sleep", &["600"], limits).unwrap_err();
        assert!(matches!(error, CommandError::Deadline { .. }), "{error}");
    }

    #[test]
    fn failure_and_absence_are_told_apart() {
        let limits = Limits::seconds(20);
        let failed = run("ls", &["/no/such/file"], limits).unwrap_err();
        assert!(failed.to_string().contains("/no/such/file"), "{failed}");
        let missing = run("no-such-program-here", &[], limits).unwrap_err();
        assert!(matches!(missing, CommandError::Missing { .. }), "{missing}");
    }
}
