//! `cargo xtask setup`: the few packages the host itself needs, by apt, then the tools tree.
//!
//! Says what is missing before installing; asks when someone is there to answer.

use std::io::{IsTerminal, Write};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::progress::Progress;
use crate::tools::ToolTree;
use crate::workspace::Workspace;

/// The name of a package, and what it is for.
pub type Package = (&'static str, &'static str);

/// What the host itself needs. Everything else belongs into the tools tree.
const HOST_PACKAGES: &[Package] = &[
    ("bubblewrap", "runs the tools tree"),
    ("ca-certificates", "registries over TLS"),
    ("dbus-daemon", "the agent's tests run a bus of their own"),
    ("debian-archive-keyring", "verifies Debian's packages"),
    ("g++", "compiles the fuzzer"),
    ("gcc", "links Rust programs, compiles bundled C"),
    ("gstreamer1.0-libav", "decodes what the player plays"),
    (
        "gstreamer1.0-plugins-bad",
        "the player: KMS, H.264; encodes test media",
    ),
    ("gstreamer1.0-plugins-base", "the player: scaling and sound"),
    (
        "gstreamer1.0-plugins-good",
        "the player: MP4, WebM, JPEG and PNG",
    ),
    ("gstreamer1.0-x", "the player in a window"),
    ("libc6-dev", "C headers for the same"),
    (
        "libgstreamer-plugins-base1.0-dev",
        "headers the player is built with",
    ),
    ("libgstreamer1.0-dev", "the same"),
    ("mmdebstrap", "makes the tools tree and the image's root"),
    ("openssh-client", "a story logs in to safe mode by SSH"),
    ("pkg-config", "finds system libraries"),
    ("python3-venv", "checks of the product image's layer"),
];

/// Without root, mmdebstrap works in a user namespace with subordinate ids.
const ROOTLESS_PACKAGES: &[Package] = &[("uidmap", "mmdebstrap without root")];

/// How to go about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// Only say what is missing; fail if anything is.
    CheckOnly,
    /// Ask when standard input is a terminal; go ahead otherwise.
    Ask,
    /// Go ahead.
    Given,
}

/// Installs what is missing and makes the tools tree.
///
/// # Errors
/// When this is no Debian or Ubuntu, apt fails, or something is missing and `consent` forbids installing it.
pub fn run(workspace: &Workspace, consent: Consent, progress: Progress) -> Result<()> {
    let rootless = if nix::unistd::geteuid().is_root() {
        &[]
    } else {
        ROOTLESS_PACKAGES
    };
    ensure(workspace, &[HOST_PACKAGES, rootless], consent, progress)?;
    if consent == Consent::CheckOnly {
        if !ToolTree::is_present(workspace) {
            bail!("the tools tree has not been made yet\nhint: cargo xtask setup");
        }
    } else {
        ToolTree::ensure(workspace, progress)?;
    }
    progress.note("Everything needed is installed.");
    Ok(())
}

/// Installs those packages that are missing.
///
/// # Errors
/// When this is no Debian or Ubuntu, apt fails, or something is missing and `consent` forbids installing it.
pub fn ensure(
    workspace: &Workspace,
    lists: &[&[Package]],
    consent: Consent,
    progress: Progress,
) -> Result<()> {
    let missing = missing_packages(lists)?;
    if !missing.is_empty() {
        progress.note("Missing system packages:");
        for (package, reason) in &missing {
            progress.note(&format!("  {package:<24} {reason}"));
        }
        if consent == Consent::CheckOnly {
            bail!("system packages are missing\nhint: cargo xtask setup");
        }
        if consent == Consent::Ask && std::io::stdin().is_terminal() && !confirmed()? {
            bail!(
                "nothing installed\nhint: run `cargo xtask setup` again, or install them yourself"
            );
        }
        install(workspace, &missing, progress)?;
    }
    Ok(())
}

fn missing_packages(lists: &[&[Package]]) -> Result<Vec<Package>> {
    if !process::on_path("dpkg-query") {
        bail!(
            "this machine has no dpkg: only Debian and Ubuntu are set up automatically\n\
             hint: install mmdebstrap, bubblewrap, a C compiler and Debian's archive keyring yourself"
        );
    }
    let is_missing = |package: &str| {
        let status = process::command("dpkg-query")
            .args(["--show", "--showformat=${db:Status-Status}", package])
            .stderr(Stdio::null())
            .output();
        !status.is_ok_and(|output| output.stdout == b"installed")
    };
    let packages = lists.iter().flat_map(|list| list.iter()).copied();
    Ok(packages
        .filter(|(package, _)| is_missing(package))
        .collect())
}

fn confirmed() -> Result<bool> {
    eprint!("Install them with apt? [Y/n] ");
    std::io::stderr().flush().context("asking")?;
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .context("reading the answer")?;
    Ok(matches!(
        answer.trim().to_lowercase().as_str(),
        "" | "y" | "yes"
    ))
}

fn install(workspace: &Workspace, missing: &[Package], progress: Progress) -> Result<()> {
    let apt = |arguments: &[&str]| {
        let mut command = if nix::unistd::geteuid().is_root() {
            process::command("apt-get")
        } else {
            let mut command = process::command("sudo");
            command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
            command
        };
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(arguments);
        command
    };
    if !nix::unistd::geteuid().is_root() {
        // sudo may want a password: let it ask before the output goes to a log.
        let asked = process::command("sudo").arg("--validate").status();
        if !asked.is_ok_and(|status| status.success()) {
            bail!(
                "sudo refused\nhint: run `cargo xtask setup` as root, or install the packages yourself"
            );
        }
    }
    let step = progress.step("Installing system packages");
    step.update("reading package lists");
    process::run_logged(&mut apt(&["update"]), &workspace.log_file("apt-update"))?;
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(missing.iter().map(|(package, _)| *package));
    step.update("installing");
    process::run_logged(&mut apt(&arguments), &workspace.log_file("apt-install"))
        .context("hint: `apt-get update` and the mirror's reachability are the usual causes")?;
    step.done("");
    Ok(())
}
