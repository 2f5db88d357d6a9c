//! The layer as text: its recipes, classes and configuration, with continued lines joined.
//!
//! This is no parser of bitbake's language. It reads what our own recipes are written in: `NAME = "value"` and its
//! variants, `inherit`, and nothing computed. What bitbake makes of it is for `cargo xtask yocto parse` to find out.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// One `.bb`, `.bbappend`, `.bbclass`, `.inc` or `.conf` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) path: PathBuf,
    lines: Vec<String>,
}

impl Metadata {
    pub(super) fn parse(path: &Path, text: &str) -> Self {
        let mut lines = Vec::new();
        let mut begun = String::new();
        for line in text.lines() {
            if let Some(part) = line.strip_suffix('\\') {
                begun.push_str(part);
                begun.push(' ');
            } else {
                begun.push_str(line);
                lines.push(std::mem::take(&mut begun));
            }
        }
        Self {
            path: path.to_owned(),
            lines,
        }
    }

    pub(super) fn is_recipe(&self) -> bool {
        self.path.extension().is_some_and(|kind| kind == "bb")
    }

    /// `fleet-agent` of `fleet-agent.bb`, `u-boot` of `u-boot_%.bbappend`.
    pub(super) fn name(&self) -> String {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        stem.split('_').next().unwrap_or_default().to_owned()
    }

    /// All words that are given to the variable, by whichever operator and override.
    pub(super) fn words_of(&self, variable: &str) -> Vec<&str> {
        self.lines
            .iter()
            .filter_map(|line| value_of(line, variable))
            .flat_map(str::split_whitespace)
            .collect()
    }

    pub(super) fn inherits(&self, class: &str) -> bool {
        self.lines
            .iter()
            .filter_map(|line| line.strip_prefix("inherit "))
            .any(|classes| classes.split_whitespace().any(|name| name == class))
    }

    /// Names that a line gives a value to.
    pub(super) fn assigned(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter_map(|line| {
            let end = line.find(|letter: char| !is_of_name(letter))?;
            let name = &line[..end];
            value_of(line, name).map(|_| name)
        })
    }

    /// Names with this beginning that `${…}` or `getVar("…")` reads.
    pub(super) fn read_variables<'a>(&'a self, beginning: &str) -> Vec<&'a str> {
        let ends = ["${", "getVar(\"", "getVar('"];
        let places = |line: &'a str| {
            ends.into_iter().flat_map(move |end| {
                line.match_indices(end)
                    .map(move |(at, end)| &line[at + end.len()..])
            })
        };
        self.lines
            .iter()
            .flat_map(|line| places(line))
            .map(|rest| {
                rest.split(|letter| !is_of_name(letter))
                    .next()
                    .unwrap_or(rest)
            })
            .filter(|name| name.starts_with(beginning))
            .collect()
    }

    pub(super) fn mentions(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.contains(text))
    }

    /// Paths after `file://`, without parameters.
    pub(super) fn fetched_files(&self) -> Vec<&str> {
        self.words_of("SRC_URI")
            .into_iter()
            .filter_map(|uri| uri.strip_prefix("file://"))
            .filter_map(|file| file.split(';').next())
            .collect()
    }
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// What stands between the quotes, when the line assigns to `variable` (with or without an override).
fn value_of<'a>(line: &'a str, variable: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(variable)?;
    if !rest.starts_with([' ', ':', '=', '?', '+', '.']) {
        return None;
    }
    let (left, right) = rest.split_once('=')?;
    if left.contains(['"', '[', '(']) {
        return None;
    }
    let right = right.trim_start_matches('=').trim();
    Some(right.strip_prefix('"')?.trim_end_matches('"'))
}

/// Everything that bitbake reads in the layer.
pub(super) fn metadata(layer: &Path) -> Result<Vec<Metadata>> {
    const KINDS: [&str; 5] = ["bb", "bbappend", "bbclass", "conf", "inc"];
    let mut found = Vec::new();
    for path in files(layer)? {
        let kind = path.extension().unwrap_or_default();
        let under_files = path.components().any(|part| part.as_os_str() == "files");
        if !under_files && KINDS.iter().any(|wanted| kind == *wanted) {
            let text =
                fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            found.push(Metadata::parse(&path, &text));
        }
    }
    Ok(found)
}

/// Files and links below `folder`, in order.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("listing {}", folder.display()))?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, variable: &str, expected: &[&str]) {
        let metadata = Metadata::parse(Path::new("x/fleet-x_%.bbappend"), text);
        assert_eq!(metadata.words_of(variable), expected, "{text}");
    }

    #[test]
    fn values_are_read_with_overrides_operators_and_continued_lines() {
        check("A = \"b\"", "A", &["b"]);
        check("A:append:fleet = \" b c\"", "A", &["b", "c"]);
        check("A += \" \\\n    b \\\n    c \\\n\"", "A", &["b", "c"]);
        check("A ?= \"\"\nAB = \"c\"", "A", &[]);
        check("A[doc] = \"no value\"", "A", &[]);
        check("    A = \"in a function\"", "A", &[]);
    }

    #[test]
    fn a_name_has_neither_version_nor_ending() {
        let metadata = Metadata::parse(Path::new("x/u-boot_%.bbappend"), "inherit a b");
        assert_eq!(metadata.name(), "u-boot");
        assert!(metadata.inherits("b") && !metadata.inherits("c"));
    }

    #[test]
    fn fetched_files_have_no_parameters() {
        let metadata = Metadata::parse(
            Path::new("x.bb"),
            "SRC_URI = \"file://a.cfg;subdir=x crate://crates.io/b/1 file://c\"",
        );
        assert_eq!(metadata.fetched_files(), ["a.cfg", "c"]);
    }
}
