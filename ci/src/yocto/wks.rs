//! Disk layouts: options that the image creator knows, variables that somebody sets, the partitions in their order.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Findings;
use super::layer::{self, Metadata};
use crate::workspace::Workspace;

/// What may be said of a partition, of those that the image creator (wic) knows.
const OPTIONS: &[&str] = &[
    "--align",
    "--fixed-size",
    "--fstype",
    "--label",
    "--mkfs-extraopts",
    "--part-name",
    "--part-type",
    "--source",
    "--sourceparams",
];
const SOURCES: &[&str] = &["bootimg_partition", "empty", "rawcopy"];

/// Partitions by their names: the initrd, GRUB, RAUC and the agent look for these.
const PARTITIONS: &[&str] = &["esp", "boot-a", "boot-b", "rootfs-a", "rootfs-b", "data"];
/// U-Boot's environment, where it has a place of its own.
const ENVIRONMENT: &str = "env";

/// Set by bitbake for every image.
const FOREIGN: &[&str] = &["DEPLOY_DIR_IMAGE", "IMAGE_LINK_NAME", "IMGDEPLOYDIR"];

pub(super) fn check(workspace: &Workspace) -> Result<Findings> {
    let metadata = layer::metadata(&workspace.layer())?;
    let mut findings = Findings::default();
    let folder = workspace.layer().join("files/wic");
    for path in layer::files(&folder)? {
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        check_layout(&path, &text, &metadata, &mut findings);
    }
    Ok(findings)
}

fn check_layout(path: &Path, text: &str, metadata: &[Metadata], findings: &mut Findings) {
    let mut names = Vec::new();
    for line in text.lines().map(str::trim) {
        let words = words(line);
        match words.first().map(String::as_str) {
            None | Some("bootloader") => {}
            Some(word) if word.starts_with('#') => {}
            Some("part") => {
                check_partition(path, &words[1..], findings);
                names.extend(value(&words, "--part-name").map(str::to_owned));
            }
            Some(other) => findings.add(path, format!("{other} is neither part nor bootloader")),
        }
    }
    if !text.lines().any(|line| line == "bootloader --ptable gpt") {
        findings.add(path, "has no GPT: partitions are found by their names");
    }
    let without: Vec<&String> = names.iter().filter(|name| *name != ENVIRONMENT).collect();
    if without != PARTITIONS {
        findings.add(
            path,
            format!("has the partitions {names:?}, not {PARTITIONS:?}"),
        );
    }
    for variable in variables(text) {
        let set = metadata.iter().any(|file| {
            file.mentions(&format!("{variable} ")) || file.mentions(&format!("{variable}:"))
        });
        if !set && !FOREIGN.contains(&variable) {
            findings.add(path, format!("nobody sets {variable}"));
        }
    }
}

fn check_partition(path: &Path, words: &[String], findings: &mut Findings) {
    for word in words.iter().filter(|word| word.starts_with("--")) {
        let option = word.split('=').next().unwrap_or(word);
        if !OPTIONS.contains(&option) {
            findings.add(path, format!("{option} is not known"));
        }
    }
    if let Some(source) = value(words, "--source").filter(|source| !SOURCES.contains(source)) {
        findings.add(path, format!("--source {source} is not known"));
    }
    for wanted in ["--part-name", "--part-type", "--fixed-size", "--align"] {
        if value(words, wanted).is_none() {
            findings.add(
                path,
                format!("a partition without {wanted}: {}", words.join(" ")),
            );
        }
    }
}

/// Words of a line; quotes hold them together.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => words.push(String::new()),
            _ => words.last_mut().expect("there is always one").push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Of `--option value` or `--option=value`.
fn value<'a>(words: &'a [String], option: &str) -> Option<&'a str> {
    words.iter().enumerate().find_map(|(at, word)| {
        let rest = word.strip_prefix(option)?;
        match rest.strip_prefix('=') {
            Some(value) => Some(value),
            None if rest.is_empty() => words.get(at + 1).map(String::as_str),
            None => None,
        }
    })
}

fn variables(text: &str) -> BTreeSet<&str> {
    text.split("${")
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str = "--part-type t --fixed-size ${SIZE}M --align 4";

    fn layout(first: &str) -> String {
        let part = |name: &&str| format!("part --source empty --part-name {name} {REST}");
        let others: Vec<String> = PARTITIONS[1..].iter().map(part).collect();
        format!(
            "# a disk\n{first}\n{}\nbootloader --ptable gpt\n",
            others.join("\n")
        )
    }

    fn check(first: &str, expected: &[&str]) {
        let metadata = [Metadata::parse(Path::new("c.conf"), "SIZE ?= \"64\"")];
        let mut findings = Findings::default();
        check_layout(
            Path::new("x.wks.in"),
            &layout(first),
            &metadata,
            &mut findings,
        );
        assert_eq!(findings.lines(), expected, "{first}");
    }

    #[test]
    fn a_layout_with_all_partitions_is_good() {
        check(
            &format!("part --part-name esp --mkfs-extraopts=\"-m 1 -O x\" {REST}"),
            &[],
        );
        check(
            &format!("part --part-name esp {REST}\npart --part-name env {REST}"),
            &[],
        );
    }

    #[test]
    fn what_the_image_creator_does_not_know_is_named() {
        check(
            &format!("part --part-name esp --grow {REST}"),
            &["x.wks.in: --grow is not known"],
        );
        check(
            &format!("part --part-name esp --source bootimg-partition {REST}"),
            &["x.wks.in: --source bootimg-partition is not known"],
        );
    }

    #[test]
    fn a_variable_that_nobody_sets_is_named() {
        check(
            &format!("part --part-name esp --label ${{NAME}} {REST}"),
            &["x.wks.in: nobody sets NAME"],
        );
    }
}
