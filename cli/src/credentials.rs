//! The file that keeps somebody logged in: an access token and the refresh token for the next one.
//!
//! Invariants:
//! - It is the owner's alone (0600); one that others can read is not used.
//! - It changes only under the lock beside it, so that two `fleet` at once never use one refresh token: the control
//!   plane takes a second use for a theft, and ends the session.
//! - New tokens are on disk before they are used.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fleet_protocol::Sha256;
use fleet_protocol::access::Tokens;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::error::{CommandError, Kind, Result};
use crate::store::{self, Access, Existing};

const LOGIN: &str = "log in: fleet login";
/// An access token with less than this left may end before the request arrives.
const MARGIN: SignedDuration = SignedDuration::from_secs(30);
/// The holder of the lock does one request, which has a deadline of its own.
const LOCK_TRIES: u32 = 1500;
const LOCK_PAUSE: Duration = Duration::from_millis(60);

/// Who is logged in where.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoggedIn {
    /// SHA-256 of the control plane's CA certificate: the tokens are shown to no other.
    pub(crate) ca_sha256: Sha256,
    #[serde(flatten)]
    pub(crate) tokens: Tokens,
}

/// What to do when the access token that is held is not good any more.
#[derive(PartialEq, Eq)]
enum Step {
    /// Another `fleet` was faster.
    Adopt,
    Refresh,
    /// Logged out meanwhile, or somebody else is logged in now.
    Ended,
}

fn next_step(held: &Tokens, kept: Option<&Tokens>, now: Timestamp) -> Step {
    match kept {
        None => Step::Ended,
        Some(kept) if kept.user.user_id != held.user.user_id => Step::Ended,
        Some(kept) if kept.access_token != held.access_token && !is_expiring(kept, now) => {
            Step::Adopt
        }
        Some(_) => Step::Refresh,
    }
}

pub(crate) fn is_expiring(tokens: &Tokens, now: Timestamp) -> bool {
    tokens.expires_at.duration_since(now) < MARGIN
}

/// Where the file is; whether it is there is another matter.
#[derive(Debug, Clone)]
pub(crate) struct CredentialFile(PathBuf);

impl CredentialFile {
    /// Beside the context file: `context.credentials.json`.
    pub(crate) fn of_context(context: &Path) -> Self {
        Self(context.with_extension("credentials.json"))
    }

    /// # Errors
    /// When others can read it, or it does not parse.
    pub(crate) fn load(&self) -> Result<Option<LoggedIn>> {
        let path = self.0.display();
        let fail = |e| CommandError::io(format!("cannot read {path}"), e);
        match std::fs::metadata(&self.0) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(fail(e)),
            Ok(is) if is.permissions().mode() & 0o077 != 0 => {
                return Err(
                    CommandError::refused(format!("{path} can be read by others")).hint(format!(
                        "what they read is good until you end it: chmod 600 {path}, then `fleet logout` and `fleet login`"
                    )),
                );
            }
            Ok(_) => {}
        }
        let bytes = store::read_small(&self.0, 1 << 16)?;
        serde_json::from_slice(&bytes).map(Some).map_err(|e| {
            CommandError::failed(format!("{path} does not parse"))
                .because(e)
                .hint("write it anew: fleet login")
        })
    }

    /// Waits for the lock.
    ///
    /// # Errors
    /// When another `fleet` keeps it for longer than any request takes.
    pub(crate) fn lock(&self) -> Result<Locked<'_>> {
        let path = self.0.with_extension("lock");
        let fail = |e| CommandError::io(format!("cannot lock {}", path.display()), e);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(fail)?;
        for _ in 0..LOCK_TRIES {
            match lock.try_lock() {
                Ok(()) => {
                    return Ok(Locked {
                        file: self,
                        _lock: lock,
                    });
                }
                Err(TryLockError::WouldBlock) => clock::pause(LOCK_PAUSE),
                Err(TryLockError::Error(e)) => return Err(fail(e)),
            }
        }
        Err(CommandError::failed(format!(
            "another `fleet` does not give {} free",
            path.display()
        ))
        .hint("is one of them stopped or stuck? end it, then try again"))
    }
}

/// The file while nobody else changes it.
pub(crate) struct Locked<'a> {
    file: &'a CredentialFile,
    _lock: File,
}

impl Locked<'_> {
    pub(crate) fn save(&self, credentials: &LoggedIn) -> Result<()> {
        let mut bytes = serde_json::to_vec_pretty(credentials).expect("tokens are plain data");
        bytes.push(b'\n');
        store::write(&self.file.0, &bytes, Access::OwnerOnly, Existing::Replace)
    }

    pub(crate) fn remove(&self) -> Result<()> {
        match std::fs::remove_file(&self.file.0) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(CommandError::io(
                format!("cannot remove {}", self.file.0.display()),
                e,
            )),
            _ => Ok(()),
        }
    }

    /// Tokens that can be used: another `fleet`'s, or new ones by `refresh`, which are kept before they are returned.
    ///
    /// # Errors
    /// Kind unauthorized when the session is over.
    pub(crate) fn renew(
        &self,
        held: &LoggedIn,
        now: Timestamp,
        refresh: impl FnOnce(&Tokens) -> Result<Tokens>,
    ) -> Result<LoggedIn> {
        let kept = self.file.load()?.filter(|k| k.ca_sha256 == held.ca_sha256);
        let step = next_step(&held.tokens, kept.as_ref().map(|k| &k.tokens), now);
        match (step, kept) {
            (Step::Adopt, Some(kept)) => Ok(kept),
            (Step::Refresh, Some(kept)) => {
                let tokens = refresh(&kept.tokens).map_err(not_renewed)?;
                let renewed = LoggedIn { tokens, ..kept };
                self.save(&renewed)?;
                Ok(renewed)
            }
            _ => Err(CommandError::new(
                Kind::Unauthorized,
                "the login has ended meanwhile, or is somebody else's now",
            )
            .hint(LOGIN)),
        }
    }
}

fn not_renewed(error: CommandError) -> CommandError {
    match error.kind {
        // The answer may be what was lost, and with it the next refresh token: then only a login helps.
        Kind::Unreachable => error.hint(format!("if it stays so, {LOGIN}")),
        Kind::Unauthorized => {
            let over = CommandError::new(Kind::Unauthorized, "the login has ended");
            over.because(error).hint(LOGIN)
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests;
