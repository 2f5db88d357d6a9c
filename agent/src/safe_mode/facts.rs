//! What safe mode knows of the device: gathered piece by piece, each piece allowed to be missing.

use fleet_device::files;
use fleet_protocol::update::{Slot, UpdateState};

use crate::core::safe_mode::{Cause, Watch};
use crate::core::update::Record;
use crate::platform::booted::{self, ImageRelease};
use crate::platform::cmdline::CommandLine;
use crate::platform::kept::Kept;
use crate::platform::paths::Paths;
use crate::platform::rauc::SlotStatus;
use crate::platform::{metrics, sysfs};
use crate::support_bundle::command::{self, Limits};

/// Below this, the data partition counts as full.
const FULL_BELOW_BYTES: u64 = 4 * 1024 * 1024;
const LOG_LINES: &str = "40";

/// How it stands with the data partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataState {
    Usable { free_bytes: u64 },
    Full { free_bytes: u64 },
    ReadOnly,
    NotMounted,
}

impl DataState {
    pub const fn is_usable(&self) -> bool {
        matches!(self, Self::Usable { .. })
    }

    /// For the page.
    pub fn sentence(&self) -> String {
        use crate::page::bytes;
        match self {
            Self::Usable { free_bytes } => format!("usable, {} free", bytes(*free_bytes)),
            Self::Full { free_bytes } => format!("full, {} free", bytes(*free_bytes)),
            Self::ReadOnly => "read-only: the filesystem is damaged".to_owned(),
            Self::NotMounted => "not mounted: missing or damaged".to_owned(),
        }
    }

    pub fn read(paths: &Paths) -> Self {
        let mount_point = paths.data_partition();
        let mounts = std::fs::read_to_string(paths.proc.join("self/mounts")).unwrap_or_default();
        // The last mount on a place is the one that is seen.
        let options = mounts.lines().rev().find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let point = fields.next()?;
            let options = fields.nth(1)?;
            (std::path::Path::new(point) == mount_point).then(|| options.to_owned())
        });
        let Some(options) = options else {
            return Self::NotMounted;
        };
        if options.split(',').any(|option| option == "ro") {
            return Self::ReadOnly;
        }
        match metrics::free_bytes(mount_point) {
            None => Self::NotMounted,
            Some(free_bytes) if free_bytes < FULL_BELOW_BYTES => Self::Full { free_bytes },
            Some(free_bytes) => Self::Usable { free_bytes },
        }
    }
}

/// One slot for the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotLine {
    pub slot: Slot,
    pub booted: bool,
    pub version: String,
    /// The boot loader would start it.
    pub good: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Device id, else serial number, else board.
    pub device: String,
    pub cause: String,
    pub version: String,
    pub slot: Option<Slot>,
    pub slots: Vec<SlotLine>,
    /// Why the slots are not known, if they are not.
    pub slots_problem: Option<String>,
    pub update: Option<String>,
    pub data: DataState,
    pub addresses: Vec<String>,
    pub board: String,
    pub serial_number: Option<String>,
    pub temperature_c: Option<f32>,
    pub uptime_seconds: u64,
    /// Newest last.
    pub log: Vec<String>,
}

impl Facts {
    /// The other slot, if it can be gone back to.
    pub fn other_good(&self) -> Option<&SlotLine> {
        self.slots.iter().find(|line| !line.booted && line.good)
    }
}

/// Everything but what RAUC says. Blocking, with deadlines.
pub(super) fn gather(paths: &Paths, slots: Result<Vec<SlotStatus>, String>) -> Facts {
    let release = booted::image_release(paths);
    let line = CommandLine::read(paths);
    let data = DataState::read(paths);
    let serial_number = sysfs::serial_number(paths);
    let board = sysfs::model(paths);
    let (slots, slots_problem) = match slots {
        Ok(slots) => (slot_lines(&slots, line.slot), None),
        Err(problem) => (Vec::new(), Some(problem)),
    };
    Facts {
        device: device_id(paths)
            .or_else(|| serial_number.clone().map(|s| format!("Serial {s}")))
            .unwrap_or_else(|| board.clone()),
        cause: cause(paths, &line, &data).sentence(),
        version: release
            .as_ref()
            .map_or_else(ToString::to_string, version_of),
        slot: line.slot,
        slots,
        slots_problem,
        update: last_update(paths).map(|state| crate::page::update_sentence(&state)),
        data,
        addresses: metrics::network(paths).addresses,
        board,
        serial_number,
        temperature_c: sysfs::thermal(paths).temperature_c,
        uptime_seconds: metrics::uptime_seconds(paths),
        log: log(),
    }
}

fn version_of(release: &ImageRelease) -> String {
    release.version.to_string()
}

fn device_id(paths: &Paths) -> Option<String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Identity {
        device_id: String,
    }
    let bytes = files::read_limited(&paths.identity().join("identity.json"), 64 * 1024).ok()??;
    let identity: Identity = serde_json::from_slice(&bytes).ok()?;
    Some(identity.device_id)
}

/// What the agent wrote down in this boot before it gave up, else what can be seen now. What lies on
/// `/data` may be of an earlier boot, so the boot loader's word comes first.
pub(super) fn cause(paths: &Paths, line: &CommandLine, data: &DataState) -> Cause {
    let written = |path: std::path::PathBuf| {
        let bytes = files::read_limited(&path, 64 * 1024).ok()??;
        serde_json::from_slice::<Watch>(&bytes).ok()?.cause
    };
    if let Some(cause) = written(paths.run.join("safe-mode.json")) {
        return cause;
    }
    if line.safe_mode {
        return Cause::Bootloader;
    }
    if let Some(cause) = written(paths.state().join("safe-mode.json")) {
        return cause;
    }
    if !data.is_usable() {
        return Cause::DataUnreadable {
            detail: data.sentence(),
        };
    }
    let agent = "fleet-agent.service";
    let shown = command::run(
        "systemctl",
        &["show", agent, "-p", "NRestarts", "-p", "Result", "--value"],
        Limits::seconds(5),
    );
    let text = shown.map(|output| output.text()).unwrap_or_default();
    let failures = text
        .lines()
        .find_map(|l| l.trim().parse::<u32>().ok())
        .unwrap_or(0);
    let failed = text
        .lines()
        .any(|l| !l.trim().is_empty() && l.trim() != "success" && l.trim().parse::<u32>().is_err());
    match agent.parse() {
        Ok(unit) if failed || failures > 0 => Cause::CrashLoop {
            unit,
            failures: failures.max(1),
        },
        _ => Cause::Asked,
    }
}

fn slot_lines(slots: &[SlotStatus], booted: Option<Slot>) -> Vec<SlotLine> {
    let mut lines: Vec<SlotLine> = slots
        .iter()
        .filter_map(|status| {
            let slot = status.bootname?;
            Some(SlotLine {
                slot,
                booted: status.state == "booted" || booted == Some(slot),
                version: status
                    .version
                    .as_ref()
                    .map_or_else(|| "not known".to_owned(), ToString::to_string),
                good: status.boot_good == Some(true),
            })
        })
        .collect();
    lines.sort_by_key(|line| line.slot);
    lines
}

/// The update engine's last state, from its own record.
pub(super) fn last_update(paths: &Paths) -> Option<UpdateState> {
    let record: Record = Kept::update_record(paths).read().0?;
    record.reports.last().map(|report| report.state.clone())
}

/// Warnings of this boot; where there are few, the end of the whole journal.
fn log() -> Vec<String> {
    let lines = |arguments: &[&str]| -> Vec<String> {
        command::run("journalctl", arguments, Limits::seconds(8))
            .map(|output| {
                output
                    .text()
                    .lines()
                    .map(|l| l.chars().take(220).collect())
                    .collect()
            })
            .unwrap_or_default()
    };
    let common = [
        "-b",
        "--no-pager",
        "-q",
        "-o",
        "short",
        "--no-hostname",
        "-n",
        LOG_LINES,
    ];
    let warnings = lines(&[common.as_slice(), &["-p", "warning"]].concat());
    if warnings.len() >= 5 {
        warnings
    } else {
        lines(&common)
    }
}
