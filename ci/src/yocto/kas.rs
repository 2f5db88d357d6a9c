//! kas files: by kas's own schema, with every include there and every foreign layer pinned to a commit.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::Findings;
use super::PACKAGES;
use crate::process;
use crate::python::Python;
use crate::workspace::Workspace;

/// Reads YAML files, checks them against the schema that kas ships, prints them as JSON with what is wrong.
const READ: &str = "
import importlib.resources, json, sys
import jsonschema, yaml
schema = json.loads((importlib.resources.files('kas') / 'schema-kas.json').read_text())
validator = jsonschema.Draft4Validator(schema)
def read(path):
    with open(path) as file:
        content = yaml.safe_load(file)
    faults = ['%s: %s' % ('/'.join(map(str, error.path)), error.message) for error in validator.iter_errors(content)]
    return {'path': path, 'content': content, 'faults': faults}
json.dump([read(path) for path in sys.argv[1:]], sys.stdout)
";

/// One file as kas sees it.
#[derive(Debug, serde::Deserialize)]
pub(super) struct KasFile {
    pub(super) path: PathBuf,
    pub(super) content: Value,
    faults: Vec<String>,
}

pub(super) fn check(workspace: &Workspace) -> Result<Findings> {
    let mut findings = Findings::default();
    for file in read(workspace)? {
        for fault in &file.faults {
            findings.add(&file.path, fault);
        }
        check_file(
            &file,
            |name| workspace.root().join(name).is_file(),
            &mut findings,
        );
    }
    Ok(findings)
}

/// `kas.yml` and the fragments beside it.
pub(super) fn read(workspace: &Workspace) -> Result<Vec<KasFile>> {
    let mut paths = vec![workspace.root().join("kas.yml")];
    let fragments = super::layer::files(&workspace.root().join("yocto"))?;
    paths.extend(
        fragments
            .into_iter()
            .filter(|path| path.extension().is_some_and(|kind| kind == "yml")),
    );
    let said = process::capture(
        Python::ensure(workspace, PACKAGES)?
            .command()
            .args(["-c", READ])
            .args(&paths),
    )?;
    serde_json::from_str(&said).context("reading the kas files")
}

fn check_file(file: &KasFile, is_there: impl Fn(&str) -> bool, findings: &mut Findings) {
    for include in includes(file) {
        if !is_there(include) {
            findings.add(
                &file.path,
                format!("includes {include}, which is not there"),
            );
        }
    }
    for (name, repo) in repos(&file.content) {
        let foreign = repo.get("url").is_some();
        if foreign && !commit_of(repo).is_some_and(is_commit) {
            findings.add(&file.path, format!("{name} is not pinned to a commit"));
        }
    }
}

/// The base, what a fragment includes, and the fragment: what kas makes one configuration of.
pub(super) fn with_includes<'a>(files: &'a [KasFile], fragment: &'a KasFile) -> Vec<&'a KasFile> {
    let included = |file: &&KasFile| includes(fragment).any(|name| file.path.ends_with(name));
    let mut all: Vec<&KasFile> = files.iter().take(1).collect();
    all.extend(files.iter().filter(included));
    all.push(fragment);
    all
}

fn includes(file: &KasFile) -> impl Iterator<Item = &str> {
    let list = file.content.pointer("/header/includes");
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str)
}

/// The repositories that a file names.
pub(super) fn repos(content: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let repos = content.get("repos").and_then(Value::as_object);
    repos.into_iter().flatten()
}

pub(super) fn commit_of(repo: &Value) -> Option<&str> {
    repo.get("commit").and_then(Value::as_str)
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Does the path name the file of a machine or a variant, and not a part that others include?
pub(super) fn machine_of(file: &KasFile) -> Option<&str> {
    let in_fragments = file
        .path
        .parent()
        .is_some_and(|folder| folder.ends_with(Path::new("yocto")));
    file.content
        .get("machine")
        .and_then(Value::as_str)
        .filter(|_| in_fragments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content: Value, expected: &[&str]) {
        let file = KasFile {
            path: PathBuf::from("kas.yml"),
            content,
            faults: Vec::new(),
        };
        let mut findings = Findings::default();
        check_file(&file, |name| name == "yocto/there.yml", &mut findings);
        assert_eq!(findings.lines(), expected);
    }

    #[test]
    fn an_include_must_be_there() {
        let header =
            serde_json::json!({"header": {"includes": ["yocto/there.yml", "yocto/gone.yml"]}});
        check(
            header,
            &["kas.yml: includes yocto/gone.yml, which is not there"],
        );
    }

    #[test]
    fn a_foreign_layer_is_pinned_and_ours_is_not() {
        let repos = |repo: Value| serde_json::json!({"repos": {"a": repo}});
        check(
            repos(serde_json::json!({"layers": {"meta-fleet": null}})),
            &[],
        );
        check(
            repos(serde_json::json!({"url": "u", "commit": "0".repeat(40)})),
            &[],
        );
        check(
            repos(serde_json::json!({"url": "u", "branch": "b"})),
            &["kas.yml: a is not pinned to a commit"],
        );
    }
}
