//! What kind of machine this is, as far as playing goes: a file a kind, in `/usr/share/fleet/profiles`.
//!
//! A profile says which decoders are tried first and for which films, how much memory a decoder has, which devices it
//! may open, and how much of the disk media may take. Code asks for none of it by the board's name.

mod board;
mod decoders;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use board::{Board, BoardMatch};
pub use decoders::{Codec, DecoderProfile, Element, Nodes, Preferred, Readable};

/// Where a device has them.
pub const FOLDER: &str = "/usr/share/fleet/profiles";

const GENERIC: &str = include_str!("generic.toml");
const MIB: u64 = 1024 * 1024;

/// Of one kind of machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub name: String,
    board: BoardMatch,
    /// What media may take of the disk, unless somebody has set it.
    pub cache_budget_bytes: u64,
    pub decoder: DecoderProfile,
}

/// Why there is no such profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    #[error("reading the profile {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the profile {name}")]
    Syntax {
        name: String,
        #[source]
        source: toml::de::Error,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    board: BoardMatch,
    cache: Cache,
    decoder: DecoderProfile,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cache {
    budget_mib: std::num::NonZeroU32,
}

impl Profile {
    /// Reads a profile's text.
    pub fn parse(name: &str, text: &str) -> Result<Self, ProfileError> {
        let file: File = toml::from_str(text).map_err(|source| ProfileError::Syntax {
            name: name.to_owned(),
            source,
        })?;
        Ok(Self {
            name: name.to_owned(),
            board: file.board,
            cache_budget_bytes: u64::from(file.cache.budget_mib.get()) * MIB,
            decoder: file.decoder,
        })
    }

    /// That of a machine that no file is for.
    pub fn generic() -> Result<Self, ProfileError> {
        Self::parse("generic", GENERIC)
    }

    /// The one that is named: a file, or a name in `folder`.
    pub fn named(name: &str, folder: &Path) -> Result<Self, ProfileError> {
        let path = if name.contains('/') {
            PathBuf::from(name)
        } else {
            folder.join(format!("{name}.toml"))
        };
        Self::read(&path)
    }

    /// The one in `folder` that fits `board` best. A file that is no profile is passed over, with a warning.
    pub fn of(board: &Board, folder: &Path) -> Result<Self, ProfileError> {
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = files.map(|file| file.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
        paths.sort();
        let profiles = paths.iter().filter_map(|path| match Self::read(path) {
            Ok(profile) => Some(profile),
            Err(error) => {
                log::warn!("{}", crate::media::with_causes(&error));
                None
            }
        });
        match best(profiles, board) {
            Some(profile) => Ok(profile),
            None => Self::generic(),
        }
    }

    fn read(path: &Path) -> Result<Self, ProfileError> {
        let text = std::fs::read_to_string(path).map_err(|source| ProfileError::Read {
            path: path.to_owned(),
            source,
        })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::parse(&name, &text)
    }
}

/// The first of those that say most about the board.
fn best(profiles: impl Iterator<Item = Profile>, board: &Board) -> Option<Profile> {
    let fitting = profiles.filter_map(|profile| {
        let fit = profile.board.fit(board)?;
        Some((fit, profile))
    });
    let best = fitting.reduce(|best, next| if next.0 > best.0 { next } else { best });
    best.map(|(_, profile)| profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../meta-fleet/recipes-fleet/fleet-player/files/rootfs/usr/share/fleet/profiles"
    );

    fn shipped(board: &Board) -> Profile {
        Profile::of(board, Path::new(SHIPPED)).unwrap()
    }

    fn board(compatible: &[&str], vendor: Option<&str>, architecture: &str) -> Board {
        Board {
            compatible: compatible.iter().map(ToString::to_string).collect(),
            vendor: vendor.map(ToOwned::to_owned),
            architecture: architecture.to_owned(),
        }
    }

    #[test]
    fn a_board_gets_the_profile_that_says_most_about_it() {
        let check = |compatible: &[&str], vendor, architecture, expected: &str| {
            let board = board(compatible, vendor, architecture);
            assert_eq!(shipped(&board).name, expected, "{board:?}");
        };
        let pi4 = ["raspberrypi,4-model-b", "brcm,bcm2711"];
        check(&pi4, None, "aarch64", "pi4");
        let pi5 = ["raspberrypi,5-model-b", "brcm,bcm2712"];
        check(&pi5, None, "aarch64", "pi5");
        check(&[], Some("QEMU"), "x86_64", "qemu");
        check(&["linux,dummy-virt"], None, "aarch64", "qemu");
        check(&[], Some("Intel(R) Client Systems"), "x86_64", "x86");
        check(&["vendor,unknown"], None, "aarch64", "generic");
    }

    #[test]
    fn of_the_boards_only_the_pi_4_has_h264_in_hardware() {
        let has = |name: &str, codec| {
            let profile = Profile::named(name, Path::new(SHIPPED)).unwrap();
            let mut preferred = profile.decoder.preferred.iter();
            preferred.any(|preferred| preferred.codec == codec)
        };
        assert!(has("pi4", Codec::H264) && has("pi4", Codec::Hevc));
        assert!(!has("pi5", Codec::H264) && has("pi5", Codec::Hevc));
        assert!(!has("qemu", Codec::H264));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let whole = "[board]\n[cache]\nbudget_mib = 2048\n[decoder]\nmemory_mib = 640\n";
        assert!(Profile::parse("whole", whole).is_ok());
        let preferred = "[[decoder.preferred]]\ncodec = \"h264\"\nelement = \"v4l2h264dec\"\n";
        assert!(Profile::parse("whole", &format!("{whole}{preferred}")).is_ok());
        let check = |text: &str, expected: &str| {
            let error = Profile::parse("odd", text).unwrap_err();
            let said = crate::media::with_causes(&error);
            assert!(said.contains("odd") && said.contains(expected), "{said}");
        };
        check(&whole.replace("2048", "0"), "budget_mib");
        check(&whole.replace("640", "4"), "memory_mib");
        check(&whole.replace("memory_mib", "memory_mb"), "memory_mb");
        check(
            &format!("{whole}devices = [\"/etc/shadow\"]\n"),
            "/etc/shadow",
        );
        check(&format!("{whole}devices = [\"/dev/*\"]\n"), "/dev/*");
        check(
            &format!("{whole}devices = [\"/dev/dri/../sda\"]\n"),
            "/dev/dri/../sda",
        );
        check(&format!("{whole}readable = [\"/data\"]\n"), "/data");
        check(
            &format!("{whole}{}", preferred.replace("h264\"", "h264000\"")),
            "h264000",
        );
        check(
            &format!("{whole}{}", preferred.replace("v4l2h264dec", "a ! b")),
            "a ! b",
        );
        check(&format!("{whole}{preferred}largest = \"huge\"\n"), "huge");
        check(
            &format!("{whole}{preferred}frames_a_second = 0\n"),
            "frames_a_second",
        );
    }

    #[test]
    fn a_name_that_is_not_there_is_an_error_and_a_broken_file_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let error = Profile::named("pi6", folder.path()).unwrap_err();
        assert!(error.to_string().contains("pi6.toml"), "{error}");
        std::fs::write(folder.path().join("odd.toml"), "no TOML").unwrap();
        let board = board(&[], None, "x86_64");
        assert_eq!(Profile::of(&board, folder.path()).unwrap().name, "generic");
    }
}
