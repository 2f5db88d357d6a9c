//! `fleet bundle`: RAUC bundles in verity format, built, signed anew, looked into.
//!
//! The input folder lies beside the output, so that images are hard-linked, not copied. A bundle
//! appears under its name only when RAUC has made it and accepts it.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use fleet_protocol::{Compatible, Sha256, Version};
use serde::Serialize;

use crate::error::{CommandError, Result};
use crate::keys::KeyFolder;
use crate::output::{Output, human_bytes};
use crate::rauc::{Info, Rauc, RaucArgs, with_path};
use crate::store;

/// RAUC's hash index works on blocks of this size.
const BLOCK: u64 = 4096;

#[derive(Debug, Subcommand)]
pub enum BundleCommand {
    /// Build and sign a bundle from a root file system and a boot image
    Build(BuildArgs),
    /// Sign a bundle anew, with other keys
    Sign(SignArgs),
    /// Show what a bundle holds, and whether its signature is good
    Inspect(InspectArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    /// Quick; the images are compressed themselves
    Lz4,
    Gzip,
    Zstd,
}

#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Image for the rootfs slot (with its dm-verity tree)
    #[arg(long, value_name = "IMG")]
    pub rootfs: PathBuf,
    /// Image for the boot slot that belongs to it
    #[arg(long, value_name = "IMG")]
    pub boot: PathBuf,
    #[arg(long, value_name = "VERSION")]
    pub version: Version,
    /// Which hardware and distribution it is for, as in the devices' system.conf
    #[arg(long)]
    pub compatible: Compatible,
    /// The bundle to write
    #[arg(long, short, value_name = "FILE")]
    pub out: PathBuf,
    /// For people, shown by `rauc info`
    #[arg(long, default_value = "")]
    pub description: String,
    #[arg(long, value_enum, default_value = "lz4")]
    pub compression: Compression,
    #[command(flatten)]
    pub signer: SignerArgs,
    #[command(flatten)]
    pub rauc: RaucArgs,
}

#[derive(Debug, Args)]
pub struct SignerArgs {
    /// Key folder of `fleet keys init`
    #[arg(
        long,
        env = "FLEET_KEYS",
        default_value = "./fleet-keys",
        value_name = "DIR"
    )]
    pub keys: PathBuf,
    /// Certificate to sign with, instead of the folder's (PEM file or PKCS#11 URL)
    #[arg(long, value_name = "CERT", requires = "signing_key")]
    pub cert: Option<String>,
    /// Its private key (PEM file or PKCS#11 URL)
    #[arg(
        long = "cert-key",
        id = "signing_key",
        value_name = "KEY",
        requires = "cert"
    )]
    pub cert_key: Option<String>,
    /// What the signature is checked against afterwards, instead of the folder's keyring.pem
    #[arg(long, value_name = "PEM")]
    pub keyring: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct SignArgs {
    pub bundle: PathBuf,
    /// The bundle to write
    #[arg(long, short, value_name = "FILE")]
    pub out: PathBuf,
    /// What the present signature is checked against; default: the new keyring
    #[arg(long, value_name = "PEM")]
    pub old_keyring: Option<PathBuf>,
    #[command(flatten)]
    pub signer: SignerArgs,
    #[command(flatten)]
    pub rauc: RaucArgs,
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    pub bundle: PathBuf,
    /// Check the signature against this; default: the key folder's keyring.pem, if there is one
    #[arg(long, value_name = "PEM")]
    pub keyring: Option<PathBuf>,
    /// Key folder of `fleet keys init`
    #[arg(
        long,
        env = "FLEET_KEYS",
        default_value = "./fleet-keys",
        value_name = "DIR"
    )]
    pub keys: PathBuf,
    /// Do not check the signature
    #[arg(long, conflicts_with = "keyring")]
    pub no_verify: bool,
    #[command(flatten)]
    pub rauc: RaucArgs,
}

/// `--json` shape of `bundle build|sign|inspect`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BundleView {
    pub file: PathBuf,
    pub size_bytes: u64,
    pub sha256: Sha256,
    pub manifest_sha256: Sha256,
    pub compatible: String,
    pub version: Option<String>,
    pub format: String,
    /// Checked against a keyring, and good.
    pub signature_verified: bool,
    pub images: Vec<ImageView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageView {
    pub slot_class: String,
    pub file_name: String,
    pub size_bytes: u64,
    pub sha256: Sha256,
    pub adaptive: Vec<String>,
}

/// # Errors
/// See each command.
pub fn run(command: BundleCommand, output: Output) -> Result<()> {
    let view = match command {
        BundleCommand::Build(args) => build(&args)?,
        BundleCommand::Sign(args) => sign(&args)?,
        BundleCommand::Inspect(args) => inspect(&args, output)?,
    };
    output.result(&view, |view| show(view, output));
    Ok(())
}

fn build(args: &BuildArgs) -> Result<BundleView> {
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

fn sign(args: &SignArgs) -> Result<BundleView> {
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

fn inspect(args: &InspectArgs, output: Output) -> Result<BundleView> {
    let rauc = Rauc::find(&args.rauc)?;
    check_exists(&args.bundle)?;
    let default = args.keys.join("keyring.pem");
    let keyring = match (&args.keyring, args.no_verify) {
        (_, true) => None,
        (Some(keyring), false) => Some(keyring.as_path()),
        (None, false) if default.is_file() => Some(default.as_path()),
        (None, false) => {
            output.note("Signature not checked: no keyring (name one with --keyring)");
            None
        }
    };
    view(&rauc, &args.bundle, keyring)
}

/// Size, digest and RAUC's own words about a bundle; with a keyring, its signature is checked.
pub(crate) fn view(rauc: &Rauc, bundle: &Path, keyring: Option<&Path>) -> Result<BundleView> {
    let info: Info = rauc.info(bundle, keyring)?;
    let (sha256, size_bytes) = digest(bundle)?;
    Ok(BundleView {
        file: bundle.to_owned(),
        size_bytes,
        sha256,
        manifest_sha256: info.manifest_hash,
        compatible: info.update.compatible,
        version: info.update.version,
        format: info.bundle.format,
        signature_verified: keyring.is_some(),
        images: info
            .images
            .into_iter()
            .map(|image| ImageView {
                slot_class: image.slot_class,
                file_name: image.filename,
                size_bytes: image.size,
                sha256: image.checksum,
                adaptive: image.adaptive,
            })
            .collect(),
    })
}

fn digest(path: &Path) -> Result<(Sha256, u64)> {
    use sha2::Digest as _;
    use std::io::Read as _;
    let fail = |e| CommandError::io(format!("cannot read {}", path.display()), e);
    let mut file = fs::File::open(path).map_err(fail)?;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer).map_err(fail)?;
        if count == 0 {
            return Ok((Sha256::from_bytes(hasher.finalize().into()), size));
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
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

fn check_exists(path: &Path) -> Result<u64> {
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

fn show(view: &BundleView, output: Output) -> String {
    let rows: Vec<Vec<String>> = view
        .images
        .iter()
        .map(|i| {
            vec![
                i.slot_class.clone(),
                human_bytes(i.size_bytes),
                i.adaptive.join(", "),
                i.sha256.to_string(),
            ]
        })
        .collect();
    let signature = if view.signature_verified {
        "good"
    } else {
        "not checked"
    };
    let fields = output.fields(&[
        ("bundle", view.file.display().to_string()),
        (
            "version",
            view.version.clone().unwrap_or_else(|| "none".to_owned()),
        ),
        ("compatible", view.compatible.clone()),
        ("format", view.format.clone()),
        ("size", human_bytes(view.size_bytes)),
        ("sha256", view.sha256.to_string()),
        ("manifest hash", view.manifest_sha256.to_string()),
        ("signature", signature.to_owned()),
    ]);
    format!(
        "{fields}\n{}",
        output.table(&["slot", "size", "adaptive", "sha256"], &rows)
    )
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
