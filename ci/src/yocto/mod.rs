//! `cargo xtask yocto`: checks of the product image's layer, and what its recipes are generated from.
//!
//! A build of the product takes hours and a network; these checks take seconds and need neither, apart from two
//! Python programs that are installed once. `parse` does with bitbake itself what can be done without any source
//! archive: it reads the whole layer and plans a build of every machine.

mod crates;
mod findings;
mod kas;
mod layer;
mod parse;
mod recipes;
mod same;
mod style;
mod uboot;
mod wks;

use anyhow::Result;
use clap::Subcommand;

pub use findings::Findings;
pub use parse::ParseArguments;

use crate::progress::Progress;
use crate::workspace::Workspace;

/// What the checks are written in.
const PACKAGES: &[&str] = &["kas==5.5", "oelint-adv==9.11.2"];

/// What to do about the layer.
#[derive(Debug, Subcommand)]
pub enum YoctoTask {
    /// Check recipes, kas files, disk layouts and generated files.
    Check,
    /// Write the list of crates anew from Cargo.lock.
    Crates,
    /// Read the layer with bitbake and plan the build of every machine.
    Parse(ParseArguments),
}

/// Does it.
///
/// # Errors
/// When a check finds something, or a program that it needs is not there.
pub fn run(workspace: &Workspace, task: &YoctoTask, progress: Progress) -> Result<()> {
    match task {
        YoctoTask::Check => check(workspace, progress),
        YoctoTask::Crates => crates::write(workspace),
        YoctoTask::Parse(arguments) => parse::run(workspace, arguments, progress),
    }
}

/// Runs every check, then names all findings.
///
/// # Errors
/// When there are any, or a file can't be read.
pub fn check(workspace: &Workspace, progress: Progress) -> Result<()> {
    type Check = fn(&Workspace) -> Result<Findings>;
    let checks: [(&str, Check); 7] = [
        ("Crates of the recipes", crates::check),
        ("Recipes, their files and licences", recipes::check),
        ("Same files in both images", same::check),
        ("Disk layouts", wks::check),
        ("U-Boot's script", uboot::check),
        ("kas files", kas::check),
        ("Style of recipes", style::check),
    ];
    let mut all = Findings::default();
    for (name, check) in checks {
        let step = progress.step(name);
        let found = check(workspace)?;
        step.done(&found.summary());
        all.extend(found);
    }
    all.into_result()
}
