//! The distribution's part of the root: bootstrapped once per package list, then trimmed while it is copied.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use super::overlay::{Overlay, header};
use super::{FILE_TIME, ImageBuilder, media};
use crate::debian::{Bootstrap, Kind};

const PACKAGES: &[&str] = &[
    "ca-certificates",
    "dbus",
    "dosfstools",
    "e2fsprogs",
    "grub-common",
    "iproute2",
    "kmod",
    "linux-image-amd64",
    "openssh-server",
    "rauc",
    "rauc-service",
    "systemd",
    "systemd-repart",
    "systemd-resolved",
    "systemd-sysv",
    "udev",
];

/// dpkg leaves these out of the tarball.
const EXCLUDES: &[&str] = &[
    "/usr/share/bash-completion/*",
    "/usr/share/bug/*",
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/lintian/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
    "/usr/share/zsh/*",
];

/// What a device has no use for: package management, the kernel's own copies, what the layer replaces, secrets.
/// A trailing `*` matches the rest of the path.
const UNWANTED: &[&str] = &[
    "boot/*",
    "dev/*",
    "etc/apt/*",
    "etc/cron*",
    "etc/default/*",
    "etc/dpkg/*",
    "etc/fstab",
    "etc/grub.d/*",
    "etc/hostname",
    "etc/hosts",
    "etc/init.d/*",
    "etc/initramfs-tools/*",
    "etc/kernel/*",
    "etc/logrotate.d/*",
    "etc/machine-id",
    "etc/motd",
    "etc/rc*.d/*",
    "etc/resolv.conf",
    "etc/ssh/ssh_host_*",
    "etc/systemd/system/*",
    "initrd.img*",
    "root/.*",
    "run/*",
    "tmp/*",
    "usr/bin/apt*",
    "usr/bin/deb*",
    "usr/bin/dpkg*",
    "usr/bin/grub-[!e]*",
    "usr/bin/perl*",
    "usr/bin/sqv",
    "usr/include/*",
    "usr/lib/apt/*",
    "usr/lib/dpkg/*",
    "usr/lib/grub*",
    "usr/lib/kernel/*",
    "usr/lib/modules/*",
    "usr/lib/systemd/system/getty.target.wants/*",
    "usr/lib/systemd/system/multi-user.target.wants/getty.target",
    "usr/lib/systemd/system/multi-user.target.wants/systemd-logind.service",
    "usr/lib/udev/hwdb*",
    "usr/lib/x86_64-linux-gnu/gconv/*",
    "usr/lib/x86_64-linux-gnu/libapt*",
    "usr/lib/x86_64-linux-gnu/perl*",
    "usr/sbin/grub-[!e]*",
    "usr/sbin/update-initramfs",
    "usr/share/dracut*",
    "usr/share/grub*",
    "usr/share/i18n/*",
    "usr/share/initramfs-tools/*",
    "usr/share/perl*",
    "var/*",
    "vmlinuz*",
];

/// Whether a path of a tarball is to be in the root.
type Choice = fn(&Path) -> bool;

/// Bootstrapped tarballs.
#[derive(Debug, Clone)]
pub(super) struct Base {
    system: PathBuf,
    media: PathBuf,
    pub(super) key: String,
}

impl ImageBuilder {
    /// The tarballs of the present package lists, bootstrapped if they aren't there.
    pub(super) fn base(&self) -> Result<Base> {
        let system = Bootstrap {
            kind: Kind::System,
            packages: PACKAGES.iter().map(ToString::to_string).collect(),
            excludes: EXCLUDES.iter().map(ToString::to_string).collect(),
            source_date_epoch: FILE_TIME,
        };
        let media = media::bootstrap();
        Ok(Base {
            system: self.tarball("base", &system, "Fetching the image's packages")?,
            media: self.tarball("media", &media, "Fetching the player's libraries")?,
            key: super::key_of([system.key(), media.key(), media::selection()]),
        })
    }

    fn tarball(&self, name: &str, bootstrap: &Bootstrap, step: &'static str) -> Result<PathBuf> {
        let tar = self.cache.join(format!("{name}-{}.tar", bootstrap.key()));
        if !tar.is_file() {
            let step = self.progress.step(step);
            let log = self.workspace.log_file(&format!("image-{name}"));
            bootstrap.build(&tar, &log)?;
            step.done("");
        }
        Ok(tar)
    }
}

impl Base {
    /// Copies what is wanted of the tarballs, then `overlay` on top, as one tarball at `to`.
    pub(super) fn write_root(&self, overlay: &Overlay, to: &Path) -> Result<()> {
        let out = File::create(to).with_context(|| format!("creating {}", to.display()))?;
        let mut out = tar::Builder::new(BufWriter::with_capacity(1 << 20, out));
        let mut there = BTreeSet::new();
        let choices: [(&Path, Choice); 2] = [
            (&self.system, |path| !is_unwanted(path)),
            (&self.media, media::is_wanted),
        ];
        for (tarball, is_wanted) in choices {
            for entry in open(tarball)?.entries().context("reading a tarball")? {
                let mut entry = entry.context("reading a tarball")?;
                let path = clean(&entry.path()?);
                if !is_wanted(&path) || overlay.contains(&path) || !there.insert(path.clone()) {
                    continue;
                }
                copy_entry(&mut entry, &path, &mut out)
                    .with_context(|| format!("copying {}", path.display()))?;
            }
        }
        overlay.append_to(&mut out, |folder| there.contains(folder))?;
        out.into_inner().context("finishing the root tarball")?;
        Ok(())
    }

    /// The installed system, with its kernel.
    pub(super) fn open_system(&self) -> Result<tar::Archive<BufReader<File>>> {
        open(&self.system)
    }

    /// The player's libraries, of which [`media`] says what is wanted.
    pub(super) fn open_media(&self) -> Result<tar::Archive<BufReader<File>>> {
        open(&self.media)
    }
}

fn open(tarball: &Path) -> Result<tar::Archive<BufReader<File>>> {
    let file = File::open(tarball).with_context(|| format!("opening {}", tarball.display()))?;
    Ok(tar::Archive::new(BufReader::with_capacity(1 << 20, file)))
}

fn copy_entry(
    entry: &mut tar::Entry<'_, impl std::io::Read>,
    path: &Path,
    out: &mut tar::Builder<impl std::io::Write>,
) -> Result<()> {
    let from = entry.header();
    let mut to = header(from.entry_type(), from.mode()?, FILE_TIME, entry.size());
    to.set_uid(from.uid()?);
    to.set_gid(from.gid()?);
    match from.entry_type() {
        tar::EntryType::Directory => {
            if path.as_os_str().is_empty() {
                // Without an entry of its own the root would be open to all: sshd refuses that, rightly.
                to.set_mode(0o755);
                out.append_data(&mut to, "./", std::io::empty())?;
                return Ok(());
            }
            out.append_data(&mut to, path, std::io::empty())?;
        }
        tar::EntryType::Symlink => {
            let target = entry.link_name()?.context("a link without a target")?;
            out.append_link(&mut to, path, target)?;
        }
        tar::EntryType::Link => {
            let target = entry.link_name()?.context("a link without a target")?;
            out.append_link(&mut to, path, clean(&target))?;
        }
        tar::EntryType::Regular => out.append_data(&mut to, path, entry)?,
        _ => {}
    }
    Ok(())
}

/// `./usr/bin/` becomes `usr/bin`.
pub(super) fn clean(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect()
}

fn is_unwanted(path: &Path) -> bool {
    let path = path.to_string_lossy();
    UNWANTED
        .iter()
        .any(|pattern| matches_glob(pattern.as_bytes(), path.as_bytes()))
}

/// Shell-like matching with `*` (also across slashes) and `[!x]`.
pub(super) fn matches_glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => (0..=text.len()).any(|skip| matches_glob(rest, &text[skip..])),
        [b'[', b'!', not, b']', rest @ ..] => {
            text.first().is_some_and(|first| first != not) && matches_glob(rest, &text[1..])
        }
        [want, rest @ ..] => text.first() == Some(want) && matches_glob(rest, &text[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, unwanted: bool) {
        assert_eq!(is_unwanted(Path::new(path)), unwanted, "{path}");
    }

    #[test]
    fn of_grubs_programs_only_the_environments_editor_stays() {
        check("usr/bin/grub-editenv", false);
        check("usr/bin/grub-mkrescue", true);
        check("usr/sbin/grub-probe", true);
    }

    #[test]
    fn a_folder_stays_when_only_its_contents_are_unwanted() {
        check("var", false);
        check("var/lib/dpkg", true);
        check("boot", false);
    }

    #[test]
    fn host_keys_made_while_installing_are_left_out() {
        check("etc/ssh/ssh_host_ed25519_key", true);
        check("etc/ssh/moduli", false);
    }
}
