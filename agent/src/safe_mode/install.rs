//! Bundles that come by hand: checked against their signed metadata before RAUC sees them, and where
//! an upload finds room.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use fleet_protocol::Sha256;
use fleet_protocol::Version;
use fleet_protocol::trust::BundleRef;
use fleet_protocol::update::Slot;
use sha2::Digest as _;

use super::actions::ActionError;
use super::facts::DataState;
use crate::platform::metrics;
use crate::platform::paths::Paths;

/// Left free for everything else.
const SPARE_BYTES: u64 = 32 * 1024 * 1024;

/// The installation that this page started, for the page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum InstallState {
    #[default]
    None,
    /// An upload is on its way to the place that it will be installed from.
    Receiving,
    Running {
        version: Version,
        percent: u8,
        message: String,
    },
    Done {
        version: Version,
        slot: Slot,
    },
    Failed(ActionError),
}

/// Whether the file is the very one that was signed for. Blocking: reads it whole.
pub(super) fn check_file(path: &Path, expected: &BundleRef) -> Result<(), ActionError> {
    let hint = "copy bundle and .release.json again; they must belong together";
    let describe = |e: std::io::Error| {
        ActionError::new(
            format!("{}: {e}", path.display()),
            "plug the stick in again",
        )
    };
    let mut file = std::fs::File::open(path).map_err(describe)?;
    let size = file.metadata().map_err(describe)?.len();
    if size != expected.size_bytes {
        let message = format!(
            "the bundle has {size} bytes, the release says {}",
            expected.size_bytes
        );
        return Err(ActionError::new(message, hint));
    }
    let mut digest = sha2::Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = file.read(&mut buffer).map_err(describe)?;
        if count == 0 {
            break;
        }
        digest.update(&buffer[..count]);
    }
    if Sha256::from_bytes(digest.finalize().into()) != expected.sha256 {
        return Err(ActionError::new(
            "the bundle is not the one that the release names",
            hint,
        ));
    }
    Ok(())
}

/// Where an upload of `size_bytes` goes: the data partition, or memory if that is broken and memory
/// suffices.
///
/// # Errors
/// Neither has room.
pub(super) fn upload_place(paths: &Paths, size_bytes: u64) -> Result<PathBuf, ActionError> {
    let data = DataState::read(paths);
    let free = match data {
        DataState::Usable { free_bytes } => free_bytes,
        _ => 0,
    };
    let needed = size_bytes.saturating_add(SPARE_BYTES);
    if free >= needed {
        return Ok(paths.cache().join("upload.raucb"));
    }
    let memory = available_memory(paths).min(metrics::free_bytes(&paths.run).unwrap_or(0));
    // RAUC and this process need memory besides.
    if memory >= needed.saturating_add(2 * SPARE_BYTES) {
        return Ok(paths.run.join("upload.raucb"));
    }
    let (need, on_data, in_memory) = (
        crate::page::bytes(needed),
        crate::page::bytes(free),
        crate::page::bytes(memory),
    );
    Err(ActionError::new(
        format!(
            "no room for the bundle: {need} are needed, {on_data} are free on the data partition ({}) and {in_memory} in memory",
            data.sentence()
        ),
        "put bundle and .release.json on a USB stick and install from there; it needs no room",
    ))
}

fn available_memory(paths: &Paths) -> u64 {
    let text = std::fs::read_to_string(paths.proc.join("meminfo")).unwrap_or_default();
    text.lines()
        .find_map(|line| {
            line.strip_prefix("MemAvailable:")?
                .trim()
                .strip_suffix(" kB")?
                .parse::<u64>()
                .ok()
        })
        .unwrap_or(0)
        .saturating_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(content: &[u8]) -> BundleRef {
        BundleRef {
            file_name: "b.raucb".to_owned(),
            sha256: Sha256::of(content),
            size_bytes: content.len() as u64,
            manifest_sha256: Sha256::of("m"),
        }
    }

    #[test]
    fn a_bundle_that_was_changed_or_cut_is_not_installed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.raucb");
        std::fs::write(&path, b"bundle").unwrap();
        assert_eq!(check_file(&path, &bundle(b"bundle")), Ok(()));
        for other in [b"bundl".as_slice(), b"bundlE"] {
            assert!(check_file(&path, &bundle(other)).is_err());
        }
    }

    #[test]
    fn an_upload_goes_to_memory_when_data_is_broken_and_is_refused_when_that_is_small() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        std::fs::create_dir_all(&paths.proc).unwrap();
        std::fs::create_dir_all(&paths.run).unwrap();
        std::fs::write(paths.proc.join("meminfo"), "MemAvailable:  262144 kB\n").unwrap();
        let place = upload_place(&paths, 100 * 1024 * 1024).unwrap();
        assert_eq!(place, paths.run.join("upload.raucb"));
        let refused = upload_place(&paths, 200 * 1024 * 1024).unwrap_err();
        assert!(refused.hint.contains("USB"), "{refused:?}");
    }
}
