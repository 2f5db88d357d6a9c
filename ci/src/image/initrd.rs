//! The initrd: busybox, dmsetup with its libraries, the modules a root needs, and the layer's `init`.
//!
//! The root hash is not in here but in a small second archive beside it, so that this one is the same for all releases.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::ImageBuilder;
use super::kernel::read_dependencies;
use crate::process;

const APPLETS: &[&str] = &[
    "cat",
    "cut",
    "dd",
    "echo",
    "grep",
    "insmod",
    "mkdir",
    "mount",
    "readlink",
    "sed",
    "rm",
    "sh",
    "sha256sum",
    "sleep",
    "switch_root",
    "sync",
    "umount",
    "wc",
];

const FOLDERS: &[&str] = &[
    "bin", "dev", "lib", "lib64", "mnt", "modules", "proc", "run", "sys", "sysroot", "tmp",
];

impl ImageBuilder {
    /// Writes the archive that all releases of this kernel share.
    pub(super) fn build_initrd(&self, files: &Path, modules: &Path, to: &Path) -> Result<()> {
        let mut archive = Cpio::default();
        for folder in FOLDERS {
            archive.folder(folder);
        }
        archive.file("init", 0o755, &fs::read(files.join("init"))?);
        let busybox = self.tools.file("usr/bin/busybox");
        archive.file("bin/busybox", 0o755, &read(&busybox)?);
        for applet in APPLETS {
            archive.link(&format!("bin/{applet}"), "busybox");
        }
        self.add_program(&mut archive, "usr/sbin/dmsetup")?;
        let list = fs::read_to_string(files.join("modules.list"))?;
        let mut order = String::new();
        for module in load_order(&list, modules)? {
            let name = module.rsplit('/').next().unwrap_or(&module).to_owned();
            archive.file(
                &format!("modules/{name}"),
                0o644,
                &read(&modules.join(&module))?,
            );
            order.push_str(&name);
            order.push('\n');
        }
        archive.file("modules/order", 0o644, order.as_bytes());
        fs::write(to, archive.finish()).with_context(|| format!("writing {}", to.display()))
    }

    /// A dynamically linked program of the tools tree with its libraries.
    fn add_program(&self, archive: &mut Cpio, program: &str) -> Result<()> {
        let name = program.rsplit('/').next().unwrap_or(program);
        archive.file(
            &format!("bin/{name}"),
            0o755,
            &read(&self.tools.file(program))?,
        );
        for (library, file) in self.libraries(program)? {
            let folder = if library.starts_with("ld-") {
                "lib64"
            } else {
                "lib"
            };
            archive.file(&format!("{folder}/{library}"), 0o755, &read(&file)?);
        }
        Ok(())
    }

    /// What a program of the tools tree is linked with, the loader among it: names, and the files in the tree.
    pub(super) fn libraries(&self, program: &str) -> Result<Vec<(String, PathBuf)>> {
        let inside = format!("/{program}");
        let listing = process::capture(self.tools.command("ldd").arg(&inside))?;
        let libraries = listing
            .split_whitespace()
            .filter(|word| word.starts_with('/'));
        Ok(libraries
            .map(|library| {
                let merged = self.tools.file(&format!("usr{library}"));
                let file = if merged.exists() {
                    merged
                } else {
                    self.tools.file(library)
                };
                let name = library.rsplit('/').next().unwrap_or(library);
                (name.to_owned(), file)
            })
            .collect())
    }
}

/// The second archive: what this release's root is verified against.
pub(super) fn verity_archive(config: &str) -> Vec<u8> {
    let mut archive = Cpio::default();
    archive.file("verity.conf", 0o644, config.as_bytes());
    archive.finish()
}

/// The listed modules, each after what it needs. Those that are built in or absent are skipped.
pub(super) fn load_order(list: &str, modules: &Path) -> Result<Vec<String>> {
    let dependencies = read_dependencies(&modules.join("modules.dep"))?;
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    for wanted in list.lines().map(str::trim) {
        if wanted.is_empty() || wanted.starts_with('#') {
            continue;
        }
        let found = dependencies
            .keys()
            .find(|module| module_name(module) == wanted);
        if let Some(module) = found {
            // modules.dep lists what is needed first last.
            let needs = dependencies.get(module).into_iter().flatten().rev();
            for module in needs.chain([module]) {
                if seen.insert(module.clone()) {
                    order.push(module.clone());
                }
            }
        }
    }
    Ok(order)
}

/// `kernel/drivers/md/dm-verity.ko` is `dm_verity`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// A cpio archive in the `newc` format, the one the kernel unpacks. Times are zero, owners root.
#[derive(Debug, Default)]
struct Cpio {
    bytes: Vec<u8>,
    inode: u32,
}

impl Cpio {
    fn folder(&mut self, path: &str) {
        self.entry(path, 0o040_755, &[]);
    }

    fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entry(path, 0o100_000 | mode, content);
    }

    fn link(&mut self, path: &str, target: &str) {
        self.entry(path, 0o120_777, target.as_bytes());
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.inode += 1;
        let (inode, size, name) = (self.inode, content.len(), path.len() + 1);
        // Magic, inode, mode, uid, gid, links, mtime, size, device and rdev (major and minor), name size, check.
        let header = format!(
            "070701{inode:08x}{mode:08x}{0:08x}{0:08x}{1:08x}{0:08x}{size:08x}{0:08x}{0:08x}{0:08x}{0:08x}{name:08x}{0:08x}",
            0, 1
        );
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_comes_after_what_it_needs() {
        let dir = tempfile::tempdir().unwrap();
        let dep = "kernel/md/dm-verity.ko: kernel/md/dm-bufio.ko kernel/md/dm-mod.ko\nkernel/md/dm-bufio.ko: kernel/md/dm-mod.ko\nkernel/md/dm-mod.ko:\n";
        fs::write(dir.path().join("modules.dep"), dep).unwrap();
        let order = load_order("# root\ndm_verity\nno_such\n", dir.path()).unwrap();
        let names: Vec<String> = order.iter().map(|path| module_name(path)).collect();
        assert_eq!(names, ["dm_mod", "dm_bufio", "dm_verity"]);
    }

    #[test]
    fn entries_are_aligned_to_four_bytes() {
        let archive = verity_archive("ROOT_HASH=00\n");
        assert!(archive.starts_with(b"070701"));
        assert!(archive.len().is_multiple_of(4));
    }
}
