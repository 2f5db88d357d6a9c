//! A TV for the stories: the kernel's emulated HDMI output and input (`vivid`) with a CEC line between them, and programs for
//! the TV's end of it that are not ours.
//!
//! No image has any of this: a story hands it to its machine on a stick. The modules are those of the image's own kernel.

use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::ImageBuilder;
use super::initrd::load_order;
use super::overlay::Overlay;

const MODULES: &str = "vivid";
/// `cec-follower` is a TV that does as it is told, or not; the others connect it, and ask.
const PROGRAMS: &[&str] = &[
    "usr/bin/cec-ctl",
    "usr/bin/cec-follower",
    "usr/bin/v4l2-ctl",
];

impl ImageBuilder {
    /// A tarball: `modules/` with `order`, in which they are loaded; `bin/`; and `lib/`, the loader `ld.so` and all that it
    /// has to find for the programs.
    ///
    /// # Errors
    /// When the base tarball has no such modules, or the tools tree no such programs.
    pub fn television(&self) -> Result<PathBuf> {
        let base = self.base()?;
        let programs = PROGRAMS.join(",");
        let key = super::key_of([base.key.as_str(), MODULES, programs.as_str(), "format 1"]);
        let path = self.cache.join(format!("television-{key}.tar"));
        if path.is_file() {
            return Ok(path);
        }
        let step = self.progress.step("Preparing the stories' TV");
        let aside = self.cache.join(".new-television");
        if aside.exists() {
            fs::remove_dir_all(&aside).context("removing an unfinished TV")?;
        }
        let release = super::kernel::unpack(&base, &aside)?;
        let tree = aside.join("root/lib/modules").join(release);
        let mut overlay = Overlay::default();
        let modules: Vec<PathBuf> = load_order(MODULES, &tree)?
            .iter()
            .map(|module| tree.join(module))
            .collect();
        anyhow::ensure!(!modules.is_empty(), "the kernel has no module {MODULES}");
        let mut order = String::new();
        for module in self.unpack_modules(&modules)? {
            let name = module.file_name().unwrap_or_default().to_string_lossy();
            order.push_str(&name);
            order.push('\n');
            let content = super::initrd::read(&module)?;
            overlay.add_file(format!("modules/{name}"), content, 0o644);
        }
        overlay.add_file("modules/order", order.into_bytes(), 0o644);
        for program in PROGRAMS {
            let name = program.rsplit('/').next().unwrap_or(program);
            let content = super::initrd::read(&self.tools().file(program))?;
            overlay.add_file(format!("bin/{name}"), content, 0o755);
            for (library, file) in self.libraries(program)? {
                // The loader is started by name, so that the libraries are those that it was made with.
                let name = if library.starts_with("ld-") {
                    "ld.so"
                } else {
                    &library
                };
                overlay.add_file(format!("lib/{name}"), super::initrd::read(&file)?, 0o755);
            }
        }
        let tarball = aside.join("television.tar");
        let out = File::create(&tarball).context("creating the TV's tarball")?;
        let mut out = tar::Builder::new(out);
        overlay.append_to(&mut out, |_| false)?;
        out.into_inner().context("finishing the TV's tarball")?;
        fs::rename(&tarball, &path).context("moving the TV into place")?;
        fs::remove_dir_all(&aside).context("removing the kernel")?;
        step.done("");
        Ok(path)
    }
}
