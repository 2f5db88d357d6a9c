//! `fleet keys rotate`: the next key set, signed by a threshold of the old and of the new keys.
//!
//! Order: new secret keys, then `keyset-N.json`, then `keyset.json`, then retired keys are moved
//! away. Cut off anywhere, the folder still holds a valid newest key set. Run again, the command first
//! completes what `keyset-N.json` says, and then does nothing else; before that file is there, it begins
//! anew, with other new keys. A secret key that is in no key set signs nothing.

use std::path::PathBuf;

use clap::Args;
use fleet_protocol::trust::{KeyId, KeySet, PublicKey, SigningKey, TrustedKeys};
use jiff::Timestamp;

use super::folder::{self, KeyFolder, NamedKey};
use super::{DirArgs, bundle_signing, read_signing_key};
use crate::error::{CommandError, Result};
use crate::store::{self, Existing};

#[derive(Debug, Args)]
pub struct RotateArgs {
    #[command(flatten)]
    pub dir: DirArgs,
    /// Take this key out and put a fresh one in its place (may be repeated)
    #[arg(long, value_name = "KEY")]
    pub replace: Vec<String>,
    /// Take this key out (may be repeated)
    #[arg(long, value_name = "KEY")]
    pub remove: Vec<String>,
    /// Add so many fresh keys
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub add: u32,
    /// The new threshold; default: as before
    #[arg(long, value_name = "N")]
    pub threshold: Option<u32>,
    /// Sign also with this key file, from elsewhere (may be repeated)
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,
    /// Instead: a new certificate that signs bundles, under the same CA
    #[arg(long, conflicts_with_all = ["replace", "remove", "add", "threshold", "key"])]
    pub bundle_signing: bool,
    /// The bundle CA's key, when it is not in the folder
    #[arg(long, value_name = "FILE", requires = "bundle_signing")]
    pub ca_key: Option<PathBuf>,
}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Rotated,
    /// An earlier run had been cut off: its rotation is complete now, and nothing else was done.
    Completed,
}

pub(super) fn run(args: &RotateArgs, now: Timestamp) -> Result<(KeyFolder, Done)> {
    let folder = KeyFolder::open(&args.dir.dir)?;
    let done = if args.bundle_signing {
        bundle_signing::run(&folder, args.ca_key.as_deref(), now)?
    } else if complete(&folder)? {
        Done::Completed
    } else {
        next_key_set(args, &folder, now)?;
        Done::Rotated
    };
    Ok((folder, done))
}

fn next_key_set(args: &RotateArgs, folder: &KeyFolder, now: Timestamp) -> Result<()> {
    let (trusted, _) = folder.current()?;
    let old = trusted.key_set();
    let out = leaving(args, old)?;
    let fresh = fresh_keys(args, folder, old)?;
    if out.is_empty() && fresh.is_empty() && args.threshold.is_none() {
        return Err(CommandError::usage("nothing to rotate")
            .hint("say what changes: --replace KEY, --remove KEY, --add N or --threshold N"));
    }

    let mut keys: Vec<PublicKey> = old
        .keys
        .iter()
        .filter(|key| !out.contains(&key.key_id()))
        .cloned()
        .collect();
    keys.extend(
        fresh
            .iter()
            .map(|k| PublicKey::new(&k.name, k.key.verifying_key())),
    );

    let mut signers = folder.signing_keys()?;
    for path in &args.key {
        signers.push(NamedKey {
            name: path.display().to_string(),
            key: read_signing_key(path)?,
        });
    }
    let concerned = |key: &SigningKey| {
        old.keys
            .iter()
            .chain(&keys)
            .any(|k| k.key_id() == key.key_id())
    };
    let signing: Vec<&SigningKey> = signers
        .iter()
        .chain(&fresh)
        .map(|k| &k.key)
        .filter(|k| concerned(k))
        .collect();
    let version = old.version.checked_add(1).ok_or_else(|| {
        CommandError::failed("the key set's version cannot grow any more")
            .hint("start a new folder")
    })?;
    let threshold = args.threshold.unwrap_or(old.threshold);
    let envelope = folder::key_set(version, threshold, keys, &signing, now);
    trusted.rotate(&envelope).map_err(|e| {
        CommandError::refused("devices would not accept this rotation; nothing was changed")
            .because(e)
            .hint("a threshold of the old keys and one of the new keys must sign: bring missing ones with --key FILE, or change --threshold")
    })?;

    for named in &fresh {
        folder::write_signing_key(&folder.key_file(&named.name), &named.key)?;
    }
    folder::write_key_set(&folder.version_file(version), &envelope, Existing::Replace)?;
    folder::write_key_set(&folder.key_set_file(), &envelope, Existing::Replace)?;
    retire(folder, &out)
}

/// Goes on where an earlier run was cut off: with the key set that it had written, and the keys that it had to
/// retire. False when there was nothing to do.
fn complete(folder: &KeyFolder) -> Result<bool> {
    let (mut trusted, _) = folder.current()?;
    let mut is_new = false;
    if let Some(version) = trusted.key_set().version.checked_add(1)
        && let Ok(envelope) = store::read_json(&folder.version_file(version), "key set")
        && let Ok(next) = trusted.rotate(&envelope)
    {
        folder::write_key_set(&folder.key_set_file(), &envelope, Existing::Replace)?;
        trusted = next;
        is_new = true;
    }
    let left = left_by(folder, &trusted);
    let kept = folder.signing_keys()?;
    let is_left = kept.iter().any(|k| left.contains(&k.key.key_id()));
    retire(folder, &left)?;
    Ok(is_new || is_left)
}

/// The keys that the key set before this one had, and this one has not. None, if that one is not here.
fn left_by(folder: &KeyFolder, present: &TrustedKeys) -> Vec<KeyId> {
    let set = present.key_set();
    let path = folder.version_file(set.version.saturating_sub(1));
    let before = store::read_json(&path, "key set").ok();
    let before = before.and_then(|envelope| TrustedKeys::from_image(&envelope).ok());
    let before = before.filter(|before| before.key_set().version < set.version);
    let keys = before.iter().flat_map(|before| &before.key_set().keys);
    keys.map(PublicKey::key_id)
        .filter(|id| set.keys.iter().all(|key| key.key_id() != *id))
        .collect()
}

/// The keys that leave, each of them known.
fn leaving(args: &RotateArgs, old: &KeySet) -> Result<Vec<KeyId>> {
    args.replace
        .iter()
        .chain(&args.remove)
        .map(|name| {
            old.keys
                .iter()
                .find(|k| k.name == *name || k.key_id().to_string() == *name)
                .map(PublicKey::key_id)
                .ok_or_else(|| {
                    let names: Vec<&str> = old.keys.iter().map(|k| k.name.as_str()).collect();
                    CommandError::not_found(format!("the key set has no key `{name}`"))
                        .hint(format!("its keys are: {}", names.join(", ")))
                })
        })
        .collect()
}

fn fresh_keys(args: &RotateArgs, folder: &KeyFolder, old: &KeySet) -> Result<Vec<NamedKey>> {
    let wanted = u32::try_from(args.replace.len())
        .ok()
        .and_then(|n| n.checked_add(args.add))
        .filter(|n| *n <= 20)
        .ok_or_else(|| {
            CommandError::usage("more than 20 fresh keys").hint("rotate in several steps")
        })?;
    let mut taken: Vec<String> = old.keys.iter().map(|k| k.name.clone()).collect();
    let mut fresh = Vec::new();
    for _ in 0..wanted {
        let name = folder.free_name(&taken);
        taken.push(name.clone());
        fresh.push(NamedKey {
            name,
            key: folder::new_signing_key()?,
        });
    }
    Ok(fresh)
}

/// Moves those of these keys away that are in the folder. Idempotent.
fn retire(folder: &KeyFolder, out: &[KeyId]) -> Result<()> {
    let retired = folder.retired();
    let fail = |e| CommandError::io(format!("cannot move a key to {}", retired.display()), e);
    for named in folder.signing_keys()? {
        let file = folder.key_file(&named.name);
        if out.contains(&named.key.key_id()) {
            std::fs::create_dir_all(&retired).map_err(fail)?;
            let name = file.file_name().unwrap_or_default();
            std::fs::rename(&file, retired.join(name)).map_err(fail)?;
        }
    }
    Ok(())
}
