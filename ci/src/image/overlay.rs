//! A set of files to lay over the packages: read from the layer's `files/rootfs` folders, or made by the builder.
//!
//! Invariant: everything is owned by root; a mode is 0755 or 0644 (by the executable bit) unless said otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{COMPATIBLE, FILE_TIME};

/// One file or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    File {
        content: Vec<u8>,
        mode: u32,
        mtime: u64,
    },
    Link {
        target: PathBuf,
    },
    Directory,
}

/// Files by their path, without a leading slash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Overlay {
    nodes: BTreeMap<PathBuf, Node>,
}

impl Overlay {
    /// Everything that the layer's recipes install.
    pub(super) fn of_layer(layer: &Path) -> Result<Self> {
        let mut overlay = Self::default();
        for group in sorted(layer)? {
            if !group.is_dir() || !is_named(&group, "recipes-") {
                continue;
            }
            for recipe in sorted(&group)? {
                let root = recipe.join("files/rootfs");
                if root.is_dir() {
                    overlay.add_tree(&root, Path::new(""))?;
                }
            }
        }
        Ok(overlay)
    }

    /// Adds a folder of the host at `prefix`. Symbolic links stay links; `.keep` stands for an empty folder.
    pub(super) fn add_tree(&mut self, from: &Path, prefix: &Path) -> Result<()> {
        for path in sorted(from)? {
            let name = path.file_name().unwrap_or_default();
            let to = prefix.join(name);
            let meta = path
                .symlink_metadata()
                .with_context(|| format!("reading {}", path.display()))?;
            if meta.is_symlink() {
                let target =
                    fs::read_link(&path).with_context(|| format!("reading {}", path.display()))?;
                self.nodes.insert(to, Node::Link { target });
            } else if meta.is_dir() {
                self.add_tree(&path, &to)?;
            } else if name == ".keep" {
                self.nodes.insert(prefix.to_owned(), Node::Directory);
            } else {
                let content =
                    fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
                let executable = meta.permissions().mode() & 0o111 != 0;
                self.add_file(to, content, if executable { 0o755 } else { 0o644 });
            }
        }
        Ok(())
    }

    /// Adds or replaces one file.
    pub(super) fn add_file(&mut self, path: impl Into<PathBuf>, content: Vec<u8>, mode: u32) {
        self.nodes.insert(
            path.into(),
            Node::File {
                content,
                mode,
                mtime: FILE_TIME,
            },
        );
    }

    /// Adds an empty file whose time means something.
    pub(super) fn add_stamp(&mut self, path: impl Into<PathBuf>, mtime: u64) {
        self.nodes.insert(
            path.into(),
            Node::File {
                content: Vec::new(),
                mode: 0o644,
                mtime,
            },
        );
    }

    pub(super) fn add_link(&mut self, path: impl Into<PathBuf>, target: impl Into<PathBuf>) {
        self.nodes.insert(
            path.into(),
            Node::Link {
                target: target.into(),
            },
        );
    }

    pub(super) fn contains(&self, path: &Path) -> bool {
        self.nodes.contains_key(path)
    }

    /// Rewrites one text file of the overlay.
    pub(super) fn edit(
        &mut self,
        path: &str,
        change: impl FnOnce(&str) -> Result<String>,
    ) -> Result<()> {
        let Some(Node::File { content, .. }) = self.nodes.get_mut(Path::new(path)) else {
            bail!("the layer installs no {path}");
        };
        let text = std::str::from_utf8(content).with_context(|| format!("{path} is not text"))?;
        *content = change(text)?.into_bytes();
        Ok(())
    }

    /// Puts the hardware's name in.
    pub(super) fn fill_in(&mut self) -> Result<()> {
        self.edit("usr/lib/rauc/system.conf", |text| {
            Ok(text.replace("@COMPATIBLE@", COMPATIBLE))
        })
    }

    /// A digest of paths, modes and contents.
    pub(super) fn key(&self) -> String {
        let parts = self.nodes.iter().flat_map(|(path, node)| {
            let (kind, content) = match node {
                Node::File {
                    content,
                    mode,
                    mtime,
                } => (format!("file {mode:o} {mtime}"), content.clone()),
                Node::Link { target } => (
                    "link".into(),
                    target.as_os_str().as_encoded_bytes().to_vec(),
                ),
                Node::Directory => ("directory".to_owned(), Vec::new()),
            };
            [
                path.as_os_str().as_encoded_bytes().to_vec(),
                kind.into_bytes(),
                content,
            ]
        });
        super::key_of(parts)
    }

    /// Appends everything to a tarball; folders that `has_folder` does not know are made.
    pub(super) fn append_to(
        &self,
        tar: &mut tar::Builder<impl Write>,
        mut has_folder: impl FnMut(&Path) -> bool,
    ) -> Result<()> {
        let mut made = std::collections::BTreeSet::new();
        for (path, node) in &self.nodes {
            let mut parents: Vec<&Path> = path.ancestors().skip(1).collect();
            parents.pop();
            if *node == Node::Directory {
                parents.insert(0, path);
            }
            for parent in parents.into_iter().rev() {
                if !has_folder(parent) && made.insert(parent.to_owned()) {
                    let mut header = header(tar::EntryType::Directory, 0o755, FILE_TIME, 0);
                    tar.append_data(&mut header, parent, std::io::empty())?;
                }
            }
            match node {
                Node::File {
                    content,
                    mode,
                    mtime,
                } => {
                    let size = content.len() as u64;
                    let mut header = header(tar::EntryType::Regular, *mode, *mtime, size);
                    tar.append_data(&mut header, path, content.as_slice())
                }
                Node::Link { target } => {
                    let mut header = header(tar::EntryType::Symlink, 0o777, FILE_TIME, 0);
                    tar.append_link(&mut header, path, target)
                }
                Node::Directory => Ok(()),
            }
            .with_context(|| format!("adding {}", path.display()))?;
        }
        Ok(())
    }
}

/// A header of root's.
pub(super) fn header(kind: tar::EntryType, mode: u32, mtime: u64, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(mtime);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// The paths of everything that the layer's recipes install.
pub(crate) fn overlay_paths(layer: &Path) -> Result<BTreeSet<PathBuf>> {
    Ok(Overlay::of_layer(layer)?.nodes.into_keys().collect())
}

fn sorted(dir: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        let mut paths: Vec<PathBuf> = fs::read_dir(dir)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        paths.sort();
        Ok(paths)
    };
    read().with_context(|| format!("listing {}", dir.display()))
}

fn is_named(path: &Path, prefix: &str) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer() -> Overlay {
        Overlay::of_layer(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../meta-fleet")).unwrap()
    }

    #[test]
    fn the_layer_installs_the_agents_unit_and_its_link() {
        let overlay = layer();
        assert!(overlay.contains(Path::new("usr/lib/systemd/system/fleet-agent.service")));
        let link = &overlay.nodes
            [Path::new("usr/lib/systemd/system/multi-user.target.wants/fleet-agent.service")];
        assert!(matches!(link, Node::Link { .. }));
    }

    #[test]
    fn another_content_is_another_key() {
        let mut one = layer();
        let before = one.key();
        one.add_file("usr/lib/fleet/release.json", b"{}".to_vec(), 0o644);
        assert_ne!(before, one.key());
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let mut overlay = Overlay::default();
        overlay.add_file("a/b/c", b"x".to_vec(), 0o644);
        let mut tar = tar::Builder::new(Vec::new());
        overlay
            .append_to(&mut tar, |path| path == Path::new("a"))
            .unwrap();
        let bytes = tar.into_inner().unwrap();
        let names: Vec<_> = tar::Archive::new(bytes.as_slice())
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().into_owned())
            .collect();
        assert_eq!(names, [Path::new("a/b"), Path::new("a/b/c")]);
    }
}
