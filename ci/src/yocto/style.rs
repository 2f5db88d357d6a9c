//! oelint-adv over recipes and classes: what a reader of other layers would stumble over.

use std::fs;

use anyhow::{Result, bail};

use super::Findings;
use super::PACKAGES;
use super::layer;
use crate::python::Python;
use crate::workspace::Workspace;

/// The release whose rules hold.
const RELEASE: &str = "wrynose";

/// Rules that are not ours, each with the reason. What is off in one place only is said in that place (`nooelint`).
const EXCEPTIONS: &[(&str, &str)] = &[
    (
        "oelint.file.requirenotfound",
        "what other layers have is not here",
    ),
    (
        "oelint.file.underscores",
        "recipes of one's own have the version of the release",
    ),
    (
        "oelint.task.docstrings",
        "functions are called, not run by name",
    ),
    (
        "oelint.var.bbclassextend",
        "nothing here runs on a build host",
    ),
    (
        "oelint.var.licenseremotefile",
        "licences are the workspace's files; `recipes` compares them",
    ),
    (
        "oelint.var.mandatoryvar.SRC_URI",
        "trees are installed from the layer, and bundles made of images",
    ),
    ("oelint.var.suggestedvar.BUGTRACKER", "there is none"),
    (
        "oelint.var.suggestedvar.CVE_PRODUCT",
        "our own have no entries",
    ),
    ("oelint.var.suggestedvar.SECTION", "nobody browses packages"),
    (
        "oelint.vars.dependsordered",
        "does not see through expressions",
    ),
    ("oelint.vars.homepageping", "needs a network"),
    (
        "oelint.vars.mispell",
        "is about names that it does not know, as the next one",
    ),
    (
        "oelint.vars.mispell.unknown",
        "does not know RAUC's and images' names; ours `recipes` looks after",
    ),
    (
        "oelint.vars.specific",
        "does not know overrides by variant, image type and family of boards",
    ),
];

pub(super) fn check(workspace: &Workspace) -> Result<Findings> {
    let python = Python::ensure(workspace, PACKAGES)?;
    let mut command = python.command();
    command
        .args([
            "-m",
            "oelint_adv",
            "--quiet",
            "--jobs=1",
            "--release",
            RELEASE,
        ])
        .args(["--messageformat", "{path}:{line}: {severity} {id}: {msg}"]);
    for (rule, _) in EXCEPTIONS {
        command.arg(format!("--suppress={rule}"));
    }
    let kinds = ["bb", "bbappend", "bbclass"];
    let files = layer::files(&workspace.layer())?;
    command.args(files.iter().filter(|path| {
        kinds
            .iter()
            .any(|kind| path.extension().is_some_and(|is| is == *kind))
    }));
    let output = command.current_dir(workspace.root()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    fs::write(workspace.log_file("yocto-style"), &*said)?;
    let findings = findings_in(&said);
    // It ends with the number of its findings: what it could not say must not pass for nothing.
    if !output.status.success() && findings == Findings::default() {
        bail!("oelint-adv failed ({}):\n{said}", output.status);
    }
    Ok(findings)
}

fn findings_in(said: &str) -> Findings {
    let mut findings = Findings::default();
    for line in said.lines() {
        if let Some((path, what)) = line.split_once(": ") {
            findings.add(path.as_ref(), what.trim_end_matches(" [branch:true]"));
        }
    }
    findings
}
