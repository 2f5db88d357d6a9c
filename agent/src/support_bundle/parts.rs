//! What goes into a bundle: files of the system and the output of its own tools.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Contents;
use super::command::{self, Limits, whole_lines};
use super::redact::Secrets;
use crate::platform::paths::Paths;

/// One member of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub name: &'static str,
    pub source: Source,
}

/// Where a part comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Text that is there already.
    Text(String),
    File(PathBuf),
    /// All files of a folder, small ones first by name, one after the other.
    Folder(PathBuf),
    /// Standard output of a program.
    Program {
        program: &'static str,
        arguments: Vec<String>,
        deadline: Duration,
    },
}

pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) truncated: bool,
}

impl Source {
    /// At most `max_bytes`, cut at a line.
    pub(super) fn read(&self, max_bytes: usize) -> Result<Content, String> {
        match self {
            Self::Text(text) => Ok(cut(text.clone().into_bytes(), max_bytes)),
            Self::File(path) => read_file(path, max_bytes),
            Self::Folder(path) => read_folder(path, max_bytes),
            Self::Program {
                program,
                arguments,
                deadline,
            } => {
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let limits = Limits {
                    deadline: *deadline,
                    max_bytes,
                };
                command::run(program, &arguments, limits)
                    .map(|output| Content {
                        bytes: output.stdout,
                        truncated: output.truncated,
                    })
                    .map_err(|e| e.to_string())
            }
        }
    }
}

fn cut(mut bytes: Vec<u8>, max_bytes: usize) -> Content {
    let truncated = bytes.len() > max_bytes;
    if truncated {
        bytes.truncate(max_bytes);
        bytes = whole_lines(bytes);
    }
    Content { bytes, truncated }
}

fn read_file(path: &Path, max_bytes: usize) -> Result<Content, String> {
    use std::io::Read as _;
    let describe = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(max_bytes as u64 + 1).read_to_end(&mut bytes))
        .map_err(describe)?;
    Ok(cut(bytes, max_bytes))
}

fn read_folder(folder: &Path, max_bytes: usize) -> Result<Content, String> {
    let entries = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(format!("{}: empty", folder.display()));
    }
    let mut all = Vec::new();
    let mut truncated = false;
    for path in files {
        let room = max_bytes.saturating_sub(all.len());
        all.extend_from_slice(format!("==> {} <==\n", path.display()).as_bytes());
        match read_file(&path, room) {
            Ok(content) => {
                all.extend_from_slice(&content.bytes);
                truncated |= content.truncated;
            }
            Err(reason) => all.extend_from_slice(reason.as_bytes()),
        }
        all.push(b'\n');
    }
    Ok(Content {
        bytes: all,
        truncated,
    })
}

/// `line`: a program and its arguments, separated by spaces.
fn program(name: &'static str, line: &'static str) -> Part {
    let mut words = line.split(' ');
    Part {
        name,
        source: Source::Program {
            program: words.next().unwrap_or_default(),
            arguments: words.map(str::to_owned).collect(),
            deadline: Duration::from_secs(20),
        },
    }
}

fn file(name: &'static str, path: PathBuf) -> Part {
    Part {
        name,
        source: Source::File(path),
    }
}

fn folder(name: &'static str, path: PathBuf) -> Part {
    Part {
        name,
        source: Source::Folder(path),
    }
}

/// The parts of every bundle; small and telling ones first, so that a full bundle loses logs.
/// `summary` is the status as the local page shows it.
pub fn standard_parts(paths: &Paths, contents: Contents, summary: String) -> Vec<Part> {
    let mut parts = vec![Part {
        name: "status",
        source: Source::Text(summary),
    }];
    parts.extend(system(paths));
    parts.extend(surroundings(paths));
    if contents.config {
        parts.push(folder("config", paths.config()));
        parts.push(file("config-defaults", paths.default_config()));
    }
    if contents.logs {
        parts.extend(LOGS.map(|(name, line)| program(name, line)));
    }
    parts
}

/// The newest first: it is the end of a part that is cut at its limit.
const LOGS: [(&str, &str); 4] = [
    (
        "journal/warnings",
        "journalctl -b -p warning -n 2000 -r -o short-precise --no-pager",
    ),
    (
        "journal/current",
        "journalctl -b -n 6000 -r -o short-precise --no-pager",
    ),
    (
        "journal/previous",
        "journalctl -b -1 -n 6000 -r -o short-precise --no-pager",
    ),
    (
        "kernel/messages",
        // From the journal: the unit may not read the kernel's own buffer.
        "journalctl -k -b -n 4000 -r -o short-precise --no-pager",
    ),
];

/// What is installed and what the agent, RAUC, the boot loader and systemd think of it.
fn system(paths: &Paths) -> Vec<Part> {
    vec![
        file("versions/release.json", paths.release_file()),
        file("versions/os-release", paths.lib.join("../os-release")),
        file("versions/kernel", paths.proc.join("version")),
        file("versions/cmdline", paths.proc.join("cmdline")),
        program(
            "rauc/status.json",
            "rauc status --detailed --output-format=json",
        ),
        file(
            "rauc/slots",
            paths.data_partition().join("rauc/central.raucs"),
        ),
        Part {
            name: "boot/grubenv",
            source: Source::Program {
                program: "grub-editenv",
                arguments: vec![grub_environment(paths), "list".to_owned()],
                deadline: Duration::from_secs(10),
            },
        },
        folder("state", paths.state()),
        program("systemd/failed", "systemctl --failed --no-pager --full"),
        program(
            "systemd/units",
            "systemctl list-units --all --no-pager fleet-* rauc* data.mount",
        ),
    ]
}

/// Disk, memory, network, temperature, and what the kernel left behind.
fn surroundings(paths: &Paths) -> Vec<Part> {
    vec![
        file("disk/mounts", paths.proc.join("self/mounts")),
        program("disk/free", "df -h"),
        file("disk/partitions", paths.proc.join("partitions")),
        file("memory", paths.proc.join("meminfo")),
        program("network/addresses", "ip address"),
        program("network/routes", "ip route show table all"),
        file(
            "network/resolv.conf",
            paths.run.join("../systemd/resolve/resolv.conf"),
        ),
        program(
            "network/links",
            "networkctl status --all --no-pager --lines=0",
        ),
        program("clock", "timedatectl show"),
        Part {
            name: "thermal",
            source: thermal(paths),
        },
        folder("kernel/pstore", paths.sys.join("fs/pstore")),
        folder(
            "kernel/pstore-kept",
            paths.data_partition().join("systemd/pstore"),
        ),
    ]
}

fn grub_environment(paths: &Paths) -> String {
    crate::platform::booted::grub_environment(paths)
        .unwrap_or_else(|| paths.esp.join("EFI/fleet/grubenv"))
        .display()
        .to_string()
}

/// Temperatures of all zones as the kernel names them, in thousandths of a degree.
fn thermal(paths: &Paths) -> Source {
    let zones = paths.sys.join("class/thermal");
    let mut text = String::new();
    let entries = std::fs::read_dir(&zones).into_iter().flatten().flatten();
    let mut names: Vec<PathBuf> = entries.map(|e| e.path()).collect();
    names.sort();
    for zone in names {
        let read = |name: &str| fleet_device::files::read_trimmed(&zone.join(name));
        if let (Some(kind), Some(value)) =
            (read("type"), read("temp").or_else(|| read("cur_state")))
        {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{} {kind} {value}", zone.display());
        }
    }
    if text.is_empty() {
        "no thermal zones on this board\n".clone_into(&mut text);
    }
    Source::Text(text)
}

/// Reads what must be left out: the identity, the PIN, the provisioning files, Wi-Fi keys.
pub(super) fn secrets(paths: &Paths) -> Secrets {
    let mut secrets = Secrets::default();
    let mut add = |path: &Path| {
        if let Ok(content) = read_file(path, 64 * 1024) {
            secrets.add(&String::from_utf8_lossy(&content.bytes));
        }
    };
    let identity = paths.identity();
    for entry in std::fs::read_dir(&identity).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        // Certificates and ids are public, and telling.
        if path.is_file()
            && !name.contains("cert")
            && !name.starts_with("ca.")
            && name != "identity.json"
        {
            add(&path);
        }
    }
    add(&paths.esp.join("fleet/pin"));
    add(&paths.run.join("pin"));
    secrets
}
