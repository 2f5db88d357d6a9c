//! The external program `rauc`: found, checked for its version, run.
//!
//! 1.9 is the first that prints the manifest hash (`rauc info --output-format=json-2`), which the
//! release metadata binds.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use fleet_protocol::Sha256;
use serde::Deserialize;

use crate::error::{CommandError, Result};

const NEEDED: (u32, u32) = (1, 9);

#[derive(Debug, Clone, Args)]
pub struct RaucArgs {
    /// The program `rauc`, 1.9 or newer
    #[arg(long, env = "FLEET_RAUC", default_value = "rauc", value_name = "PATH")]
    pub rauc: PathBuf,
}

#[derive(Debug, Clone)]
pub(crate) struct Rauc {
    program: PathBuf,
}

/// What `rauc info --output-format=json-2` says, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Info {
    pub update: Update,
    pub manifest_hash: Sha256,
    pub bundle: BundleInfo,
    #[serde(default)]
    pub images: Vec<ImageInfo>,
}

#[derive(Debug, Deserialize)]
pub struct Update {
    pub compatible: String,
    #[serde(default)]
    pub version: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct BundleInfo {
    pub format: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImageInfo {
    pub slot_class: String,
    pub filename: String,
    pub size: u64,
    pub checksum: Sha256,
    #[serde(default)]
    pub adaptive: Vec<String>,
}

impl Info {
    /// # Errors
    /// When it is not what RAUC prints.
    pub fn parse(printed: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(printed)
    }
}

impl Rauc {
    /// # Errors
    /// When it is not there or too old, with where to get it.
    pub(crate) fn find(args: &RaucArgs) -> Result<Self> {
        let rauc = Self {
            program: args.rauc.clone(),
        };
        let printed = rauc.run("ask for its version", ["--version"])?;
        match parse_version(&printed) {
            Some(version) if version >= NEEDED => Ok(rauc),
            Some((major, minor)) => Err(CommandError::failed(format!(
                "{} is version {major}.{minor}, at least {}.{} is needed",
                rauc.program.display(),
                NEEDED.0,
                NEEDED.1
            ))
            .hint("install a newer one (Debian 13 and Ubuntu 24.04 have it), and name it with --rauc or FLEET_RAUC")),
            None => Err(CommandError::failed(format!(
                "{} does not say which version of RAUC it is",
                rauc.program.display()
            ))
            .hint("name the program `rauc` itself with --rauc or FLEET_RAUC")),
        }
    }

    /// Runs it to its end; its standard output.
    ///
    /// # Errors
    /// With the last lines of what it said.
    pub(crate) fn run<I, S>(&self, doing: &str, args: I) -> Result<String>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        #[expect(clippy::disallowed_methods, reason = "the module that owns `rauc`")]
        let output = Command::new(&self.program)
            .args(args)
            .stdin(Stdio::null())
            .output()
            .map_err(|e| {
                CommandError::failed(format!("cannot start {}", self.program.display()))
                    .because(e)
                    .hint("install RAUC 1.9 or newer (Debian: apt-get install rauc), or name it with --rauc or FLEET_RAUC")
            })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(CommandError::failed(format!("rauc could not {doing}"))
            .because(last_lines(&output.stderr))
            .hint("the line above is RAUC's own reason"))
    }

    /// # Errors
    /// When RAUC does not accept the bundle: with a keyring, also for its signature.
    pub(crate) fn info(&self, bundle: &Path, keyring: Option<&Path>) -> Result<Info> {
        let mut args: Vec<&OsStr> = vec!["info".as_ref(), "--output-format=json-2".as_ref()];
        let option;
        if let Some(keyring) = keyring {
            option = with_path("--keyring=", keyring);
            args.push(&option);
        } else {
            args.push("--no-verify".as_ref());
        }
        args.push(bundle.as_os_str());
        let printed = self.run("read the bundle", args)?;
        Info::parse(printed.as_bytes()).map_err(|e| {
            CommandError::failed("what `rauc info` printed is not understood")
                .because(e)
                .hint("report this with the output of `rauc info --output-format=json-2`")
        })
    }
}

/// `--option=PATH` for paths that are no UTF-8, too.
pub(crate) fn with_path(option: &str, path: &Path) -> std::ffi::OsString {
    let mut text = std::ffi::OsString::from(option);
    text.push(path);
    text
}

/// Major and minor, from what `rauc --version` prints.
pub fn parse_version(printed: &str) -> Option<(u32, u32)> {
    let text = printed.trim().strip_prefix("rauc ")?;
    let mut parts = text.split(['.', '-', ' ', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The last few lines of standard error, without the noise of progress messages.
fn last_lines(stderr: &[u8]) -> String {
    let text = crate::output::printable(&String::from_utf8_lossy(stderr));
    let lines: Vec<&str> = text
        .lines()
        .filter(|l| !l.trim().is_empty() && !l.starts_with("rauc-Message:"))
        .collect();
    let tail = lines[lines.len().saturating_sub(4)..].join("\n  ");
    if tail.is_empty() {
        "it gave no reason".to_owned()
    } else {
        tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_compared_by_numbers() {
        assert!(parse_version("rauc 1.8\n").unwrap() < NEEDED);
        assert!(parse_version("rauc 1.15.2\n").unwrap() > NEEDED);
        assert!(parse_version("rauc 1.13-2+deb13\n").unwrap() > NEEDED);
        assert_eq!(parse_version("bash 5"), None);
    }
}
