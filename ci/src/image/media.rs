//! What the player loads at run time: GStreamer, the few of its plugins that are used, and their libraries.
//!
//! Debian's packages of plugins depend on some four hundred others, down to a desktop's icons. So they are unpacked
//! rather than installed, and of their files those are taken that are named here. A library that is missing shows in
//! the player's first story: nothing is on the screen.

use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use super::base::{self, Base, matches_glob};
use super::{FILE_TIME, ImageBuilder};
use crate::debian::{Bootstrap, Kind};
use crate::process;

const PACKAGES: &[&str] = &[
    "gstreamer1.0-alsa",
    "gstreamer1.0-plugins-bad",
    "gstreamer1.0-plugins-base",
    "gstreamer1.0-plugins-good",
    "libaom3",
    "libasound2-data",
    "libasound2t64",
    "libatomic1",
    "libbz2-1.0",
    "libde265-0",
    "libfaad2",
    "libffi8",
    "libglib2.0-0t64",
    "libgstreamer-plugins-bad1.0-0",
    "libgstreamer-plugins-base1.0-0",
    "libgstreamer1.0-0",
    "libjpeg62-turbo",
    "libogg0",
    "libopenh264-8",
    "libopus0",
    "liborc-0.4-0t64",
    "libpcre2-8-0",
    "libpng16-16t64",
    "libvorbis0a",
    "libvorbisenc2",
    "libvpx9",
    "zlib1g",
];

/// Playing files; films in MP4 and `WebM`; H.264, HEVC, VP9, AV1; AAC, Opus, Vorbis; pictures; sound by ALSA.
const PLUGINS: &[&str] = &[
    "alsa",
    "aom",
    "app",
    "audioconvert",
    "audioparsers",
    "audiorate",
    "audioresample",
    "autodetect",
    "coreelements",
    "de265",
    "faad",
    "isomp4",
    "jpeg",
    "matroska",
    "openh264",
    "opus",
    "playback",
    "png",
    "typefindfunctions",
    "videoconvertscale",
    "videocrop",
    "videofilter",
    "videoparsersbad",
    "volume",
    "vorbis",
    "vpx",
];

const LIBRARIES: &[&str] = &[
    "libaom.so.*",
    "libasound.so.*",
    "libatomic.so.*",
    "libbz2.so.*",
    "libde265.so.*",
    "libfaad.so.*",
    "libffi.so.*",
    "libgio-2.0.so.*",
    "libglib-2.0.so.*",
    "libgmodule-2.0.so.*",
    "libgobject-2.0.so.*",
    "libgstallocators-1.0.so.*",
    "libgstapp-1.0.so.*",
    "libgstaudio-1.0.so.*",
    "libgstbase-1.0.so.*",
    "libgstcodecparsers-1.0.so.*",
    "libgstpbutils-1.0.so.*",
    "libgstreamer-1.0.so.*",
    "libgstriff-1.0.so.*",
    "libgstrtp-1.0.so.*",
    "libgsttag-1.0.so.*",
    "libgstvideo-1.0.so.*",
    "libjpeg.so.*",
    "libogg.so.*",
    "libopenh264.so.*",
    "libopus.so.*",
    "liborc-0.4.so.*",
    "libpcre2-8.so.*",
    "libpng16.so.*",
    "libvorbis.so.*",
    "libvorbisenc.so.*",
    "libvpx.so.*",
    "libz.so.*",
    "gstreamer1.0/gstreamer-1.0/gst-plugin-scanner",
];

/// Folders that are not there without these packages, from the libraries' one on.
const FOLDERS: &[&str] = &[
    "gstreamer-1.0",
    "gstreamer1.0",
    "gstreamer1.0/gstreamer-1.0",
];
const LIBRARY_FOLDER: &str = "usr/lib/x86_64-linux-gnu";
const ALSA: &str = "usr/share/alsa*";

pub(super) fn bootstrap() -> Bootstrap {
    Bootstrap {
        kind: Kind::Files,
        packages: PACKAGES.iter().map(ToString::to_string).collect(),
        excludes: Vec::new(),
        source_date_epoch: FILE_TIME,
    }
}

/// What is taken, as one text, for keys.
pub(super) fn selection() -> String {
    [PLUGINS, LIBRARIES].concat().join(" ")
}

/// Where the registry lies on a device, until it is copied to where it may be renewed.
pub(super) const REGISTRY: &str = "usr/share/fleet/gst-registry.bin";

/// Copies the plugins in the order of their names, so that the registry lists them in the same order everywhere, and
/// has them looked at where they are on a device: left to itself, GStreamer looks beside its own library.
const SCAN: &str = "cp -p \"$1\"/gstreamer-1.0/*.so \"$2\" && \
    GST_PLUGIN_SYSTEM_PATH=\"$2\" gst-inspect-1.0 coreelements >/dev/null";

impl ImageBuilder {
    /// GStreamer's list of what the plugins can do. Without it the first player of each boot would load them all.
    pub(super) fn media_registry(&self, base: &Base) -> Result<Vec<u8>> {
        let key = super::key_of([base.key.as_bytes(), SCAN.as_bytes()]);
        let registry = self.cache.join(format!("gst-registry-{key}.bin"));
        if !registry.is_file() {
            let aside = self.cache.join(".new-media");
            if aside.exists() {
                fs::remove_dir_all(&aside).context("removing unfinished libraries")?;
            }
            unpack(base, &aside)?;
            let libraries = aside.join(LIBRARY_FOLDER);
            let plugins = Path::new("/").join(LIBRARY_FOLDER).join("gstreamer-1.0");
            let plugins = plugins.to_string_lossy();
            let made = aside.join("registry.bin");
            let mut command = self.tools.command_over(&[&plugins], "env");
            command
                .arg(format!("LD_LIBRARY_PATH={}", libraries.display()))
                .arg(format!("GST_REGISTRY={}", made.display()))
                .args(["sh", "-c", SCAN, "sh"])
                .arg(&libraries)
                .arg(&*plugins);
            process::run_logged(&mut command, &self.workspace.log_file("image-registry"))?;
            fs::rename(&made, &registry).context("moving the registry into place")?;
            fs::remove_dir_all(&aside).context("removing the unpacked libraries")?;
        }
        fs::read(&registry).with_context(|| format!("reading {}", registry.display()))
    }
}

/// What is wanted, with the times that it has in the image: the registry is believed only as long as they fit.
fn unpack(base: &Base, to: &Path) -> Result<()> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(FILE_TIME);
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in base
        .open_media()?
        .entries()
        .context("reading the libraries")?
    {
        let mut entry = entry.context("reading the libraries")?;
        let path = base::clean(&entry.path()?);
        if !is_wanted(&path) {
            continue;
        }
        let file = to.join(&path);
        let folder = file.parent().context("a file has a folder")?;
        fs::create_dir_all(folder)?;
        entry
            .unpack(&file)
            .with_context(|| format!("unpacking {}", path.display()))?;
        if entry.header().entry_type() == tar::EntryType::Regular {
            files.push(file);
        }
    }
    for file in files {
        let file = File::options().append(true).open(&file)?;
        file.set_times(FileTimes::new().set_modified(time))?;
    }
    Ok(())
}

pub(super) fn is_wanted(path: &Path) -> bool {
    if matches_glob(ALSA.as_bytes(), path.as_os_str().as_encoded_bytes()) {
        return true;
    }
    let Some(path) = path
        .strip_prefix(LIBRARY_FOLDER)
        .ok()
        .and_then(Path::to_str)
    else {
        return false;
    };
    let plugin = path
        .strip_prefix("gstreamer-1.0/libgst")
        .and_then(|name| name.strip_suffix(".so"));
    if let Some(name) = plugin {
        return PLUGINS.contains(&name);
    }
    let mut libraries = LIBRARIES.iter();
    FOLDERS.contains(&path) || libraries.any(|glob| matches_glob(glob.as_bytes(), path.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, wanted: bool) {
        assert_eq!(is_wanted(Path::new(path)), wanted, "{path}");
    }

    #[test]
    fn of_the_plugins_those_that_the_player_uses_are_taken() {
        check(
            "usr/lib/x86_64-linux-gnu/gstreamer-1.0/libgstisomp4.so",
            true,
        );
        check(
            "usr/lib/x86_64-linux-gnu/gstreamer-1.0/libgstrtsp.so",
            false,
        );
        check("usr/lib/x86_64-linux-gnu/libgstbase-1.0.so.0", true);
        check("usr/lib/x86_64-linux-gnu/libgstvulkan-1.0.so.0", false);
        check("usr/lib/x86_64-linux-gnu/gstreamer-1.0", true);
        check("usr/share/alsa", true);
        check("usr/share/alsa/alsa.conf", true);
        check("usr/share/doc/libvpx9/copyright", false);
    }
}
