//! Makes bundles by `rauc`.
//!
//! The input folder lies beside the output, so that images are hard-linked, not copied. A bundle
//! appears under its name only when RAUC has made it and accepts it.

use std::fs;
use std::path::{Path, PathBuf};

use fleet_protocol::{Compatible, Version};

use super::{BuildArgs, BundleView, Compression, SignArgs, SignerArgs, view};
use crate::error::{CommandError, Result};
use crate::keys::KeyFolder;
use crate::rauc::{Rauc, with_path};
use crate::store;

/// RAUC's hash index works on blocks of this size.
const BLOCK: u64 = 4096;

pub(super) fn build(args: &BuildArgs) -> Result<BundleView> {
    let rauc = Rauc::find(&args.rauc)?;
    if args.out.exists() {
        return Err(store::already_there(&args.out));
    }
    check_image(&args.rootfs)?;
    check_image(&args.boot)?;
    let signer = Signer::new(&args.signer)?;
    let work = work_folder(&args.out)?;
    let input = work.path().join("content");
    let fail = |e| CommandError::io(format!("cannot prepare {}", args.out.display()), e);
    fs::create_dir(&input).map_err(fail)?;
    link_or_copy(&args.rootfs, &input.join("rootfs.img"))?;
    link_or_copy(&args.boot, &input.join("boot.img"))?;
    let manifest = manifest(&args.compatible, &args.version, &args.description)?;
    fs::write(input.join("manifest.raucm"), manifest).map_err(fail)?;

    let made = work.path().join("bundle.raucb");
    let compression = match args.compression {
        Compression::Lz4 => "lz4",
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    };
    let mut command = vec![
        "bundle".into(),
        with_path("--cert=", signer.cert.as_ref()),
        with_path("--key=", signer.key.as_ref()),
        with_path("--signing-keyring=", &signer.keyring),
        format!("--mksquashfs-args=-comp {compression}").into(),
    ];
    command.push(input.into_os_string());
    command.push(made.clone().into_os_string());
    rauc.run("build the bundle", command)?;
    finish(&rauc, &made, &args.out, &signer.keyring)
}

pub(super) fn sign(args: &SignArgs) -> Result<BundleView> {
    let rauc = Rauc::find(&args.rauc)?;
    if args.out.exists() {
        return Err(store::already_there(&args.out));
    }
    check_exists(&args.bundle)?;
    let signer = Signer::new(&args.signer)?;
    let work = work_folder(&args.out)?;
    let made = work.path().join("bundle.raucb");
    let old_keyring = args.old_keyring.as_ref().unwrap_or(&signer.keyring);
    let command = vec![
        "resign".into(),
        with_path("--cert=", signer.cert.as_ref()),
        with_path("--key=", signer.key.as_ref()),
        with_path("--keyring=", old_keyring),
        with_path("--signing-keyring=", &signer.keyring),
        args.bundle.clone().into_os_string(),
        made.clone().into_os_string(),
    ];
    rauc.run("sign the bundle anew", command).map_err(|e| {
        if args.old_keyring.is_none() {
            e.hint("if it was signed under another CA, name its keyring with --old-keyring")
        } else {
            e
        }
    })?;
    finish(&rauc, &made, &args.out, &signer.keyring)
}

struct Signer {
    cert: String,
    key: String,
    keyring: PathBuf,
}

impl Signer {
    fn new(args: &SignerArgs) -> Result<Self> {
        if let (Some(cert), Some(key), Some(keyring)) = (&args.cert, &args.cert_key, &args.keyring)
        {
            return Ok(Self {
                cert: cert.clone(),
                key: key.clone(),
                keyring: keyring.clone(),
            });
        }
        let folder = KeyFolder::open(&args.keys)?;
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        Ok(Self {
            cert: args
                .cert
                .clone()
                .unwrap_or_else(|| text(folder.certificate())),
            key: args
                .cert_key
                .clone()
                .unwrap_or_else(|| text(folder.certificate_key())),
            keyring: args.keyring.clone().unwrap_or_else(|| folder.keyring()),
        })
    }
}

/// `manifest.raucm`: a key file in `GLib`'s syntax (RAUC reference, "Manifest").
fn manifest(compatible: &Compatible, version: &Version, description: &str) -> Result<String> {
    if description.chars().any(char::is_control) || description.contains('\\') {
        return Err(
            CommandError::usage("the description holds control characters or backslashes")
                .hint("write one plain line"),
        );
    }
    let mut text = format!("[update]\ncompatible={compatible}\nversion={version}\n");
    if !description.is_empty() {
        text += &format!("description={description}\n");
    }
    text += "\n[bundle]\nformat=verity\n";
    for class in ["rootfs", "boot"] {
        text += &format!("\n[image.{class}]\nfilename={class}.img\nadaptive=block-hash-index\n");
    }
    Ok(text)
}

pub(super) fn check_exists(path: &Path) -> Result<u64> {
    let meta = fs::metadata(path)
        .map_err(|e| CommandError::io(format!("cannot read {}", path.display()), e))?;
    if meta.is_file() {
        Ok(meta.len())
    } else {
        Err(
            CommandError::usage(format!("{} is no file", path.display()))
                .hint("name the file itself"),
        )
    }
}

/// Adaptive updates work on whole blocks: RAUC would skip the index, and every update be full.
fn check_image(path: &Path) -> Result<()> {
    let size = check_exists(path)?;
    if size == 0 || !size.is_multiple_of(BLOCK) {
        return Err(CommandError::failed(format!(
            "{} has {size} bytes, which is no multiple of {BLOCK}",
            path.display()
        ))
        .hint(format!("pad it: truncate -s %{BLOCK} {}", path.display())));
    }
    Ok(())
}

fn work_folder(out: &Path) -> Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix(".fleet-bundle-")
        .tempdir_in(store::folder_of(out))
        .map_err(|e| CommandError::io(format!("cannot write beside {}", out.display()), e))
}

fn link_or_copy(from: &Path, to: &Path) -> Result<()> {
    let fail = |e| CommandError::io(format!("cannot read {}", from.display()), e);
    // A link to a symbolic link would dangle.
    let from = fs::canonicalize(from).map_err(fail)?;
    if fs::hard_link(&from, to).is_ok() {
        return Ok(());
    }
    fs::copy(&from, to).map(|_| ()).map_err(fail)
}

/// Looks at the finished bundle with the eyes of a device, then gives it its name.
fn finish(rauc: &Rauc, made: &Path, out: &Path, keyring: &Path) -> Result<BundleView> {
    let mut view = view(rauc, made, Some(keyring))?;
    if view.format == "plain" {
        return Err(CommandError::refused(
            "the bundle came out in `plain` format, which devices refuse",
        )
        .hint("bundles need the verity format"));
    }
    let fail = |e| CommandError::io(format!("cannot write {}", out.display()), e);
    fs::File::open(made)
        .and_then(|f| f.sync_all())
        .map_err(fail)?;
    // Unlike a rename, a link never replaces what appeared meanwhile.
    fs::hard_link(made, out)
        .or_else(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => Err(e),
            _ => fs::rename(made, out),
        })
        .map_err(fail)?;
    out.clone_into(&mut view.file);
    Ok(view)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_asks_for_verity_and_the_hash_index() {
        let text = manifest(&"board".parse().unwrap(), &Version::new(2, 0, 0), "two").unwrap();
        assert!(text.contains("[bundle]\nformat=verity\n"));
        assert_eq!(text.matches("adaptive=block-hash-index").count(), 2);
    }

    #[test]
    fn a_description_cannot_smuggle_a_section_in() {
        assert!(
            manifest(
                &"b".parse().unwrap(),
                &Version::new(1, 0, 0),
                "x\n[bundle]\nformat=plain"
            )
            .is_err()
        );
    }
}
