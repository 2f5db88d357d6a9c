//! Builds everything that a story, the demo, the soak or the benchmarks start from; for the stories, its whereabouts
//! are left in `target/fleet/kit.json`.
//!
//! Two kinds: the sealed product images of the demo, and images with a test shell for the stories. Whatever was built
//! before from the same inputs is taken as it is.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fleet_tests::kit::{BundleFile, Kit, release};
use fleet_tests::random::Random;

use crate::bundle::{self, Bundle};
use crate::image::{
    Access, BuiltAt, DiskInputs, ImageBuilder, Release, ReleaseInputs, Variant, sha256_file,
};
use crate::keys::BundleKeys;
use crate::process;
use crate::progress::Progress;
use crate::test;
use crate::workspace::Workspace;

/// 2026-01-01. Fixed, so that a commit alone does not make every image anew; certificates are younger, so a device
/// without a clock shows whether it takes the time from elsewhere too.
const BUILT_AT: BuiltAt = BuiltAt {
    unix_seconds: 1_767_225_600,
};

/// What differs between two good releases, and does not compress.
const PAYLOAD_BYTES: u64 = 4 << 20;

/// What the kit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A product image with its own bundle, a good release, an unhealthy one.
    Demo,
    /// Test shells, and every kind of bad release.
    Stories,
    /// Test shells, one good release there and one back.
    Soak,
}

/// A release to build: its name in the kit, version, how it turns out.
type Wanted = (&'static str, &'static str, Variant);

const GOOD: Wanted = (release::GOOD, "2.0.0", Variant::Good);
const BETTER: Wanted = (release::BETTER, "2.1.0", Variant::Good);
const UNHEALTHY: Wanted = (release::UNHEALTHY, "3.0.0", Variant::Unhealthy);
const BAD: &[Wanted] = &[
    (release::NO_INIT, "3.1.0", Variant::NoInit),
    (release::DAMAGED, "3.2.0", Variant::DamagedRoot),
    (release::HUNG_INITRD, "3.4.0", Variant::HungInitrd),
    (release::BROKEN_AGENT, "3.3.0", Variant::BrokenAgent),
];

impl Purpose {
    fn access(self) -> Access {
        match self {
            Self::Demo => Access::Sealed,
            Self::Stories | Self::Soak => Access::TestShell,
        }
    }

    fn wanted(self) -> Vec<Wanted> {
        match self {
            Self::Demo => vec![GOOD, UNHEALTHY],
            Self::Stories => [&[GOOD, BETTER, UNHEALTHY], BAD].concat(),
            Self::Soak => vec![GOOD, BETTER],
        }
    }
}

/// Builds programs, keys, images and bundles.
///
/// # Errors
/// When any of them does not build; the log's tail says why.
pub fn build(workspace: &Workspace, purpose: Purpose, progress: Progress) -> Result<Kit> {
    let builder = ImageBuilder::new(workspace, progress)?;
    let (control, cli) = build_host_programs(workspace, purpose, progress)?;
    let programs = builder.build_programs()?;
    let keys = fleet_keys(workspace, &cli, progress)?;
    let bundle_keys = BundleKeys {
        ca: keys.join("keyring.pem"),
        certificate: keys.join("bundle-signing.cert.pem"),
        key: keys.join("bundle-signing.key.pem"),
    };
    let maker = Maker {
        workspace,
        builder: &builder,
        keys: &keys,
        bundle_keys: &bundle_keys,
        programs: &programs,
        purpose,
        progress,
    };
    let first = maker.release("1.0.0", Variant::Good)?;
    let disk = builder.disk(&first, &DiskInputs::default())?;
    let mut bundles = BTreeMap::new();
    if purpose == Purpose::Demo {
        let bundle = maker.bundle(&first, &bundle_keys, None)?;
        bundles.insert(release::FIRST.to_owned(), bundle);
    }
    for (name, version, variant) in purpose.wanted() {
        let made = maker.release(version, variant)?;
        bundles.insert(name.to_owned(), maker.bundle(&made, &bundle_keys, None)?);
    }
    if purpose == Purpose::Stories {
        maker.refused(&mut bundles)?;
    }
    let kit = Kit {
        fleet_dir: workspace.fleet_dir(),
        key: format!(
            "{}-{}",
            &disk.disk_sha256[..12],
            &sha256_file(&control)?[..12]
        ),
        control,
        cli,
        rauc: rauc_wrapper(workspace, &builder)?,
        television: builder.television()?,
        keys,
        disk: disk.disk,
        disk_version: first.version.parse()?,
        bundles,
    };
    if purpose == Purpose::Stories {
        // Stories find it by itself; the others hand it on.
        kit.write()?;
    }
    Ok(kit)
}

/// The operator's programs for this host. For the stories those that all other tests are about, with these.
fn build_host_programs(
    workspace: &Workspace,
    purpose: Purpose,
    progress: Progress,
) -> Result<(PathBuf, PathBuf)> {
    let mut command = process::cargo();
    let step = if purpose == Purpose::Stories {
        command.args(["test", "--no-run"]);
        command.args(test::PACKAGES).args(test::TESTS);
        progress.step("Building fleet-control, fleet and all tests")
    } else {
        command.args(["build", "--package", "fleet-control", "--package", "fleet"]);
        progress.step("Building fleet-control and fleet")
    };
    command.arg("--locked").current_dir(workspace.root());
    process::run_logged(&mut command, &workspace.log_file("build-host-programs"))?;
    step.done("");
    let dir = workspace.target().join("debug");
    Ok((dir.join("fleet-control"), dir.join("fleet")))
}

/// Throw-away keys by the operator's own command: release keys, key set, bundle certificates.
fn fleet_keys(workspace: &Workspace, cli: &Path, progress: Progress) -> Result<PathBuf> {
    let dir = workspace.fleet_dir().join("operator-keys");
    if !dir.join("keyset.json").is_file() {
        let step = progress.step("Making throw-away keys");
        let mut command = process::command(cli);
        command.args(["keys", "init", "--organisation", "Throw-away", "--dir"]);
        command.arg(&dir);
        process::run_logged(&mut command, &workspace.log_file("keys-init"))?;
        step.done(&dir.display().to_string());
    }
    Ok(dir)
}

/// The operator's command wants a program called `rauc`: this one runs it inside the tools tree.
fn rauc_wrapper(workspace: &Workspace, builder: &ImageBuilder) -> Result<PathBuf> {
    let inside = builder.tools().command("rauc");
    let quoted = |word: &std::ffi::OsStr| {
        let word = word.to_string_lossy();
        format!("'{}'", word.replace('\'', "'\\''"))
    };
    let words: Vec<String> = std::iter::once(inside.get_program())
        .chain(inside.get_args())
        .map(quoted)
        .collect();
    let path = workspace.fleet_dir().join("rauc");
    fs::write(
        &path,
        format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" ")),
    )
    .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
    .with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

struct Maker<'a> {
    workspace: &'a Workspace,
    builder: &'a ImageBuilder,
    keys: &'a Path,
    bundle_keys: &'a BundleKeys,
    programs: &'a Path,
    purpose: Purpose,
    progress: Progress,
}

impl Maker<'_> {
    fn release(&self, version: &str, variant: Variant) -> Result<Release> {
        // A file that is another in each release: as much of a difference as one small package makes.
        let seed = version
            .bytes()
            .fold(0, |sum, byte| sum * 31 + u64::from(byte));
        let mut random = Random::seeded(seed);
        let payload = (0..PAYLOAD_BYTES / 8)
            .flat_map(|_| random.next().to_le_bytes())
            .collect();
        self.builder.release(&ReleaseInputs {
            version: version.to_owned(),
            channel: "stable".to_owned(),
            built_at: BUILT_AT,
            keyring: self.bundle_keys.ca.clone(),
            keyset: Some(self.keys.join("keyset.json")),
            programs: self.programs.to_owned(),
            variant,
            access: self.purpose.access(),
            extra: vec![(PathBuf::from("usr/share/fleet/payload"), payload)],
        })
    }

    /// The bundle of `made`, or the one already there from the same release and keys.
    fn bundle(
        &self,
        made: &Release,
        keys: &BundleKeys,
        compatible: Option<&str>,
    ) -> Result<BundleFile> {
        let compatible = compatible.unwrap_or(&made.compatible);
        let signer = sha256_file(&keys.certificate)?;
        let name = format!("fleet-{}-{compatible}-{}.raucb", made.version, &signer[..8]);
        let path = made.dir().join(name);
        let note = path.with_extension("json");
        let earlier = fs::read(&note).ok().filter(|_| path.is_file());
        let earlier = earlier.and_then(|text| serde_json::from_slice::<Bundle>(&text).ok());
        let bundle = if let Some(bundle) = earlier.filter(|b| b.root_hash == made.root_hash) {
            bundle
        } else {
            let built = bundle::build_for(
                self.workspace,
                self.builder.tools(),
                made,
                compatible,
                keys,
                &path,
                self.progress,
            )?;
            fs::write(&note, serde_json::to_vec_pretty(&built)?)
                .with_context(|| format!("writing {}", note.display()))?;
            built
        };
        entry(&bundle)
    }

    /// Bundles that every device must refuse, made from the good release.
    fn refused(&self, bundles: &mut BTreeMap<String, BundleFile>) -> Result<()> {
        let (_, version, variant) = GOOD;
        let made = self.release(version, variant)?;
        let strangers = self.workspace.fleet_dir().join("keys-of-strangers");
        let strangers = BundleKeys::ensure(&strangers, self.workspace, self.builder.tools())?;
        let foreign = self.bundle(&made, &strangers, None)?;
        let other = self.bundle(&made, self.bundle_keys, Some("another-board"))?;
        let whole = &bundles[release::GOOD];
        let cut = whole.path.with_extension("truncated.raucb");
        let bytes = fs::read(&whole.path)?;
        fs::write(&cut, &bytes[..bytes.len() / 2 / 4096 * 4096])?;
        let truncated = BundleFile {
            sha256: sha256_file(&cut)?.parse()?,
            size_bytes: fs::metadata(&cut)?.len(),
            path: cut,
            ..whole.clone()
        };
        bundles.insert(release::FOREIGN.to_owned(), foreign);
        bundles.insert(release::WRONG_COMPATIBLE.to_owned(), other);
        bundles.insert(release::TRUNCATED.to_owned(), truncated);
        Ok(())
    }
}

fn entry(bundle: &Bundle) -> Result<BundleFile> {
    Ok(BundleFile {
        path: bundle.path.clone(),
        version: bundle.version.parse()?,
        compatible: bundle.compatible.clone(),
        sha256: bundle.sha256.parse()?,
        size_bytes: bundle.size_bytes,
        manifest_sha256: bundle.manifest_sha256.parse()?,
        root_hash: bundle.root_hash.parse()?,
    })
}
