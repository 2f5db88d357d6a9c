//! Access tokens: JWTs (RFC 7519) signed with Ed25519 (RFC 8037), and the keys that sign them.
//!
//! The newest key signs; one that was replaced still checks for as long as a token of its lives, so that nobody is
//! logged out by a rotation. Whether the session behind a token has ended is for the store to say.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use fleet_protocol::access::{Capability, TenantRole, VenueGrant};
use fleet_protocol::{SessionId, TenantId, UserId};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result as JwtResult};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::clock::random_secret;
use crate::disk::{self, Access, DiskError};

/// Of an access token.
pub const LIFETIME: SignedDuration = SignedDuration::from_mins(15);
/// A key signs for this long.
const KEY_LIFETIME: SignedDuration = SignedDuration::from_hours(30 * 24);
const AUDIENCE: &str = "fleet";
/// Venue roles beyond these are looked up, and not carried in the token.
const MAX_VENUE_ROLES: usize = 20;

/// What an access token says (seed 003, §25.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub sub: UserId,
    pub tid: TenantId,
    pub sid: SessionId,
    pub t_roles: Vec<TenantRole>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v_roles: Option<Vec<VenueGrant>>,
    pub cap: Vec<Capability>,
    /// Seconds since 1970.
    pub exp: i64,
    pub iat: i64,
    pub iss: String,
    pub aud: String,
}

/// Whom a token is for.
#[derive(Debug)]
pub struct Subject<'a> {
    pub user: &'a UserId,
    pub tenant: &'a TenantId,
    pub session: &'a SessionId,
    pub role: Option<TenantRole>,
    pub venues: &'a [VenueGrant],
    pub capabilities: &'a [Capability],
}

#[derive(Debug, thiserror::Error)]
pub enum RingError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{}: is not a list of token keys: {reason}", path.display())]
    Corrupt { path: PathBuf, reason: String },
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Key {
    id: String,
    made_at: Timestamp,
    /// 32 bytes in hex.
    seed: String,
}

impl Key {
    fn new(now: Timestamp) -> Self {
        Self {
            id: random_secret()[..16].to_owned(),
            made_at: now,
            seed: random_secret(),
        }
    }

    fn signing(&self) -> Option<SigningKey> {
        let mut seed = [0; 32];
        hex::decode_to_slice(&self.seed, &mut seed).ok()?;
        Some(SigningKey::from_bytes(&seed))
    }
}

/// The keys, oldest first; the last one signs.
pub struct Ring {
    path: PathBuf,
    issuer: String,
    keys: Mutex<Vec<Key>>,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Ring {
    /// The keys in the file at `path`, which is made if it is not there.
    pub fn open(path: &Path, issuer: &str, now: Timestamp) -> Result<Self, RingError> {
        // Whoever came first installed the same one.
        let _ = PROVIDER.install_default();
        let ring = Self {
            path: path.to_owned(),
            issuer: issuer.to_owned(),
            keys: Mutex::default(),
        };
        ring.keep(now)?;
        Ok(ring)
    }

    /// Replaces a key that has signed for long enough, and forgets those that nothing lives of any more. Control planes
    /// that share the file do this one by one, each on top of what the others did.
    pub fn keep(&self, now: Timestamp) -> Result<(), RingError> {
        let lock = self.path.with_extension("lock");
        let failed = |action| disk::failed(action, &lock);
        let turn = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock);
        turn.map_err(failed("open"))?
            .lock()
            .map_err(failed("lock"))?;
        let mut kept = read(&self.path)?;
        let before = kept.len();
        let is_old = |key: &Key| key.made_at + KEY_LIFETIME <= now;
        let added = kept.last().is_none_or(is_old);
        if added {
            kept.push(Key::new(now));
        }
        while kept.len() > 1 && kept[1].made_at + LIFETIME + LIFETIME < now {
            kept.remove(0);
        }
        if added || kept.len() != before {
            let text = serde_json::to_vec_pretty(&kept).expect("keys are plain data");
            disk::write(&self.path, &text, Access::Owner)?;
        }
        *self.lock() = kept;
        Ok(())
    }

    /// A token for `subject`, and until when it is good.
    pub fn sign(&self, subject: &Subject<'_>, now: Timestamp) -> (String, Timestamp) {
        let key = self.lock().last().expect("a ring has a key").clone();
        let expires_at = now + LIFETIME;
        let few = subject.venues.len() <= MAX_VENUE_ROLES;
        let claims = Claims {
            sub: subject.user.clone(),
            tid: subject.tenant.clone(),
            sid: subject.session.clone(),
            t_roles: subject.role.into_iter().collect(),
            v_roles: few.then(|| subject.venues.to_vec()),
            cap: subject.capabilities.to_vec(),
            exp: expires_at.as_second(),
            iat: now.as_second(),
            iss: self.issuer.clone(),
            aud: AUDIENCE.to_owned(),
        };
        let header = Header {
            kid: Some(key.id.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        let secret = key.signing().expect("checked when it was read");
        let secret = EncodingKey::from_ed_der(secret.as_bytes());
        let token = jsonwebtoken::encode(&header, &claims, &secret);
        (token.expect("claims are plain data"), expires_at)
    }

    /// What a token says, if it is one of ours that is good now.
    pub fn check(&self, token: &str, now: Timestamp) -> Option<Claims> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        let id = header.kid?;
        let key = self.find(&id)?.signing()?;
        let mut rules = Validation::new(Algorithm::EdDSA);
        // The control plane has a clock of its own.
        rules.validate_exp = false;
        rules.set_audience(&[AUDIENCE]);
        rules.set_issuer(&[&self.issuer]);
        let public = DecodingKey::from_ed_der(key.verifying_key().as_bytes());
        let claims = jsonwebtoken::decode::<Claims>(token, &public, &rules)
            .ok()?
            .claims;
        (claims.exp > now.as_second()).then_some(claims)
    }

    /// A key that is not known may be another control plane's, made since the file was read.
    fn find(&self, id: &str) -> Option<Key> {
        let known = |keys: &[Key]| keys.iter().find(|key| key.id == id).cloned();
        if let Some(key) = known(&self.lock()) {
            return Some(key);
        }
        let keys = read(&self.path).ok()?;
        let key = known(&keys)?;
        *self.lock() = keys;
        Some(key)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Key>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Result<Vec<Key>, RingError> {
    let corrupt = |reason: String| RingError::Corrupt {
        path: path.to_owned(),
        reason,
    };
    let keys: Vec<Key> = match disk::read_text(path)? {
        Some(text) => serde_json::from_str(&text).map_err(|e| corrupt(e.to_string()))?,
        None => Vec::new(),
    };
    match keys.iter().find(|key| key.signing().is_none()) {
        Some(bad) => Err(corrupt(format!(
            "the seed of key {} is not 32 bytes in hex",
            bad.id
        ))),
        None => Ok(keys),
    }
}

/// Ed25519 and nothing else, by the implementation that checks releases as well.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| match (algorithm, <[u8; 32]>::try_from(key.as_bytes())) {
        (Algorithm::EdDSA, Ok(seed)) => Ok(Box::new(Ed25519Signer(SigningKey::from_bytes(&seed)))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    },
    verifier_factory: |algorithm, key| verifier(*algorithm, key),
    key_utils: KeyUtils::new_unimplemented(),
};

fn verifier(algorithm: Algorithm, key: &DecodingKey) -> JwtResult<Box<dyn JwtVerifier>> {
    let public = <[u8; 32]>::try_from(key.try_get_as_bytes()?)
        .ok()
        .and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
    match (algorithm, public) {
        (Algorithm::EdDSA, Some(public)) => Ok(Box::new(Ed25519Verifier(public))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

struct Ed25519Signer(SigningKey);

impl signature::Signer<Vec<u8>> for Ed25519Signer {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(self.0.sign(message).to_bytes().to_vec())
    }
}

impl JwtSigner for Ed25519Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

struct Ed25519Verifier(VerifyingKey);

impl signature::Verifier<Vec<u8>> for Ed25519Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let signature = Signature::from_slice(signature).map_err(|_| signature::Error::new())?;
        let checked = self.0.verify_strict(message, &signature);
        checked.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Ed25519Verifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(ring: &Ring, now: Timestamp) -> String {
        let subject = Subject {
            user: &"usr_a".parse().unwrap(),
            tenant: &"ten_a".parse().unwrap(),
            session: &"ses_a".parse().unwrap(),
            role: Some(TenantRole::Admin),
            venues: &[],
            capabilities: &[],
        };
        ring.sign(&subject, now).0
    }

    #[test]
    fn a_token_is_good_until_it_expires_and_as_it_was_made() {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let ring = Ring::open(&folder.path().join("keys"), "https://a", now).unwrap();
        let token = sign(&ring, now);
        let claims = ring.check(&token, now).unwrap();
        assert_eq!((claims.sub.as_str(), claims.exp), ("usr_a", 900));
        assert_eq!(claims.t_roles, [TenantRole::Admin]);
        assert!(ring.check(&token, now + LIFETIME).is_none());

        let other = Ring::open(&folder.path().join("keys"), "https://b", now).unwrap();
        assert!(other.check(&token, now).is_none(), "of another issuer");
        let (head, rest) = token.split_once('.').unwrap();
        let (body, signature) = rest.split_once('.').unwrap();
        for bad in [
            String::new(),
            "a.b.c".to_owned(),
            format!("{head}.{body}."),
            format!("{head}.{body}x.{signature}"),
            // `{"alg":"none","kid":…}` is no way in.
            format!("eyJhbGciOiJub25lIn0.{body}."),
        ] {
            assert!(ring.check(&bad, now).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_new_key_logs_nobody_out_and_the_old_one_is_forgotten_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let now = Timestamp::UNIX_EPOCH;
        let ring = Ring::open(&path, "https://a", now).unwrap();
        let later = now + KEY_LIFETIME;
        let old = sign(&ring, later - SignedDuration::from_secs(1));
        ring.keep(later).unwrap();
        assert_eq!(ring.lock().len(), 2);
        assert!(ring.check(&old, later).is_some());
        let new = sign(&ring, later);
        assert_ne!(
            jsonwebtoken::decode_header(&old).unwrap().kid,
            jsonwebtoken::decode_header(&new).unwrap().kid
        );
        let again = Ring::open(&path, "https://a", later).unwrap();
        assert!(again.check(&new, later).is_some(), "keys outlive a restart");
        let other = Ring::open(&path, "https://a", now).unwrap();
        let after = later + KEY_LIFETIME;
        ring.keep(after).unwrap();
        let newest = sign(&ring, after);
        assert!(
            other.check(&newest, after).is_some(),
            "another one's key is found"
        );
        ring.keep(after + SignedDuration::from_hours(1)).unwrap();
        assert_eq!(ring.lock().len(), 1);

        std::fs::write(
            &path,
            r#"[{"id":"a","madeAt":"2026-01-01T00:00:00Z","seed":"x"}]"#,
        )
        .unwrap();
        let error = Ring::open(&path, "https://a", now).unwrap_err();
        assert!(error.to_string().contains("key a"), "{error}");
    }
}
