//! A file is looked at by `fleet-control look`, a process of its own: it gets the file as its standard input, locks
//! itself in, and answers one JSON document.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fleet_protocol::content::{AssetKind, FailureReason};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use super::{Limits, Seen, Unfit, fence, look};

/// A thumbnail and a few numbers.
const MAX_ANSWER_BYTES: u64 = 1 << 20;
const MAX_SAID_BYTES: u64 = 16 << 10;
/// Of wall time; its processor time is limited too.
const DEADLINE: Duration = Duration::from_mins(2);

/// What came of a look.
pub type Finding = Result<Seen, Unfit>;

/// Why there was no look: this host's fault, and not the file's.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error("starting {}", program.display())]
    Start {
        program: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("waiting for the reader")]
    Wait(#[source] std::io::Error),
    #[error("the reader ended with {status}: {said}")]
    Ended { status: ExitStatus, said: String },
    #[error("the reader's answer makes no sense")]
    Answer(#[from] serde_json::Error),
    #[error("looking at the file within this process")]
    Here(#[from] tokio::task::JoinError),
}

/// What the process answers.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Answer {
    #[serde(rename_all = "camelCase")]
    Seen {
        kind: AssetKind,
        width_px: u32,
        height_px: u32,
        duration_ms: Option<u64>,
        thumbnail: Option<String>,
    },
    Unfit(Unfit),
}

/// The process itself: looks at its standard input. `limits` as JSON.
///
/// # Errors
/// When it can't lock itself in, or its standard input is no file.
pub fn run(limits: &str) -> anyhow::Result<()> {
    let limits: Limits = serde_json::from_str(limits)?;
    let file = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    fence::enter()?;
    let answer = match look(file, &limits) {
        Ok(seen) => Answer::Seen {
            kind: seen.kind,
            width_px: seen.width_px,
            height_px: seen.height_px,
            duration_ms: seen.duration_ms,
            thumbnail: seen.thumbnail.map(|jpeg| STANDARD.encode(jpeg)),
        },
        Err(unfit) => Answer::Unfit(unfit),
    };
    std::io::stdout().write_all(&serde_json::to_vec(&answer)?)?;
    Ok(())
}

/// Who looks at a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looker {
    /// A process of this program's, by its sub-command `look`.
    Process(PathBuf),
    /// This very process: for tests that have the server within themselves, and files of their own.
    Here,
}

impl Default for Looker {
    /// The program that runs.
    fn default() -> Self {
        Self::Process(std::env::current_exe().unwrap_or_else(|_| "fleet-control".into()))
    }
}

impl Looker {
    /// What the file is and whether it can be played.
    ///
    /// # Errors
    /// When nobody could look; it may be tried again.
    pub async fn look(&self, file: File, limits: Limits) -> Result<Finding, LookError> {
        match self {
            Self::Process(program) => look_in_process(program, file, &limits).await,
            Self::Here => Ok(tokio::task::spawn_blocking(move || look(file, &limits)).await?),
        }
    }
}

async fn look_in_process(
    program: &Path,
    file: File,
    limits: &Limits,
) -> Result<Finding, LookError> {
    let limits = serde_json::to_string(limits).expect("limits are plain data");
    let process = Command::new(program)
        .args(["look", &limits])
        .env_clear()
        .stdin(file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let process = process.map_err(|source| LookError::Start {
        program: program.to_owned(),
        source,
    })?;
    let Ok(ended) = tokio::time::timeout(DEADLINE, ended(process)).await else {
        let seconds = DEADLINE.as_secs();
        let detail = format!("Looking at the file took more than {seconds} seconds.");
        return Ok(Err(Unfit::new(FailureReason::ProcessingTimeout, detail)));
    };
    let (status, answer, said) = ended.map_err(LookError::Wait)?;
    if !status.success() {
        let said = String::from_utf8_lossy(&said).into_owned();
        return match broken_by_the_file(status) {
            Some(unfit) => {
                tracing::warn!(reader.status = %status, reader.said = %said, "a file broke its reader");
                Ok(Err(unfit))
            }
            None => Err(LookError::Ended { status, said }),
        };
    }
    Ok(match serde_json::from_slice(&answer)? {
        Answer::Unfit(unfit) => Err(unfit),
        Answer::Seen {
            kind,
            width_px,
            height_px,
            duration_ms,
            thumbnail,
        } => Ok(Seen {
            kind,
            width_px,
            height_px,
            duration_ms,
            thumbnail: thumbnail.and_then(|jpeg| STANDARD.decode(jpeg).ok()),
        }),
    })
}

/// How the process ended, what it answered and what else it said: no more than an answer can be, whatever it is that
/// writes.
async fn ended(mut process: Child) -> std::io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    async fn read(pipe: Option<impl AsyncRead + Unpin>, most: u64) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            pipe.take(most).read_to_end(&mut bytes).await?;
        }
        Ok(bytes)
    }
    let (out, err) = (process.stdout.take(), process.stderr.take());
    let (answer, said) = tokio::try_join!(read(out, MAX_ANSWER_BYTES), read(err, MAX_SAID_BYTES))?;
    Ok((process.wait().await?, answer, said))
}

/// A file that breaks what reads it is damaged by that very fact; one that the host kills, or that has no room to
/// begin, is not.
fn broken_by_the_file(status: ExitStatus) -> Option<Unfit> {
    const PANIC: i32 = 101;
    let signal = status.signal();
    if signal == Some(libc::SIGXCPU) {
        let detail = "Looking at the file took too much of the processor's time.";
        return Some(Unfit::new(FailureReason::ProcessingTimeout, detail));
    }
    let faults = [
        libc::SIGABRT,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGSEGV,
    ];
    let is_fault = status.code() == Some(PANIC) || signal.is_some_and(|s| faults.contains(&s));
    is_fault.then(|| Unfit::corrupt("whatever reads it breaks"))
}
