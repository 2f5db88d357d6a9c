//! What is played: films whose every frame says which it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;
use crate::workspace::Workspace;

/// A film of a set.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Film {
    pub(super) item: u16,
    pub(super) frames: u16,
    frames_a_second: u16,
    file: String,
}

/// A folder of films, in the order in which they are played.
#[derive(Debug)]
pub(super) struct Set {
    /// Within the folder of all sets.
    pub(super) name: &'static str,
    pub(super) films: Vec<Film>,
}

impl Set {
    pub(super) fn length(&self) -> Duration {
        let seconds = |film: &Film| f64::from(film.frames) / f64::from(film.frames_a_second);
        Duration::from_secs_f64(self.films.iter().map(seconds).sum())
    }

    /// Where the films are when all sets are in `dir`.
    pub(super) fn files(&self, dir: &Path) -> Vec<PathBuf> {
        let folder = dir.join(self.name);
        let files = self.films.iter().map(|film| folder.join(&film.file));
        files.collect()
    }
}

/// What `films` of the tests' crate makes.
#[derive(Debug)]
pub(super) struct Films {
    pub(super) dir: PathBuf,
    pub(super) playlist: Set,
    pub(super) clip: Set,
    pub(super) changes: Set,
}

#[derive(Deserialize)]
struct Made {
    playlist: Vec<Film>,
    clip: Vec<Film>,
    changes: Vec<Film>,
}

impl Films {
    pub(super) fn make(workspace: &Workspace) -> Result<Self> {
        let mut command = process::cargo();
        command
            .args(["build", "--locked", "--package", "fleet-tests"])
            .args(["--features", "media", "--bin", "films"])
            .current_dir(workspace.root());
        process::run_logged(&mut command, &workspace.log_file("build-films"))?;
        let program = workspace.target().join("debug/films");
        let dir = workspace.fleet_dir().join("bench/films");
        let said = process::capture(process::command(program).arg(&dir))?;
        let made: Made = serde_json::from_str(&said).context("reading which films were made")?;
        let set = |name, films| Set { name, films };
        Ok(Self {
            dir,
            playlist: set("playlist", made.playlist),
            clip: set("clip", made.clip),
            changes: set("changes", made.changes),
        })
    }
}
