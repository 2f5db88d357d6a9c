//! Our own rules, which no other tool knows: who may use whom, how long files get, what must not be in them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cargo_metadata::{DependencyKind, MetadataCommand};

use super::files;
use crate::workspace::Workspace;

const MAX_LINES: usize = 500;

/// Programs that meet over the network and never by linking; see ARCHITECTURE.md.
const APART: &[&str] = &[
    "fleet-agent",
    "fleet-control",
    "fleet-player",
    "fleet-venue",
];

/// What a crate of ours may use of our crates; one that is not listed may use what it likes.
const MAY_USE: &[(&str, &[&str])] = &[
    ("fleet-protocol", &[]),
    ("fleet-schedule", &["fleet-protocol"]),
    ("fleet-cards", &[]),
    ("fleet-device", &["fleet-protocol"]),
    (
        "fleet-agent",
        &["fleet-cards", "fleet-device", "fleet-protocol"],
    ),
    (
        "fleet-player",
        &[
            "fleet-cards",
            "fleet-device",
            "fleet-protocol",
            "fleet-schedule",
        ],
    ),
    ("fleet-venue", &["fleet-protocol", "fleet-schedule"]),
    (
        "fleet-control",
        &["fleet-cards", "fleet-protocol", "fleet-schedule"],
    ),
    ("fleet", &["fleet-protocol", "fleet-schedule"]),
];

/// Places on somebody's machine. Split, so that this file does not name one.
const MACHINE_PATHS: &[&str] = &[
    concat!("/ho", "me/"),
    concat!("/ro", "ot/."),
    concat!("/Us", "ers/"),
];

/// What a check found, and where.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: PathBuf,
    line: Option<usize>,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.what)
    }
}

pub(super) fn run(workspace: &Workspace) -> Result<()> {
    let mut findings = dependencies(workspace)?;
    for path in files(workspace.root())? {
        let relative = path.strip_prefix(workspace.root()).unwrap_or(&path);
        // What is not text holds nothing to look for.
        if let Ok(text) = fs::read_to_string(&path) {
            findings.extend(check_file(relative, &text));
        }
    }
    if findings.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    bail!("{}", lines.join("\n"))
}

/// Crates that use one another against the rule, counting test dependencies only for those that must stay apart.
fn dependencies(workspace: &Workspace) -> Result<Vec<Finding>> {
    let metadata = MetadataCommand::new()
        .current_dir(workspace.root())
        .no_deps()
        .exec()
        .context("reading cargo's metadata")?;
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let ours = |used: &str| {
            metadata
                .packages
                .iter()
                .any(|other| other.name.as_str() == used)
        };
        for used in package.dependencies.iter().filter(|used| ours(&used.name)) {
            if let Some(what) = breach(name, &used.name, used.kind) {
                findings.push(Finding {
                    path: package.manifest_path.clone().into(),
                    line: None,
                    what,
                });
            }
        }
    }
    Ok(findings)
}

fn breach(client: &str, used: &str, kind: DependencyKind) -> Option<String> {
    if APART.contains(&client) && APART.contains(&used) {
        return Some(format!(
            "{client} uses {used}: they only meet through fleet-protocol's types"
        ));
    }
    let (_, allowed) = MAY_USE.iter().find(|(name, _)| *name == client)?;
    let counts = kind != DependencyKind::Development;
    (counts && !allowed.contains(&used)).then(|| format!("{client} may not use {used}"))
}

fn check_file(path: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |line, what: String| {
        findings.push(Finding {
            path: path.to_owned(),
            line,
            what,
        });
    };
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(place) = MACHINE_PATHS.iter().find(|place| line.contains(**place)) {
            found(
                Some(number),
                format!("names a place on somebody's machine ({place})"),
            );
        }
    }
    if path.extension().is_none_or(|extension| extension != "rs") {
        return findings;
    }
    if !is_test(path) && !text.starts_with("//!") {
        found(
            Some(1),
            "begins without //! saying what it is and why it exists".into(),
        );
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        found(
            None,
            format!("has {lines} lines, more than {MAX_LINES}: it holds two ideas"),
        );
    }
    if !is_test(path) {
        for number in unwraps(text) {
            found(
                Some(number),
                "unwrap() outside tests: handle it, or `expect` with the invariant".into(),
            );
        }
    }
    findings
}

/// Files that are tests as a whole.
fn is_test(path: &Path) -> bool {
    path.components().any(|part| {
        let name = part.as_os_str().to_string_lossy();
        matches!(
            &*name,
            "tests" | "tests.rs" | "simulation" | "fixtures.rs" | "benches" | "examples" | "fuzz"
        )
    })
}

/// Lines with a bare unwrap before the file's test module, which stands last.
fn unwraps(text: &str) -> Vec<usize> {
    (1..)
        .zip(text.lines())
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .filter(|(_, line)| {
            line.contains(concat!(".unwrap", "()")) && !line.trim_start().starts_with("//")
        })
        .map(|(number, _)| number)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agent_and_control_must_not_use_one_another_even_in_tests() {
        let check = |user, used, kind| breach(user, used, kind).is_some();
        assert!(check(
            "fleet-agent",
            "fleet-control",
            DependencyKind::Development
        ));
        assert!(check(
            "fleet-agent",
            "fleet-schedule",
            DependencyKind::Normal
        ));
        assert!(!check(
            "fleet-agent",
            "fleet-protocol",
            DependencyKind::Normal
        ));
        assert!(!check(
            "fleet-tests",
            "fleet-control",
            DependencyKind::Normal
        ));
    }

    fn check(path: &str, text: &str, expected: usize) {
        let findings = check_file(Path::new(path), text);
        assert_eq!(findings.len(), expected, "{findings:?}");
    }

    #[test]
    fn unwrap_is_found_before_the_tests_and_not_in_them() {
        check("a/src/x.rs", "//! x\nfn f() { g().unwrap() }\n", 1);
        check(
            "a/src/x.rs",
            "//! x\n#[cfg(test)]\nmod t { fn f() { g().unwrap() } }\n",
            0,
        );
    }

    #[test]
    fn a_source_file_says_what_it_is() {
        check("a/src/x.rs", "fn f() {}\n", 1);
    }

    #[test]
    fn places_on_a_machine_are_found_in_any_text() {
        check("docs/x.md", concat!("see /ho", "me/me/x\n"), 1);
    }
}
