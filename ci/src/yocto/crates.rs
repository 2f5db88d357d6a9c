//! `fleet_crates.inc`: the crates that the recipes fetch, made from `Cargo.lock`, so that bitbake and cargo agree.
//!
//! bitbake has a task for that, but it needs a built Python and knows nothing of stale files. The list holds all of the
//! lock file: cargo wants every crate that it resolves, also those that the program is not made of.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::Findings;
use crate::workspace::Workspace;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[derive(Debug, Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Manifest {
    workspace: Members,
}

#[derive(Debug, Deserialize)]
struct Members {
    members: Vec<String>,
}

pub(super) fn check(workspace: &Workspace) -> Result<Findings> {
    let (path, wanted) = (include_path(workspace), made(workspace)?);
    let mut findings = Findings::default();
    if fs::read_to_string(&path).unwrap_or_default() != wanted {
        findings.add(
            &path,
            "is not what Cargo.lock says\nhint: cargo xtask yocto crates",
        );
    }
    Ok(findings)
}

pub(super) fn write(workspace: &Workspace) -> Result<()> {
    let path = include_path(workspace);
    fs::write(&path, made(workspace)?).with_context(|| format!("writing {}", path.display()))
}

fn include_path(workspace: &Workspace) -> PathBuf {
    workspace.layer().join("recipes-fleet/fleet_crates.inc")
}

fn made(workspace: &Workspace) -> Result<String> {
    let read = |name: &str| {
        let path = workspace.root().join(name);
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    };
    include_of(&read("Cargo.lock")?, &read("Cargo.toml")?)
}

fn include_of(lock: &str, manifest: &str) -> Result<String> {
    let lock: Lock = toml::from_str(lock).context("Cargo.lock is not readable")?;
    let manifest: Manifest = toml::from_str(manifest).context("Cargo.toml is not readable")?;
    let (mut uris, mut sums) = (String::new(), String::new());
    for package in &lock.package {
        let (name, version) = (&package.name, &package.version);
        let Some(source) = &package.source else {
            continue;
        };
        if source != REGISTRY {
            bail!("{name} {version} comes from {source}: the recipes fetch from crates.io only");
        }
        let sum = package
            .checksum
            .as_ref()
            .with_context(|| format!("{name} {version} has no checksum"))?;
        let _ = writeln!(uris, "    crate://crates.io/{name}/{version} \\");
        let _ = writeln!(sums, "SRC_URI[{name}-{version}.sha256sum] = \"{sum}\"");
    }
    let members: String = manifest.workspace.members.join(" ");
    Ok(format!(
        "# Made from Cargo.lock and Cargo.toml by `cargo xtask yocto crates`; `cargo xtask yocto check` compares them.\n\n\
         FLEET_MEMBERS = \"{members}\"\n\nSRC_URI += \"\\\n{uris}\"\n\n{sums}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[workspace]\nmembers = [\"agent\", \"ci\"]\n";

    fn lock(source: &str) -> String {
        format!(
            "version = 4\n[[package]]\nname = \"ours\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"serde\"\n\
             version = \"1.0.1\"\nsource = \"{source}\"\nchecksum = \"ab12\"\n"
        )
    }

    #[test]
    fn a_crate_is_fetched_with_its_checksum_and_ours_are_not() {
        let include = include_of(&lock(REGISTRY), MANIFEST).unwrap();
        assert!(include.contains("FLEET_MEMBERS = \"agent ci\""));
        assert!(include.contains("    crate://crates.io/serde/1.0.1 \\\n"));
        assert!(include.contains("SRC_URI[serde-1.0.1.sha256sum] = \"ab12\"\n"));
        assert!(!include.contains("ours"));
    }

    #[test]
    fn a_crate_from_elsewhere_is_refused_by_name() {
        let error = include_of(&lock("git+https://example.org/serde"), MANIFEST).unwrap_err();
        assert!(error.to_string().contains("serde 1.0.1"), "{error}");
    }
}
