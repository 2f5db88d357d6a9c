//! `cargo xtask yocto parse`: bitbake reads the whole layer and plans what a build of each machine would do.
//!
//! Nothing is fetched or built, so this needs the foreign layers (as checkouts beside one another) and no network.
//! It finds what no text check does: a misspelt package, an append without a recipe, a class that is gone.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::unistd::Uid;

use super::kas::{self, KasFile};
use crate::process;
use crate::progress::Progress;
use crate::workspace::Workspace;

/// Where the layers are, and which machines.
#[derive(Debug, Clone, clap::Args)]
pub struct ParseArguments {
    /// A folder with bitbake and the layers of kas.yml, each under its name there.
    #[arg(long, value_name = "DIR")]
    layers: PathBuf,
    /// One machine; all of yocto/ otherwise.
    #[arg(long)]
    machine: Option<String>,
    /// Only find out which tasks there would be, without walking through them: half the time.
    #[arg(long)]
    quick: bool,
    /// Take layers at other commits than those of kas.yml.
    #[arg(long)]
    any_commit: bool,
}

pub(super) fn run(
    workspace: &Workspace,
    arguments: &ParseArguments,
    progress: Progress,
) -> Result<()> {
    if Uid::effective().is_root() {
        bail!(
            "bitbake does not run as root\nhint: run this as an ordinary user who may write to {}",
            workspace.fleet_dir().display()
        );
    }
    let layers = arguments
        .layers
        .canonicalize()
        .with_context(|| format!("there are no layers in {}", arguments.layers.display()))?;
    let files = kas::read(workspace)?;
    let wanted = |machine: &str| {
        arguments
            .machine
            .as_deref()
            .is_none_or(|only| only == machine)
    };
    let machines: Vec<(&KasFile, &str)> = files
        .iter()
        .filter_map(|file| Some((file, kas::machine_of(file)?)))
        .filter(|(_, machine)| wanted(machine))
        .collect();
    if machines.is_empty() {
        bail!("yocto/ has no such machine");
    }
    for (file, machine) in machines {
        let paths = layer_paths(
            workspace,
            arguments,
            &layers,
            &kas::with_includes(&files, file),
        )?;
        let build = Build::prepare(workspace, &layers, &paths, machine)?;
        let step = progress.step(format!("Planning the build for {machine}"));
        let way = if arguments.quick {
            "--graphviz"
        } else {
            "--dry-run"
        };
        let outcome = build.bitbake(workspace, &[way, "fleet-image", "fleet-bundle"])?;
        step.done(&outcome.to_string());
    }
    Ok(())
}

/// The folders of all layers that the files name, ours first.
fn layer_paths(
    workspace: &Workspace,
    arguments: &ParseArguments,
    layers: &Path,
    files: &[&KasFile],
) -> Result<Vec<PathBuf>> {
    let mut paths = vec![workspace.layer()];
    for (name, repo) in files.iter().flat_map(|file| kas::repos(&file.content)) {
        let Some(commit) = kas::commit_of(repo) else {
            continue;
        };
        let checkout = layers.join(name);
        let mut git = process::command("git");
        git.args(["-c", "safe.directory=*", "-C"])
            .arg(&checkout)
            .args(["rev-parse", "HEAD"]);
        let is = process::capture(&mut git)
            .with_context(|| format!("hint: a checkout of {name} at {commit} belongs there"))?;
        if is.trim() != commit && !arguments.any_commit {
            bail!(
                "{} is at {}, kas says {commit}\nhint: --any-commit takes it all the same",
                checkout.display(),
                is.trim()
            );
        }
        let names = repo.get("layers").and_then(serde_json::Value::as_object);
        for (layer, state) in names.into_iter().flatten() {
            if state.as_str() != Some("disabled") {
                paths.push(checkout.join(layer.trim_start_matches('.')));
            }
        }
    }
    Ok(paths)
}

/// A build folder of one machine.
struct Build {
    folder: PathBuf,
    path: String,
    machine: String,
}

impl Build {
    fn prepare(
        workspace: &Workspace,
        layers: &Path,
        paths: &[PathBuf],
        machine: &str,
    ) -> Result<Self> {
        let folder = workspace.fleet_dir().join("yocto").join(machine);
        let conf = folder.join("conf");
        fs::create_dir_all(&conf).with_context(|| format!("creating {}", conf.display()))?;
        fs::write(conf.join("bblayers.conf"), layers_conf(paths))?;
        fs::write(conf.join("local.conf"), local_conf(machine))?;
        let inherited = std::env::var("PATH").unwrap_or_default();
        let path = format!(
            "{0}/openembedded-core/scripts:{0}/bitbake/bin:{inherited}",
            layers.display()
        );
        Ok(Self {
            folder,
            path,
            machine: machine.to_owned(),
        })
    }

    fn bitbake(&self, workspace: &Workspace, arguments: &[&str]) -> Result<Outcome> {
        let log = workspace.log_file(&format!(
            "yocto-{}{}",
            self.machine,
            arguments[0].trim_start_matches('-')
        ));
        let graph = self.folder.join("task-depends.dot");
        // An earlier run's says nothing of this one.
        let _ = fs::remove_file(&graph);
        let began = Instant::now();
        let mut command = process::command("bitbake");
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("BBPATH", &self.folder)
            .env("BUILDDIR", &self.folder)
            .env("PATH", &self.path)
            .env("LC_ALL", "en_US.UTF-8")
            .env("BB_ENV_PASSTHROUGH_ADDITIONS", PASSED_ON);
        process::run_logged(&mut command, &log)?;
        let said =
            fs::read_to_string(&log).with_context(|| format!("reading {}", log.display()))?;
        let graph = fs::read_to_string(&graph).unwrap_or_default();
        Ok(Outcome::of(&said, &graph, began.elapsed().as_secs()))
    }
}

/// What a build takes from its environment; as `env` of kas.yml.
const PASSED_ON: &str = "FLEET_VARIANT FLEET_VERSION FLEET_KEYS FLEET_KEYRING FLEET_KEYSET FLEET_BUNDLE_CERTIFICATE \
     FLEET_BUNDLE_KEY";

fn layers_conf(paths: &[PathBuf]) -> String {
    let mut text = String::from("BBPATH = \"${TOPDIR}\"\nBBFILES ?= \"\"\nBBLAYERS = \" \\\n");
    for path in paths {
        let path: PathBuf = path.components().collect();
        let _ = writeln!(text, "    {} \\", path.display());
    }
    text.push_str("\"\n");
    text
}

/// One thread, because this runs beside other work; no network, because nothing is fetched.
fn local_conf(machine: &str) -> String {
    format!(
        "MACHINE = \"{machine}\"\nDISTRO = \"fleet\"\nCONF_VERSION = \"2\"\n\
         BB_NO_NETWORK = \"1\"\nCONNECTIVITY_CHECK_URIS = \"\"\nINHERIT:remove = \"uninative\"\n\
         BB_NUMBER_THREADS = \"1\"\nBB_NUMBER_PARSE_THREADS = \"1\"\n\
         BB_HASHSERVE_DB_DIR = \"${{SSTATE_DIR}}\"\nBB_SERVER_TIMEOUT = \"0\"\n"
    )
}

/// What bitbake said in the end.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    tasks: usize,
    warnings: Vec<String>,
    seconds: u64,
}

impl Outcome {
    /// From what was said while walking through the tasks, else from their graph.
    fn of(said: &str, graph: &str, seconds: u64) -> Self {
        let walked = said.lines().find_map(|line| {
            let (_, rest) = line.split_once("Tasks Summary: Attempted ")?;
            rest.split_whitespace().next()?.parse().ok()
        });
        let drawn = || {
            graph
                .lines()
                .filter(|line| line.contains("[label="))
                .count()
        };
        let warnings = said.lines().filter(|line| line.starts_with("WARNING: "));
        Self {
            tasks: walked.unwrap_or_else(drawn),
            warnings: warnings.map(str::to_owned).collect(),
            seconds,
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} tasks, {} warnings, {} s",
            self.tasks,
            self.warnings.len(),
            self.seconds
        )?;
        self.warnings
            .iter()
            .try_for_each(|warning| write!(f, "\n  {warning}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bitbake_says_is_summed_up() {
        let said = "Parsing of 2893 .bb files complete (0 cached, 2893 parsed).\nWARNING: a\n\
                    NOTE: Tasks Summary: Attempted 5482 tasks of which 0 didn't need to be rerun and all succeeded.\n";
        let outcome = Outcome::of(said, "", 95);
        assert_eq!(
            outcome.to_string(),
            "5482 tasks, 1 warnings, 95 s\n  WARNING: a"
        );
        let graph = "\"a.do_fetch\" [label=\"a\"]\n\"b.do_fetch\" [label=\"b\"]\n\"a.do_fetch\" -> \"b.do_fetch\"\n";
        assert_eq!(Outcome::of("", graph, 5).tasks, 2);
    }

    #[test]
    fn a_layer_that_is_its_repository_has_no_dot_at_its_end() {
        let text = layers_conf(&[
            Path::new("/l/meta-rauc").join(""),
            PathBuf::from("/l/core/meta"),
        ]);
        assert!(
            text.contains("    /l/meta-rauc \\\n    /l/core/meta \\\n"),
            "{text}"
        );
    }
}
