//! The one place that starts programs. Output goes to a log file; a failure shows its tail and where the rest is.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

const TAIL_LINES: usize = 25;
/// Variables that are about the package whose program runs.
const OF_A_PACKAGE: &[&str] = &[
    "CARGO_BIN_",
    "CARGO_CRATE_",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PRIMARY_",
];

/// A command on the host, found through `PATH`, with a locale that does not change its output.
#[expect(
    clippy::disallowed_methods,
    reason = "the module that owns starting programs"
)]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C.UTF-8");
    command
}

/// The cargo that runs this, or the one on the path.
///
/// What cargo tells a program of its own package is kept from the next cargo: build scripts that look at it, such as
/// ring's, would have everything built anew.
pub fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = command(cargo);
    let of_a_package = |name: &str| OF_A_PACKAGE.iter().any(|prefix| name.starts_with(prefix));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(of_a_package) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs `command` to its end with both outputs in `log`.
///
/// # Errors
/// When it can't be started, or ends with a failure: then with the log's tail.
pub fn run_logged(command: &mut Command, log: &Path) -> Result<()> {
    if let Some(dir) = log.parent() {
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    }
    let out = File::create(log).with_context(|| format!("creating {}", log.display()))?;
    let err = out.try_clone().context("sharing the log file")?;
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .status()
        .with_context(|| format!("starting {name} (is it installed? `cargo xtask setup`)"))?;
    if !status.success() {
        bail!(
            "{name} failed ({status}); the end of {}:\n{}",
            log.display(),
            tail(log)
        );
    }
    Ok(())
}

/// Runs `command` and returns what it printed.
///
/// # Errors
/// When it can't be started, fails (then with what it said), or prints something that is not UTF-8.
pub fn capture(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {name} (is it installed? `cargo xtask setup`)"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let also = String::from_utf8_lossy(&output.stdout);
        bail!("{name} failed ({}): {said}{also}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{name} printed something not UTF-8"))
}

/// `sha256sum` reading from its input: an unoptimised hasher takes minutes for a disk.
///
/// # Errors
/// When it can't be started.
pub fn hasher() -> Result<Child> {
    command("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting sha256sum")
}

/// Is `program` found through `PATH`?
pub fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    lines[from..].iter().fold(String::new(), |mut out, line| {
        let _ = writeln!(out, "    {line}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_the_end_of_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("step.log");
        let error = run_logged(command("sh").args(["-c", "echo the cause; exit 3"]), &log)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("the cause") && error.contains("step.log"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_program_says_how_to_get_it() {
        let error = capture(&mut command("no-such-program-here"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("cargo xtask setup"), "{error}");
    }
}
