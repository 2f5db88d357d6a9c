//! Debian trees and tarballs by mmdebstrap: as root directly, otherwise in a user namespace.
//!
//! Invariant: a result appears under its final name only when it is whole (built aside, then renamed).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::process;

/// The suite of the reference image and of the tools tree.
pub const SUITE: &str = "trixie";

/// Run by mmdebstrap's shell with the tree and the packages' names.
const UNPACK: &str = "set -e; cd \"$1\"; shift; \
    APT_CONFIG=\"$MMDEBSTRAP_APT_CONFIG\" apt-get download \"$@\"; \
    for package in *.deb; do dpkg-deb --extract \"$package\" .; rm \"$package\"; done";

const FALLBACK_MIRROR: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What becomes of the packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A system: they are installed with all that they depend on, over the smallest Debian there is.
    System,
    /// Their files alone: nothing that they depend on comes along, and none of their scripts runs.
    Files,
}

/// What to bootstrap.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    pub kind: Kind,
    pub packages: Vec<String>,
    /// Shell glob patterns that dpkg leaves out.
    pub excludes: Vec<String>,
    /// Makes file times and password ages repeatable.
    pub source_date_epoch: u64,
}

impl Bootstrap {
    /// Twelve hex digits that change when the result would be asked to differ.
    pub fn key(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(SUITE);
        for part in self.packages.iter().chain(&self.excludes) {
            hash.update(part);
            hash.update([0]);
        }
        hash.update(self.source_date_epoch.to_le_bytes());
        if self.kind == Kind::Files {
            hash.update(UNPACK);
        }
        hex::encode(&hash.finalize()[..6])
    }

    /// Bootstraps into `destination`: a folder, or a tarball when it ends in `.tar`.
    ///
    /// # Errors
    /// When mmdebstrap fails; the log's tail says why.
    pub fn build(&self, destination: &Path, log: &Path) -> Result<()> {
        let parent = destination
            .parent()
            .context("a bootstrap needs a destination folder")?;
        fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        let aside = aside(destination);
        remove_tree(&aside, log)?;
        let mut command = process::command("mmdebstrap");
        command
            .env("SOURCE_DATE_EPOCH", self.source_date_epoch.to_string())
            .env("INITRD", "No")
            .arg("--aptopt=Apt::Install-Recommends \"false\"")
            .args([
                "--aptopt=Acquire::Languages \"none\"",
                "--dpkgopt=force-unsafe-io",
            ])
            .arg(format!("--mode={}", mode()))
            .arg(format!("--keyring={KEYRING}"));
        match self.kind {
            Kind::System => command
                .arg("--variant=minbase")
                .arg(format!("--include={}", self.packages.join(","))),
            Kind::Files => command.arg("--variant=custom").arg(format!(
                "--customize-hook=set -- \"$1\" {}; {UNPACK}",
                self.packages.join(" ")
            )),
        };
        for pattern in &self.excludes {
            command.arg(format!("--dpkgopt=path-exclude={pattern}"));
        }
        command.arg(SUITE).arg(&aside).args(sources());
        process::run_logged(&mut command, log).context(
            "hint: the Debian mirror must be reachable; `cargo xtask setup` installs mmdebstrap and the archive keyring",
        )?;
        fs::rename(&aside, destination)
            .with_context(|| format!("moving {} into place", destination.display()))
    }
}

/// The mirror lines: trixie with its updates and security, from this host's own mirror when it is a Debian one.
fn sources() -> Vec<String> {
    let main = host_mirror().unwrap_or_else(|| FALLBACK_MIRROR.to_owned());
    let security = match main.strip_suffix("/debian") {
        Some(base) if main.contains("deb.debian.org") => format!("{base}/debian-security"),
        _ => "http://deb.debian.org/debian-security".to_owned(),
    };
    vec![
        format!("deb {main} {SUITE} main"),
        format!("deb {main} {SUITE}-updates main"),
        format!("deb {security} {SUITE}-security main"),
    ]
}

/// The first mirror of this host's apt configuration that carries Debian itself.
fn host_mirror() -> Option<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(dir) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(dir.flatten().map(|entry| entry.path()));
    }
    let texts = files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok());
    texts
        .flat_map(|text| debian_uris(&text))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .next()
}

/// URIs in one apt source file whose last path element is `debian`, in either of apt's two formats.
fn debian_uris(text: &str) -> Vec<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| line.starts_with("deb ") || line.starts_with("URIs:"))
        .flat_map(str::split_whitespace)
        .filter(|word| word.starts_with("http"))
        .map(|word| word.trim_end_matches('/'))
        .filter(|word| word.ends_with("/debian"))
        .map(str::to_owned)
        .collect()
}

fn mode() -> &'static str {
    if nix::unistd::geteuid().is_root() {
        "root"
    } else {
        "unshare"
    }
}

/// `dir/tree` is built as `dir/.new-tree`: the suffix still tells mmdebstrap the format.
fn aside(destination: &Path) -> PathBuf {
    let name = destination
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    destination.with_file_name(format!(".new-{name}"))
}

/// Removes what an interrupted run left. In a user namespace its files belong to subordinate ids.
fn remove_tree(path: &Path, log: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    if path.is_file() {
        return fs::remove_file(path).with_context(|| format!("removing {}", path.display()));
    }
    let mut command = if mode() == "root" {
        process::command("rm")
    } else {
        let mut command = process::command("unshare");
        command.args(["--map-root-user", "--map-auto", "rm"]);
        command
    };
    process::run_logged(command.arg("-rf").arg(path), log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_mirrors_are_found_in_both_formats() {
        let classic =
            "deb http://mirror.example/debian/ bookworm main\n# deb http://no.example/debian x\n";
        assert_eq!(debian_uris(classic), ["http://mirror.example/debian"]);
        let deb822 = "Types: deb\nURIs: http://deb.debian.org/debian\nSuites: trixie\n";
        assert_eq!(debian_uris(deb822), ["http://deb.debian.org/debian"]);
    }

    #[test]
    fn an_ubuntu_mirror_is_not_taken_for_debian() {
        assert!(debian_uris("URIs: http://archive.ubuntu.com/ubuntu/\n").is_empty());
    }

    #[test]
    fn another_package_list_is_another_key() {
        let one = Bootstrap {
            kind: Kind::System,
            packages: vec!["a".into(), "b".into()],
            excludes: vec![],
            source_date_epoch: 1,
        };
        let other = Bootstrap {
            packages: vec!["ab".into()],
            ..one.clone()
        };
        assert_ne!(one.key(), other.key());
        let files = Bootstrap {
            kind: Kind::Files,
            ..one.clone()
        };
        assert_ne!(one.key(), files.key());
    }
}
