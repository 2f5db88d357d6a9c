//! The key folder: what is in it, how it is made, how keys are read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fleet_protocol::trust::{
    Envelope, KEY_SET_PAYLOAD_TYPE, KeySet, PublicKey, SigningKey, TrustedKeys,
};
use jiff::Timestamp;

use super::{InitArgs, x509};
use crate::error::{CommandError, Result};
use crate::store::{self, Access, Existing};

const KEY_SUFFIX: &str = ".key.pem";
const KEY_PREFIX: &str = "release-";

/// What precedes the 32 secret bytes of an Ed25519 key in PKCS#8 (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// An opened key folder.
#[derive(Debug, Clone)]
pub struct KeyFolder {
    dir: PathBuf,
}

/// A release key with the name of its file.
#[derive(Debug)]
pub struct NamedKey {
    pub name: String,
    pub key: SigningKey,
}

impl KeyFolder {
    /// # Errors
    /// When it holds no key set.
    pub fn open(dir: &Path) -> Result<Self> {
        let folder = Self {
            dir: dir.to_owned(),
        };
        if folder.key_set_file().is_file() {
            Ok(folder)
        } else {
            Err(CommandError::not_found(format!(
                "{} is no key folder: it holds no keyset.json",
                dir.display()
            ))
            .hint("make one with `fleet keys init`, or name yours (--keys, or --dir for `fleet keys`)"))
        }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The newest key set.
    pub fn key_set_file(&self) -> PathBuf {
        self.dir.join("keyset.json")
    }

    pub fn keyring(&self) -> PathBuf {
        self.dir.join("keyring.pem")
    }

    /// The leaf that signs bundles.
    pub fn certificate(&self) -> PathBuf {
        self.dir.join("bundle-signing.cert.pem")
    }

    pub fn certificate_key(&self) -> PathBuf {
        self.dir.join("bundle-signing.key.pem")
    }

    /// Of the bundle CA.
    pub(super) fn ca_certificate(&self) -> PathBuf {
        self.dir.join("bundle-ca.cert.pem")
    }

    pub(super) fn ca_key(&self) -> PathBuf {
        self.dir.join("bundle-ca.key.pem")
    }

    /// Keys that a rotation took out.
    pub(super) fn retired(&self) -> PathBuf {
        self.dir.join("retired")
    }

    pub(super) fn version_file(&self, version: u32) -> PathBuf {
        self.dir.join(format!("keyset-{version}.json"))
    }

    /// The newest key set, its own signatures checked.
    ///
    /// # Errors
    /// When it does not hold up.
    pub fn current(&self) -> Result<(TrustedKeys, Envelope)> {
        let path = self.key_set_file();
        let envelope: Envelope = store::read_json(&path, "key set")?;
        let trusted = TrustedKeys::from_image(&envelope).map_err(|e| {
            CommandError::failed(format!("{} is not believed", path.display()))
                .because(e)
                .hint("restore the folder from its backup")
        })?;
        Ok((trusted, envelope))
    }

    /// Every key set from the oldest here, each checked against the one before it.
    ///
    /// # Errors
    /// When one is missing in between, or does not follow.
    pub fn chain(&self) -> Result<Vec<(KeySet, Envelope)>> {
        let (newest, _) = self.current()?;
        let mut chain: Vec<(KeySet, Envelope)> = Vec::new();
        let mut trusted: Option<TrustedKeys> = None;
        for version in 1..=newest.key_set().version {
            let path = self.version_file(version);
            if !path.exists() && trusted.is_none() {
                continue;
            }
            let envelope: Envelope = store::read_json(&path, "key set")?;
            let next = match &trusted {
                None => TrustedKeys::from_image(&envelope),
                Some(before) => before.rotate(&envelope),
            }
            .map_err(|e| {
                CommandError::failed(format!("{} does not follow", path.display()))
                    .because(e)
                    .hint("restore the folder from its backup")
            })?;
            chain.push((next.key_set().clone(), envelope));
            trusted = Some(next);
        }
        Ok(chain)
    }

    /// The secret keys in this folder, by name.
    ///
    /// # Errors
    /// When one does not parse: better than to sign with one too few and not say why.
    pub fn signing_keys(&self) -> Result<Vec<NamedKey>> {
        let fail = |e| CommandError::io(format!("cannot read {}", self.dir.display()), e);
        let mut keys = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if name.starts_with(KEY_PREFIX)
                && let Some(stem) = name.strip_suffix(KEY_SUFFIX)
            {
                keys.push(NamedKey {
                    name: stem.to_owned(),
                    key: read_signing_key(&path)?,
                });
            }
        }
        keys.sort_by(|a, b| natural(&a.name).cmp(&natural(&b.name)));
        Ok(keys)
    }

    pub(super) fn key_file(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}{KEY_SUFFIX}"))
    }

    /// The first `release-N` that no file, present key set or retired key has used.
    pub(super) fn free_name(&self, taken: &[String]) -> String {
        (1..=u32::MAX)
            .map(|n| format!("{KEY_PREFIX}{n}"))
            .find(|name| {
                !taken.contains(name)
                    && !self.key_file(name).exists()
                    && !self.retired().join(format!("{name}{KEY_SUFFIX}")).exists()
            })
            .expect("there are more numbers than keys")
    }
}

/// `release-10` after `release-9`.
fn natural(name: &str) -> (usize, &str) {
    (name.len(), name)
}

/// A secret from the system's random source.
pub(super) fn new_signing_key() -> Result<SigningKey> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|e| {
        CommandError::failed("the system gives no random numbers")
            .because(e.to_string())
            .hint("try again later; no key was made")
    })?;
    Ok(SigningKey::from_secret(&secret))
}

pub(super) fn write_signing_key(path: &Path, key: &SigningKey) -> Result<()> {
    let der = [&PKCS8_PREFIX[..], key.secret()].concat();
    let text = pem::encode(&pem::Pem::new("PRIVATE KEY", der));
    store::write(path, text.as_bytes(), Access::OwnerOnly, Existing::Keep)
}

/// An Ed25519 key in PKCS#8 PEM, as `keys init` and `openssl genpkey -algorithm ed25519` write it.
///
/// # Errors
/// When it is something else.
pub fn read_signing_key(path: &Path) -> Result<SigningKey> {
    let bytes = store::read_small(path, 16 << 10)?;
    parse_signing_key(&bytes).ok_or_else(|| {
        CommandError::failed(format!(
            "{} is no Ed25519 private key in PEM",
            path.display()
        ))
        .hint("release keys are the files release-*.key.pem that `fleet keys init` made")
    })
}

/// From its PEM (PKCS#8); `None` when it is no such key.
pub fn parse_signing_key(bytes: &[u8]) -> Option<SigningKey> {
    let block = pem::parse(bytes)
        .ok()
        .filter(|p| p.tag() == "PRIVATE KEY")?;
    let secret: &[u8; 32] = block
        .contents()
        .strip_prefix(&PKCS8_PREFIX)?
        .try_into()
        .ok()?;
    Some(SigningKey::from_secret(secret))
}

/// A signed key set of `keys`, by all of `signers`.
pub(super) fn key_set(
    version: u32,
    threshold: u32,
    keys: Vec<PublicKey>,
    signers: &[&SigningKey],
    now: Timestamp,
) -> Envelope {
    let set = KeySet {
        version,
        threshold,
        keys,
        issued_at: now,
    };
    let payload = serde_json::to_vec(&set).expect("a key set is plain data");
    let mut envelope = Envelope::unsigned(KEY_SET_PAYLOAD_TYPE, payload);
    for key in signers {
        envelope.sign(key);
    }
    envelope
}

pub(super) fn write_key_set(path: &Path, envelope: &Envelope, existing: Existing) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(envelope).expect("an envelope is plain data");
    text.push(b'\n');
    store::write(path, &text, Access::Everyone, existing)
}

/// Makes the whole folder beside its place, then moves it there: all or nothing.
pub(super) fn init(args: &InitArgs, now: Timestamp) -> Result<KeyFolder> {
    if args.threshold > args.keys {
        return Err(CommandError::usage(format!(
            "a threshold of {} cannot be met by {} keys",
            args.threshold, args.keys
        ))
        .hint("give --keys at least as large as --threshold"));
    }
    let dir = &args.dir.dir;
    let occupied = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    if occupied || dir.is_file() {
        return Err(store::already_there(dir));
    }
    let parent = store::folder_of(dir);
    let fail = |e| CommandError::io(format!("cannot make {}", dir.display()), e);
    fs::create_dir_all(parent).map_err(fail)?;
    let staging = tempfile::Builder::new()
        .prefix(".fleet-keys-")
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(parent)
        .map_err(fail)?;
    let folder = KeyFolder {
        dir: staging.path().to_owned(),
    };

    let mut keys = Vec::new();
    for number in 1..=args.keys {
        let name = format!("{KEY_PREFIX}{number}");
        let key = new_signing_key()?;
        write_signing_key(&folder.key_file(&name), &key)?;
        keys.push(NamedKey { name, key });
    }
    let public = keys
        .iter()
        .map(|k| PublicKey::new(&k.name, k.key.verifying_key()))
        .collect();
    let signers: Vec<&SigningKey> = keys.iter().map(|k| &k.key).collect();
    let envelope = key_set(1, args.threshold, public, &signers, now);
    write_key_set(&folder.version_file(1), &envelope, Existing::Keep)?;
    write_key_set(&folder.key_set_file(), &envelope, Existing::Keep)?;

    let chain = x509::make(&args.organisation, now)?;
    let secret = |name: &str, text: &str| {
        store::write(
            &folder.dir.join(name),
            text.as_bytes(),
            Access::OwnerOnly,
            Existing::Keep,
        )
    };
    let open = |name: &str, text: &str| {
        store::write(
            &folder.dir.join(name),
            text.as_bytes(),
            Access::Everyone,
            Existing::Keep,
        )
    };
    secret("bundle-ca.key.pem", &chain.ca.key)?;
    secret("bundle-signing.key.pem", &chain.leaf.key)?;
    open("bundle-ca.cert.pem", &chain.ca.certificate)?;
    open("bundle-signing.cert.pem", &chain.leaf.certificate)?;
    open("keyring.pem", &chain.ca.certificate)?;

    // A rename onto an empty folder replaces it; onto anything else it fails (rename(2)).
    let staged = staging.keep();
    if let Err(e) = fs::rename(&staged, dir) {
        let _ = fs::remove_dir_all(&staged);
        return Err(fail(e));
    }
    store::sync_folder(parent).map_err(fail)?;
    KeyFolder::open(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_pem() {
        let key = SigningKey::from_secret(&[7; 32]);
        let der = [&PKCS8_PREFIX[..], key.secret()].concat();
        let text = pem::encode(&pem::Pem::new("PRIVATE KEY", der));
        assert_eq!(
            parse_signing_key(text.as_bytes()).unwrap().key_id(),
            key.key_id()
        );
    }

    #[test]
    fn anything_else_is_no_key() {
        for bad in [
            "",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "\0\0",
        ] {
            assert!(parse_signing_key(bad.as_bytes()).is_none());
        }
    }
}
