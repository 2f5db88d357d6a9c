//! Browsers that an operator's token let in. Kept in memory: a restart asks for the token again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use fleet_protocol::Sha256;
use jiff::{SignedDuration, Timestamp};

use crate::clock::random_secret;
use crate::store::TenantContext;

pub(crate) const LIFETIME: SignedDuration = SignedDuration::from_hours(12);
const MAX_SESSIONS: usize = 1_000;

/// Sessions by the SHA-256 of their secret.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<HashMap<Sha256, (TenantContext, Timestamp)>>);

impl Sessions {
    /// The secret of a new session.
    pub(crate) fn open(&self, ctx: TenantContext, now: Timestamp) -> String {
        let secret = random_secret();
        let mut sessions = self.lock();
        sessions.retain(|_, (_, ends)| *ends > now);
        if sessions.len() >= MAX_SESSIONS {
            sessions.clear();
        }
        sessions.insert(Sha256::of(&secret), (ctx, now + LIFETIME));
        secret
    }

    pub(crate) fn find(&self, secret: &str, now: Timestamp) -> Option<TenantContext> {
        let sessions = self.lock();
        let (ctx, ends) = sessions.get(&Sha256::of(secret))?;
        (*ends > now).then(|| ctx.clone())
    }

    pub(crate) fn close(&self, secret: &str) {
        self.lock().remove(&Sha256::of(secret));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Sha256, (TenantContext, Timestamp)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
