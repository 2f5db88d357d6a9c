//! `cargo xtask lint`: every check that needs no test run. All are run, then all failures are named.

mod tidy;
mod units;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::progress::Progress;
use crate::tools::ToolTree;
use crate::workspace::Workspace;

/// Folders that hold no source of ours.
const SKIPPED: &[&str] = &[".git", "fleet-data", "target"];

/// Runs all checks.
///
/// # Errors
/// When one of them finds something; its log says what.
pub fn run(workspace: &Workspace, progress: Progress) -> Result<()> {
    let tools = ToolTree::ensure(workspace, progress)?;
    let checks: [(&str, &dyn Fn() -> Result<Outcome>); 8] = [
        ("Formatting", &|| format(workspace)),
        ("Clippy", &|| clippy(workspace)),
        ("Fuzz targets", &|| fuzz_targets(workspace)),
        ("Dependencies' licences and sources", &|| {
            licences(|arguments, log| deny(workspace, arguments, log))
        }),
        ("Advisories", &|| {
            advisories(|arguments, log| deny(workspace, arguments, log))
        }),
        ("Shell scripts", &|| shell(workspace, &tools)),
        ("Units", &|| units::run(workspace, &tools)),
        ("Tidiness", &|| {
            tidy::run(workspace).map(|()| Outcome::Clean)
        }),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        let step = progress.step(name);
        match check() {
            Ok(Outcome::Clean) => step.done(""),
            Ok(Outcome::Skipped(reason)) => step.done(&format!("skipped, {reason}")),
            Err(error) => {
                step.done("failed");
                eprintln!("{error:#}\n");
                failed.push(name);
            }
        }
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
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = process::command(cargo);
    command.args(arguments).current_dir(workspace.root());
    process::run_logged(&mut command, &workspace.log_file(log))
}

fn format(workspace: &Workspace) -> Result<Outcome> {
    cargo(workspace, &["fmt", "--all", "--check"], "lint-fmt").context("hint: cargo fmt --all")?;
    Ok(Outcome::Clean)
}

fn clippy(workspace: &Workspace) -> Result<Outcome> {
    let arguments = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    cargo(workspace, &arguments, "lint-clippy")?;
    Ok(Outcome::Clean)
}

/// They are a workspace of their own, which nothing else here looks at.
fn fuzz_targets(workspace: &Workspace) -> Result<Outcome> {
    let manifest = workspace.root().join("fuzz/Cargo.toml");
    // Clippy has checked most of what they depend on there.
    let (manifest, output) = (manifest.to_string_lossy(), workspace.target());
    let output = output.to_string_lossy();
    let arguments = [
        "check",
        "--all-targets",
        "--locked",
        "--manifest-path",
        &manifest,
        "--target-dir",
        &output,
    ];
    cargo(workspace, &arguments, "lint-fuzz")
        .context("hint: fuzz/src/lib.rs calls what has changed; after new dependencies, `cargo check` in fuzz/")?;
    Ok(Outcome::Clean)
}

const NO_CARGO_DENY: Outcome =
    Outcome::Skipped("cargo-deny is not installed (cargo install cargo-deny)");
/// For a database that a firewall lets nobody fetch.
const DENY_DEADLINE_S: &str = "120";

/// How one run of cargo-deny ended.
enum Denied {
    Done(Result<()>),
    NotInstalled,
}

fn deny(workspace: &Workspace, arguments: &[&str], log: &str) -> Denied {
    if !process::on_path("cargo-deny") {
        return Denied::NotInstalled;
    }
    let mut command = process::command("timeout");
    command.arg(DENY_DEADLINE_S).arg("cargo").arg("deny");
    command.args(arguments).current_dir(workspace.root());
    Denied::Done(process::run_logged(&mut command, &workspace.log_file(log)))
}

/// Needs nothing from elsewhere, so it is always checked.
fn licences(deny: impl Fn(&[&str], &str) -> Denied) -> Result<Outcome> {
    let checks = ["--offline", "check", "bans", "licenses", "sources"];
    match deny(&checks, "lint-deny") {
        Denied::NotInstalled => Ok(NO_CARGO_DENY),
        Denied::Done(result) => {
            result.context("hint: deny.toml says what is allowed, and why")?;
            Ok(Outcome::Clean)
        }
    }
}

/// The database is fetched first, so that not reaching it is told apart from what it says.
fn advisories(deny: impl Fn(&[&str], &str) -> Denied) -> Result<Outcome> {
    match deny(&["fetch", "db"], "lint-advisories-fetch") {
        Denied::NotInstalled => return Ok(NO_CARGO_DENY),
        Denied::Done(Err(_)) => {
            return Ok(Outcome::Skipped("the advisory database can't be reached"));
        }
        Denied::Done(Ok(())) => {}
    }
    let checks = ["--offline", "check", "advisories"];
    if let Denied::Done(result) = deny(&checks, "lint-advisories") {
        result.context("hint: `cargo update` the crate, or name the advisory in deny.toml and why it does not apply")?;
    }
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
    fn check(fetch: Option<bool>, check: bool) -> Result<Outcome> {
        advisories(|arguments, _| match (arguments[0], fetch) {
            (_, None) => Denied::NotInstalled,
            ("fetch", Some(true)) => Denied::Done(Ok(())),
            ("--offline", Some(true)) if check => Denied::Done(Ok(())),
            _ => Denied::Done(Err(anyhow::anyhow!("failed"))),
        })
    }

    #[test]
    fn advisories_are_checked_where_their_database_can_be_reached() {
        assert_eq!(check(Some(true), true).unwrap(), Outcome::Clean);
        assert!(check(Some(true), false).is_err());
        let unreachable = Outcome::Skipped("the advisory database can't be reached");
        assert_eq!(check(Some(false), false).unwrap(), unreachable);
        assert_eq!(check(None, false).unwrap(), NO_CARGO_DENY);
    }
}
