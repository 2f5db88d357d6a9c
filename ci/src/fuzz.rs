//! `cargo xtask fuzz`: builds the fuzz targets with coverage instrumentation and runs each for a while.
//!
//! The instrumentation flags are those of LLVM's sanitizer coverage, which the stable compiler takes, so no nightly
//! toolchain is needed. A crashing input is kept under `fuzz/artifacts`, and its path is printed.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::progress::Progress;
use crate::workspace::Workspace;

const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1";

/// What to fuzz, and for how long.
#[derive(Debug, clap::Args)]
pub struct FuzzArguments {
    /// One target; all of them otherwise.
    target: Option<String>,
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// Runs the chosen targets one after the other.
///
/// # Errors
/// When building fails, a target is not there, or an input makes one crash.
pub fn run(workspace: &Workspace, arguments: &FuzzArguments, progress: Progress) -> Result<()> {
    let names = targets(workspace)?;
    let wanted = |name: &&String| {
        arguments
            .target
            .as_ref()
            .is_none_or(|target| target == *name)
    };
    let chosen: Vec<&String> = names.iter().filter(wanted).collect();
    if chosen.is_empty() {
        bail!("no such fuzz target\nhint: one of {}", names.join(", "));
    }
    let folder = workspace.root().join("fuzz");
    let output = workspace.target().join("fuzz");
    let step = progress.step("Building the fuzz targets");
    let mut build = process::cargo();
    build
        .args([
            "build",
            "--profile",
            "fuzz",
            "--package",
            "fleet-fuzz",
            "--bins",
        ])
        .current_dir(workspace.root());
    // A named target keeps the flags away from build scripts and procedural macros.
    build
        .args(["--target", "x86_64-unknown-linux-gnu", "--target-dir"])
        .arg(&output);
    build.env("RUSTFLAGS", COVERAGE);
    process::run_logged(&mut build, &workspace.log_file("fuzz-build"))?;
    step.done("");
    for name in chosen {
        let step = progress.step(format!("Fuzzing {name}"));
        let corpus = folder.join("corpus").join(name);
        let artifacts = folder.join("artifacts").join(name);
        for dir in [&corpus, &artifacts] {
            fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        }
        let program = output.join("x86_64-unknown-linux-gnu/fuzz").join(name);
        let mut fuzzer = process::command(program);
        fuzzer.arg(&corpus);
        let seeds = folder.join("seeds").join(name);
        if seeds.is_dir() {
            fuzzer.arg(seeds);
        }
        fuzzer.arg(format!("-max_total_time={}", arguments.seconds.max(1)));
        fuzzer.args(["-timeout=10", "-rss_limit_mb=2048", "-max_len=70000"]);
        fuzzer.arg(format!("-artifact_prefix={}/", artifacts.display()));
        process::run_logged(&mut fuzzer, &workspace.log_file(&format!("fuzz-{name}")))?;
        step.done("no crash");
    }
    Ok(())
}

fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let dir = workspace.root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry.context("reading the list of fuzz targets")?.path();
        if let Some(stem) = path.file_stem() {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
