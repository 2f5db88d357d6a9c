//! `fleet keys rotate --bundle-signing`: another leaf under the bundle CA, which signs bundles from now on.
//!
//! Devices check bundles against the CA in their keyring, so they take what the new leaf signs without being told.
//! They also go on taking what the old one signed: nothing revokes a leaf.
//!
//! Order: the new pair beside the present one, its certificate last; then the present pair into `retired/`, each file
//! kept there before it is replaced. Once the new certificate is there, running the command again completes the change;
//! before that it begins anew. Key and certificate are two files: cut off between them, they do not match until then.

use std::fs;
use std::path::{Path, PathBuf};

use fleet_protocol::Sha256;
use jiff::Timestamp;

use super::folder::KeyFolder;
use super::rotate::Done;
use super::x509::{self, Pair};
use crate::error::{CommandError, Result};
use crate::store::{self, Access, Existing};

/// A certificate or a CA's key is far smaller.
const MAX_PEM_BYTES: u64 = 64 << 10;

pub(super) fn run(folder: &KeyFolder, ca_key: Option<&Path>, now: Timestamp) -> Result<Done> {
    let next = Next::of(folder);
    if next.certificate.is_file() {
        next.take_over(folder)?;
        return Ok(Done::Completed);
    }
    let ca_key = ca_key.map_or_else(|| folder.ca_key(), Path::to_owned);
    if !ca_key.is_file() {
        let error = format!("the bundle CA's key is not at {}", ca_key.display());
        return Err(CommandError::not_found(error)
            .hint("it signs the new certificate: bring it from where it is kept, and name it with --ca-key FILE"));
    }
    let ca = Pair {
        key: read(&ca_key)?,
        certificate: read(&folder.ca_certificate())?,
    };
    check_keyring(folder, &ca)?;
    let leaf = x509::leaf_under(&ca, now)?;
    let write =
        |path, text: &str, access| store::write(path, text.as_bytes(), access, Existing::Replace);
    write(&next.key, &leaf.key, Access::OwnerOnly)?;
    write(&next.certificate, &leaf.certificate, Access::Everyone)?;
    next.take_over(folder)?;
    Ok(Done::Rotated)
}

/// The new pair while it is not in force.
struct Next {
    key: PathBuf,
    certificate: PathBuf,
}

impl Next {
    fn of(folder: &KeyFolder) -> Self {
        Self {
            key: folder.dir().join("bundle-signing.next.key.pem"),
            certificate: folder.dir().join("bundle-signing.next.cert.pem"),
        }
    }

    /// Idempotent. The certificate goes last: what is kept of a pair is named after it.
    fn take_over(&self, folder: &KeyFolder) -> Result<()> {
        let (certificate, key) = (folder.certificate(), folder.certificate_key());
        let named_after = fs::read(&certificate).or_else(|_| fs::read(&key));
        let name = Sha256::of(named_after.unwrap_or_default()).to_string();
        let kept = |kind: &str| {
            let file = format!("bundle-signing-{}.{kind}.pem", &name[..12]);
            folder.retired().join(file)
        };
        replace(&self.key, &key, &kept("key"), Access::OwnerOnly)?;
        replace(
            &self.certificate,
            &certificate,
            &kept("cert"),
            Access::Everyone,
        )
    }
}

/// Puts `next`, if it is there, in the place of `present`, which is `kept` before. A key may be on a token: then
/// there is none to keep.
fn replace(next: &Path, present: &Path, kept: &Path, access: Access) -> Result<()> {
    if !next.is_file() {
        return Ok(());
    }
    let fail = |e| CommandError::io(format!("cannot replace {}", present.display()), e);
    if present.is_file() {
        fs::create_dir_all(store::folder_of(kept)).map_err(fail)?;
        let text = read(present)?;
        store::write(kept, text.as_bytes(), access, Existing::Replace)?;
    }
    fs::rename(next, present).map_err(fail)?;
    store::sync_folder(store::folder_of(present)).map_err(fail)
}

fn read(path: &Path) -> Result<String> {
    let bytes = store::read_small(path, MAX_PEM_BYTES)?;
    String::from_utf8(bytes).map_err(|_| {
        CommandError::failed(format!("{} is no PEM", path.display()))
            .hint("restore the folder from its backup")
    })
}

/// Devices believe the CAs of their keyring: a leaf under another one would sign what none of them takes.
fn check_keyring(folder: &KeyFolder, ca: &Pair) -> Result<()> {
    let keyring = folder.keyring();
    let blocks = pem::parse_many(read(&keyring)?).unwrap_or_default();
    let ca = pem::parse(&ca.certificate).ok();
    if ca.is_some_and(|ca| blocks.iter().any(|b| b.contents() == ca.contents())) {
        return Ok(());
    }
    let error = format!("the bundle CA is not in {}", keyring.display());
    Err(CommandError::refused(error).hint(
        "devices would refuse what the new certificate signs: restore keyring.pem and bundle-ca.cert.pem from their backup",
    ))
}
