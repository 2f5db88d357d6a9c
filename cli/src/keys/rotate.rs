//! `fleet keys rotate`: the next key set, signed by a threshold of the old and of the new keys.
//!
//! Order: new secret keys, then `keyset-N.json`, then `keyset.json`, then retired keys are moved
//! away. Cut off anywhere, the folder still holds a valid newest key set, and the command can be
//! run again.

use std::path::PathBuf;

use clap::Args;
use fleet_protocol::trust::{KeyId, KeySet, PublicKey, SigningKey};
use jiff::Timestamp;

use super::folder::{self, KeyFolder, NamedKey};
use super::{DirArgs, read_signing_key};
use crate::error::{CommandError, Result};
use crate::store::Existing;

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
}

pub(super) fn run(args: &RotateArgs, now: Timestamp) -> Result<KeyFolder> {
    let folder = KeyFolder::open(&args.dir.dir)?;
    let (trusted, _) = folder.current()?;
    let old = trusted.key_set();
    let out = leaving(args, old)?;
    let fresh = fresh_keys(args, &folder, old)?;
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
    retire(&folder, &signers, &out)?;
    Ok(folder)
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

fn retire(folder: &KeyFolder, present: &[NamedKey], out: &[KeyId]) -> Result<()> {
    let retired = folder.dir().join("retired");
    let fail = |e| CommandError::io(format!("cannot move a key to {}", retired.display()), e);
    for named in present {
        let file = folder.key_file(&named.name);
        if out.contains(&named.key.key_id()) && file.is_file() {
            std::fs::create_dir_all(&retired).map_err(fail)?;
            let name = file.file_name().unwrap_or_default();
            std::fs::rename(&file, retired.join(name)).map_err(fail)?;
        }
    }
    Ok(())
}
