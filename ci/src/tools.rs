//! The tools tree: a Debian tree holding QEMU, RAUC, genimage, PostgreSQL, promtool and the file system tools in known
//! versions.
//!
//! The host then needs little more than mmdebstrap and bubblewrap, and a laptop, Ubuntu and CI use the same tools.
//! A command runs with the tree as its root; the repository, the target folder, `/tmp` and `/dev` keep their paths,
//! the network is shared, and so are process ids. Nothing writes to the tree itself. A machine with a window runs from a
//! second tree, with the desktop's socket in it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::debian::{Bootstrap, Kind};
use crate::desktop::Desktop;
use crate::process;
use crate::progress::Progress;
use crate::workspace::Workspace;

const PACKAGES: &[&str] = &[
    "bmap-tools",
    "busybox-static",
    "ca-certificates",
    "cpio",
    "cryptsetup-bin",
    "dmsetup",
    "dosfstools",
    "e2fsprogs",
    "erofs-utils",
    "fdisk",
    "genimage",
    "grub-common",
    "grub-efi-amd64-bin",
    "gstreamer1.0-tools",
    "kmod",
    "mtools",
    "netcat-openbsd",
    "openssl",
    "ovmf",
    "postgresql-17",
    "prometheus",
    "qemu-system-data",
    "qemu-system-x86",
    "qemu-utils",
    "rauc",
    "shellcheck",
    "squashfs-tools",
    "systemd",
    "v4l-utils",
    "xz-utils",
    "zstd",
];

/// What a machine with a window needs. Half of the desktop comes along with QEMU's GTK: more than a hundred packages that
/// tests and CI have no use for, so this is a tree of its own, made when a window is asked for.
const WINDOW_PACKAGES: &[&str] = &[
    "netcat-openbsd",
    "ovmf",
    "qemu-system-data",
    "qemu-system-gui",
    "qemu-system-x86",
    "qemu-utils",
];

/// A ready tree.
#[derive(Debug, Clone)]
pub struct ToolTree {
    tree: PathBuf,
    workspace: Workspace,
    /// That its programs may open windows on.
    desktop: Option<Desktop>,
}

impl ToolTree {
    /// Takes the tree when it is there, makes it otherwise (about a minute).
    ///
    /// # Errors
    /// When bubblewrap is missing or the tree can't be made.
    pub fn ensure(workspace: &Workspace, progress: Progress) -> Result<Self> {
        let what = "Installing the tools tree (QEMU, RAUC, genimage, …)";
        Ok(Self {
            tree: made(workspace, &bootstrap(PACKAGES), "tools", what, progress)?,
            workspace: workspace.clone(),
            desktop: None,
        })
    }

    /// The same for QEMU with its companions alone, which shows a machine's screen in a window on `desktop`.
    ///
    /// # Errors
    /// See [`Self::ensure`].
    pub fn with_window(
        workspace: &Workspace,
        desktop: Desktop,
        progress: Progress,
    ) -> Result<Self> {
        let what = "Installing QEMU with a window";
        let bootstrap = bootstrap(WINDOW_PACKAGES);
        Ok(Self {
            tree: made(workspace, &bootstrap, "window-tools", what, progress)?,
            workspace: workspace.clone(),
            desktop: Some(desktop),
        })
    }

    /// Is the tree of the present package list there?
    pub fn is_present(workspace: &Workspace) -> bool {
        let name = format!("tools-{}", bootstrap(PACKAGES).key());
        workspace.fleet_dir().join(name).is_dir()
    }

    /// A command with the tree as its root.
    ///
    /// It is killed when the *thread* that spawned it ends (that is how Linux's parent-death signal counts), so
    /// spawn long-lived ones, such as QEMU, from a thread that outlives them. Killing the returned process (bwrap)
    /// kills the program with it, at once.
    pub fn command(&self, program: &str) -> Command {
        self.command_over(&[], program)
    }

    /// The same, with these folders of the tree empty and writable.
    pub fn command_over(&self, empty: &[&str], program: &str) -> Command {
        let empty: Vec<&str> = empty.iter().flat_map(|dir| ["--tmpfs", dir]).collect();
        self.command_with(&empty, program)
    }

    /// A command that is nobody, for programs that refuse root. What it makes belongs to whoever runs this. It can't
    /// leave shared memory behind.
    pub fn command_of_nobody(&self, program: &str) -> Command {
        let nobody = [
            "--unshare-user",
            "--uid",
            "65534",
            "--gid",
            "65534",
            "--unshare-ipc",
        ];
        self.command_with(&nobody, program)
    }

    fn command_with(&self, options: &[&str], program: &str) -> Command {
        let mut command = process::command("bwrap");
        command.args(["--die-with-parent", "--dev-bind", "/dev", "/dev"]);
        command.args(["--proc", "/proc", "--bind", "/tmp", "/tmp"]);
        command.args(["--ro-bind-try", "/sys", "/sys", "--tmpfs", "/run"]);
        for dir in ["usr", "etc", "var"] {
            let inside = Path::new("/").join(dir);
            command
                .arg("--ro-bind")
                .arg(self.tree.join(dir))
                .arg(inside);
        }
        for link in ["bin", "sbin", "lib", "lib64"] {
            command.args(["--symlink", &format!("usr/{link}"), &format!("/{link}")]);
        }
        for dir in [self.workspace.root(), self.workspace.target()] {
            command.arg("--bind-try").arg(dir).arg(dir);
        }
        if let Some(desktop) = &self.desktop {
            desktop.bind(&mut command);
        }
        command
            .args(options)
            .args(["--setenv", "PATH", "/usr/sbin:/usr/bin", "--"])
            .arg(program);
        command
    }

    /// A file of the tree, as a path that is good outside and inside it, such as `usr/share/OVMF/OVMF_CODE_4M.fd`.
    pub fn file(&self, relative: &str) -> PathBuf {
        self.tree.join(relative.trim_start_matches('/'))
    }
}

/// The tree of `bootstrap`, made if need be; its key is part of its name.
fn made(
    workspace: &Workspace,
    bootstrap: &Bootstrap,
    name: &str,
    what: &'static str,
    progress: Progress,
) -> Result<PathBuf> {
    if !process::on_path("bwrap") {
        bail!("bubblewrap (bwrap) is not installed\nhint: cargo xtask setup");
    }
    fs::create_dir_all(workspace.fleet_dir())?;
    let tree = workspace
        .fleet_dir()
        .join(format!("{name}-{}", bootstrap.key()));
    // Tests run side by side, and each may be the first to need it.
    let lock = workspace.fleet_dir().join("tools.lock");
    let lock = File::create(&lock).with_context(|| format!("creating {}", lock.display()))?;
    lock.lock().context("waiting for the tools tree")?;
    if !tree.is_dir() {
        let step = progress.step(what);
        bootstrap.build(&tree, &workspace.log_file(&format!("{name}-tree")))?;
        step.done("");
    }
    Ok(tree)
}

fn bootstrap(packages: &[&str]) -> Bootstrap {
    Bootstrap {
        kind: Kind::System,
        packages: packages.iter().map(ToString::to_string).collect(),
        excludes: ["man", "doc", "locale", "info"]
            .iter()
            .map(|dir| format!("/usr/share/{dir}/*"))
            .collect(),
        source_date_epoch: 0,
    }
}
