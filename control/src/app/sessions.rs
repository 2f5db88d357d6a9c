//! Browsers that were let in, and by what. Kept in memory: a restart asks for the login again.
//!
//! What let a browser in is looked at again for each page, so that whoever is shut out is out here too.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use fleet_protocol::{SessionId, Sha256};
use jiff::{SignedDuration, Timestamp};

use crate::clock::random_secret;

pub(crate) const LIFETIME: SignedDuration = SignedDuration::from_hours(12);
const MAX_SESSIONS: usize = 1_000;

/// What somebody shows to be let in. Only digests of secrets are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    /// Behind an access token, or a login in the console.
    Session(SessionId),
    /// Of a program.
    Key(Sha256),
    /// The token of the installation.
    Operator(Sha256),
}

/// Browsers by the SHA-256 of their secret.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<HashMap<Sha256, (Credential, Timestamp)>>);

impl Sessions {
    /// The secret of a new session.
    pub(crate) fn open(&self, credential: Credential, now: Timestamp) -> String {
        let secret = random_secret();
        let mut sessions = self.lock();
        sessions.retain(|_, (_, ends)| *ends > now);
        if sessions.len() >= MAX_SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, (_, ends))| *ends);
            if let Some(oldest) = oldest.map(|(digest, _)| *digest) {
                sessions.remove(&oldest);
            }
        }
        sessions.insert(Sha256::of(&secret), (credential, now + LIFETIME));
        secret
    }

    pub(crate) fn find(&self, secret: &str, now: Timestamp) -> Option<Credential> {
        let sessions = self.lock();
        let (credential, ends) = sessions.get(&Sha256::of(secret))?;
        (*ends > now).then(|| credential.clone())
    }

    pub(crate) fn close(&self, secret: &str) -> Option<Credential> {
        let (credential, _) = self.lock().remove(&Sha256::of(secret))?;
        Some(credential)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Sha256, (Credential, Timestamp)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
