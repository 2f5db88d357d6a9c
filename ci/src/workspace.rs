//! Where things are: the repository, the target folder, and what the builders keep there.
//!
//! Invariant: every path handed out is absolute, so that it means the same inside the tools tree.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The repository and its build folder.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Finds the workspace this program was built from.
    ///
    /// # Errors
    /// When the source folder has been moved since the build.
    pub fn locate() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("the ci folder has no parent")?;
        let root = root.canonicalize().with_context(|| {
            format!(
                "the workspace is no longer at {}; rebuild xtask",
                root.display()
            )
        })?;
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => root.join(dir),
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// The repository.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's build folder.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// What the builders make and keep: trees, images, logs.
    pub fn fleet_dir(&self) -> PathBuf {
        self.target.join("fleet")
    }

    /// The log of one step.
    pub fn log_file(&self, step: &str) -> PathBuf {
        self.fleet_dir().join("logs").join(format!("{step}.log"))
    }

    /// The layer that holds units, RAUC and boot files for both builders.
    pub fn layer(&self) -> PathBuf {
        self.root.join("meta-fleet")
    }
}
