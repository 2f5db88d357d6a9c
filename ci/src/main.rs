//! `cargo xtask`: the only entry point to building, testing and running, the same on a laptop and in CI.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use xtask::bundle;
use xtask::demo::{self, DemoArguments};
use xtask::image::{self, Access, DiskInputs, ImageBuilder, ReleaseInputs, Variant};
use xtask::keys::BundleKeys;
use xtask::progress::Progress;
use xtask::setup::{self, Consent};
use xtask::soak::{self, SoakArguments};
use xtask::test::{self, TestArguments};
use xtask::workspace::Workspace;

/// Build, test and run Fleet.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what this machine lacks: a few system packages and the tools tree.
    Setup {
        /// Only say what is missing.
        #[arg(long)]
        check: bool,
        /// Don't ask.
        #[arg(long)]
        yes: bool,
    },
    /// Build the reference image: a disk, its parts and a manifest under target/fleet/images.
    Image(ImageArguments),
    /// Show the main job end to end: a device in QEMU is enrolled, updated, and saves itself from a bad release.
    Demo(DemoArguments),
    /// Cut the power at random instants of the update cycle, many times, and count what came of it.
    Soak(SoakArguments),
    /// Run all tests, those in virtual machines too.
    Test(TestArguments),
}

#[derive(Debug, clap::Args)]
struct ImageArguments {
    /// The release's version.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    release: String,
    #[arg(long, default_value = "stable")]
    channel: String,
    /// CA certificate for bundles; a throw-away one otherwise.
    #[arg(long)]
    keyring: Option<PathBuf>,
    /// Key set for release metadata.
    #[arg(long)]
    keyset: Option<PathBuf>,
    /// Enrolment file for the EFI system partition.
    #[arg(long)]
    provision: Option<PathBuf>,
    /// A ready fleet-agent instead of building one.
    #[arg(long)]
    agent: Option<PathBuf>,
    /// Also build a signed bundle (with the throw-away keys).
    #[arg(long, conflicts_with = "keyring")]
    bundle: bool,
    /// How the release is to turn out; anything but good is for tests.
    #[arg(long, value_enum, default_value = "good")]
    variant: Variant,
    /// Add a root shell on a virtio console. For tests, never for devices.
    #[arg(long)]
    test_shell: bool,
    /// Build the release twice from nothing and compare.
    #[arg(long)]
    verify_reproducible: bool,
    /// Print the manifest as JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  because: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<()> {
    let workspace = Workspace::locate()?;
    let progress = Progress::detect();
    match *task {
        Task::Setup { check, yes } => {
            let consent = match (check, yes) {
                (true, _) => Consent::CheckOnly,
                (false, true) => Consent::Given,
                (false, false) => Consent::Ask,
            };
            setup::run(&workspace, consent, progress)
        }
        Task::Image(ref arguments) => build_image(&workspace, arguments, progress),
        Task::Demo(ref arguments) => demo::run(&workspace, arguments, progress),
        Task::Soak(ref arguments) => soak::run(&workspace, arguments, progress),
        Task::Test(ref arguments) => test::run(&workspace, arguments, progress),
    }
}

fn build_image(
    workspace: &Workspace,
    arguments: &ImageArguments,
    progress: Progress,
) -> Result<()> {
    let builder = ImageBuilder::new(workspace, progress)?;
    let keys = BundleKeys::throw_away(workspace, builder.tools())?;
    let inputs = ReleaseInputs {
        version: arguments.release.clone(),
        channel: arguments.channel.clone(),
        built_at: builder.built_at()?,
        keyring: arguments.keyring.clone().unwrap_or(keys.ca.clone()),
        keyset: arguments.keyset.clone(),
        agent: match &arguments.agent {
            Some(path) => path.clone(),
            None => builder.build_programs()?,
        },
        variant: arguments.variant,
        access: if arguments.test_shell {
            Access::TestShell
        } else {
            Access::Sealed
        },
        extra: Vec::new(),
    };
    if arguments.verify_reproducible {
        let release = image::verify_reproducible(&builder, &inputs)?;
        progress.note(&format!(
            "Two builds agree on root hash {}",
            release.root_hash
        ));
        return Ok(());
    }
    let release = builder.release(&inputs)?;
    let disk = builder.disk(
        &release,
        &DiskInputs {
            provision: arguments.provision.clone(),
        },
    )?;
    if arguments.bundle {
        let to = release
            .dir()
            .join(format!("fleet-{}.raucb", release.version));
        bundle::build(workspace, builder.tools(), &release, &keys, &to, progress)?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&disk)?);
    } else {
        progress.note(&format!(
            "Manifest: {}",
            release.dir().join("manifest.json").display()
        ));
    }
    Ok(())
}
