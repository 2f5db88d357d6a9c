//! Each recipe fetches files that are there, nothing lies about unused, and licences are what the texts say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Findings;
use super::layer::{self, Metadata};
use crate::process;
use crate::workspace::Workspace;

/// What the project is licensed under, in bitbake's words.
const LICENSE: &str = "MIT | Apache-2.0";

pub(super) fn check(workspace: &Workspace) -> Result<Findings> {
    let metadata = layer::metadata(&workspace.layer())?;
    let supplied = Supplied::of(workspace)?;
    let mut findings = Findings::default();
    fetches(&metadata, &supplied, &mut findings);
    trees(workspace, &metadata, &mut findings)?;
    licences(workspace, &metadata, &mut findings)?;
    names(&metadata, &mut findings);
    Ok(findings)
}

/// A variable of ours that is read is set somewhere: bitbake takes a misspelt one for empty.
fn names(metadata: &[Metadata], findings: &mut Findings) {
    let set: BTreeSet<&str> = metadata.iter().flat_map(Metadata::assigned).collect();
    for file in metadata {
        for name in file.read_variables("FLEET_") {
            if !set.contains(name) {
                findings.add(&file.path, format!("reads {name}, which nobody sets"));
            }
        }
    }
}

/// What a recipe can fetch by `file://`.
struct Supplied {
    /// Paths of files below a `files` folder, relative to it.
    files: BTreeSet<String>,
    /// Entries right in a `files` folder, `rootfs` left out.
    entries: BTreeSet<(PathBuf, String)>,
    /// Entries right in the workspace.
    workspace: BTreeSet<String>,
}

impl Supplied {
    fn of(workspace: &Workspace) -> Result<Self> {
        let mut files = BTreeSet::new();
        let mut entries = BTreeSet::new();
        for path in layer::files(&workspace.layer())? {
            let Some((folder, below)) = split_at_files(&path) else {
                continue;
            };
            let name = |path: &Path| path.to_string_lossy().into_owned();
            let first = below.iter().next().map(Path::new).map(name);
            if let Some(first) = first.filter(|first| first != "rootfs" && first != "wic") {
                entries.insert((folder.join(&first), first));
            }
            files.extend(below.ancestors().map(name).filter(|path| !path.is_empty()));
        }
        let listing = std::fs::read_dir(workspace.root()).context("listing the workspace")?;
        let workspace = listing
            .filter_map(Result::ok)
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        Ok(Self {
            files,
            entries,
            workspace,
        })
    }

    fn has(&self, pattern: &str) -> bool {
        let mut all = self.files.iter().chain(&self.workspace);
        all.any(|name| matches(pattern, name))
    }
}

/// `…/files/a/b` as `…/files` and `a/b`.
fn split_at_files(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let parts: Vec<_> = path.iter().collect();
    let at = parts.iter().rposition(|part| *part == "files")?;
    let (folder, below) = parts.split_at(at + 1);
    Some((folder.iter().collect(), below.iter().collect()))
}

fn fetches(metadata: &[Metadata], supplied: &Supplied, findings: &mut Findings) {
    let mut wanted = Vec::new();
    for file in metadata {
        for name in file.fetched_files() {
            // A name that is computed from a list is checked by what makes the list.
            if !name.contains('%') && !supplied.has(name) {
                findings.add(&file.path, format!("fetches {name}, which is not there"));
            }
            wanted.push(name);
        }
    }
    for (path, name) in &supplied.entries {
        let fetched = wanted
            .iter()
            .any(|pattern| matches(pattern.split('/').next().unwrap_or(pattern), name));
        let named = metadata
            .iter()
            .any(|file| file.mentions(&format!("/files/{name}/")));
        if !fetched && !named {
            findings.add(path, "is used by no recipe");
        }
    }
}

/// Does `name` fit `pattern`, in which `${…}` stands for anything?
fn matches(pattern: &str, name: &str) -> bool {
    let Some((before, rest)) = pattern.split_once("${") else {
        return pattern == name;
    };
    let after = rest.split_once('}').map_or("", |(_, after)| after);
    name.starts_with(before) && name.ends_with(after)
}

/// A tree is installed by exactly one recipe, and what it says to be replaced is in it.
fn trees(workspace: &Workspace, metadata: &[Metadata], findings: &mut Findings) -> Result<()> {
    let installers = || {
        metadata
            .iter()
            .filter(|file| file.is_recipe() && file.inherits("fleet_rootfs"))
    };
    let mut folders = BTreeSet::new();
    for path in layer::files(&workspace.layer())? {
        if let Some((folder, below)) = split_at_files(&path)
            && below.starts_with("rootfs")
        {
            folders.insert(folder);
        }
    }
    for folder in folders {
        let of_folder = installers().filter(|recipe| recipe.path.parent() == folder.parent());
        let count = of_folder.count();
        if count != 1 {
            findings.add(
                &folder.join("rootfs"),
                format!("is installed by {count} recipes"),
            );
        }
    }
    for recipe in installers() {
        let Some(folder) = recipe.path.parent() else {
            continue;
        };
        for replaced in recipe.words_of("FLEET_REPLACES") {
            let path = folder.join("files/rootfs").join(replaced);
            if path.symlink_metadata().is_err() {
                findings.add(
                    &recipe.path,
                    format!("replaces {replaced}, which its tree lacks"),
                );
            }
        }
    }
    Ok(())
}

fn licences(workspace: &Workspace, metadata: &[Metadata], findings: &mut Findings) -> Result<()> {
    for file in metadata {
        let from_class = file.inherits("fleet_program");
        let licence = file.words_of("LICENSE").join(" ");
        if file.is_recipe() && !from_class && licence != LICENSE {
            findings.add(
                &file.path,
                format!("has the licence {licence:?}, not {LICENSE:?}"),
            );
        }
        for sum in file.words_of("LIC_FILES_CHKSUM") {
            if let Some(fault) = licence_fault(workspace, sum)? {
                findings.add(&file.path, fault);
            }
        }
    }
    Ok(())
}

/// Of `file://LICENSE-MIT;md5=…`.
fn licence_fault(workspace: &Workspace, entry: &str) -> Result<Option<String>> {
    let Some((file, md5)) = entry
        .strip_prefix("file://")
        .and_then(|entry| entry.split_once(";md5="))
    else {
        return Ok(Some(format!(
            "names a licence without its checksum: {entry}"
        )));
    };
    let file = file.strip_prefix("${FLEET_SOURCE}/").unwrap_or(file);
    let path = workspace.root().join(file);
    if !path.is_file() {
        return Ok(Some(format!(
            "names the licence {file}, which is not there"
        )));
    }
    let said = process::capture(process::command("md5sum").arg(&path))?;
    let is = said.split_whitespace().next().unwrap_or_default();
    Ok((is != md5).then(|| format!("{file} has the checksum {is}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(recipes: &[(&str, &str)], files: &[&str], expected: &[&str]) {
        let metadata: Vec<Metadata> = recipes
            .iter()
            .map(|(path, text)| Metadata::parse(Path::new(path), text))
            .collect();
        let supplied = Supplied {
            files: files.iter().map(ToString::to_string).collect(),
            entries: files
                .iter()
                .map(|name| (Path::new("files").join(name), (*name).to_owned()))
                .collect(),
            workspace: BTreeSet::from(["Cargo.lock".to_owned()]),
        };
        let mut findings = Findings::default();
        fetches(&metadata, &supplied, &mut findings);
        assert_eq!(findings.lines(), expected);
    }

    #[test]
    fn a_file_that_is_fetched_is_there_and_one_that_is_there_is_fetched() {
        check(&[("a.bb", "SRC_URI = \"file://b\"")], &["b"], &[]);
        check(
            &[("a.bb", "SRC_URI = \"file://b file://Cargo.lock;subdir=x\"")],
            &[],
            &["a.bb: fetches b, which is not there"],
        );
        check(&[("a.bb", "")], &["b"], &["files/b: is used by no recipe"]);
    }

    #[test]
    fn a_variable_in_a_name_stands_for_anything() {
        check(
            &[("a.bb", "SRC_URI = \"file://env-${MEDIA}.cfg\"")],
            &["env-mmc.cfg", "env-virtio.cfg"],
            &[],
        );
    }

    #[test]
    fn a_misspelt_variable_is_named() {
        let conf = Metadata::parse(Path::new("c.conf"), "FLEET_A ?= \"1\"\nFLEET_B:rpi = \"2\"");
        let recipe = Metadata::parse(
            Path::new("r.bb"),
            "X = \"${FLEET_A} ${FLEET_B} ${FLEET_C}\"",
        );
        let mut findings = Findings::default();
        names(&[conf, recipe], &mut findings);
        assert_eq!(findings.lines(), ["r.bb: reads FLEET_C, which nobody sets"]);
    }

    #[test]
    fn a_path_is_split_at_its_last_files_folder() {
        let (folder, below) = split_at_files(Path::new("l/r/files/rootfs/etc/x")).unwrap();
        assert_eq!(folder, Path::new("l/r/files"));
        assert_eq!(below, Path::new("rootfs/etc/x"));
    }
}
