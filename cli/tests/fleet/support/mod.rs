//! Runs `fleet` itself, and the real tools of the tools tree beside it.

pub(crate) mod network;
pub(crate) mod people;
pub(crate) mod picture;
pub(crate) mod plane;
pub(crate) mod simulator;

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use xtask::progress::Progress;
use xtask::tools::ToolTree;
use xtask::workspace::Workspace;

/// An empty folder, `fleet`, and the tools.
pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
}

/// How a run of `fleet` ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// Failed with this code, says `what`, and gives a hint.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, what: &str) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.stderr.contains(what), "no `{what}` in {self:?}");
        assert!(self.stderr.contains("Hint: "), "no hint in {self:?}");
        self
    }

    /// Refused before anything was done, by clap's own words.
    #[track_caller]
    pub(crate) fn fails_usage(self, what: &str) -> Self {
        assert_eq!(self.code, 2, "{self:?}");
        assert!(self.stderr.contains(what), "no `{what}` in {self:?}");
        self
    }

    /// Failed with this code, and said so as JSON with a hint.
    #[track_caller]
    pub(crate) fn fails_json(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        let error: serde_json::Value = serde_json::from_str(&self.stderr).unwrap();
        assert_eq!(error["error"]["exitCode"], code, "{self:?}");
        assert!(error["error"]["hints"][0].is_string(), "{self:?}");
        self
    }
}

/// A `fleet` that follows something.
pub(crate) struct Following {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Following {
    pub(crate) fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `fleet` that is spoken to.
pub(crate) struct Spoken(Child);

impl Spoken {
    /// It may have ended without listening.
    pub(crate) fn write(&mut self, text: &str) {
        let _ = self.0.stdin.as_mut().unwrap().write_all(text.as_bytes());
    }

    /// A line of its output, read without reading ahead.
    pub(crate) fn line(&mut self) -> String {
        use std::io::Read as _;
        let output = self.0.stdout.as_mut().unwrap();
        let (mut line, mut byte) = (Vec::new(), [0]);
        while output.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    pub(crate) fn end(self) -> Ran {
        self.0.wait_with_output().unwrap().into()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn fleet(&self, args: &[&str]) -> Ran {
        self.command(args).output().unwrap().into()
    }

    /// `fleet` with the tools tree's `rauc`.
    pub(crate) fn fleet_with_rauc(&self, args: &[&str]) -> Ran {
        let wrapper = self.path("rauc-of-the-tools-tree");
        if !wrapper.exists() {
            wrap(&tools().command("rauc"), &wrapper);
        }
        self.command(args)
            .env("FLEET_RAUC", wrapper)
            .output()
            .unwrap()
            .into()
    }

    /// `fleet` that goes on until it is dropped; its output comes line by line.
    pub(crate) fn follow(&self, args: &[&str]) -> Following {
        let mut child = self.command(args).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Following { child, lines }
    }

    /// `fleet` with another context, which can be spoken to.
    pub(crate) fn start(&self, args: &[&str], context: &Path) -> Spoken {
        let mut command = self.command(args);
        command.env("FLEET_CONTEXT", context).stdin(Stdio::piped());
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Spoken(piped.spawn().unwrap())
    }

    #[expect(clippy::disallowed_methods, reason = "a test starts programs")]
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleet"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("FLEET_CONTEXT", self.path("context.toml"))
            .env_remove("FLEET_RAUC")
            .env_remove("FLEET_KEYS")
            .env_remove("FLEET_SERVER")
            .env_remove("FLEET_CA")
            .env_remove("FLEET_TOKEN");
        command
    }

    /// A program of the tools tree, run in the folder; its output, when it succeeds.
    #[track_caller]
    pub(crate) fn tool(&self, program: &str, args: &[&str]) -> Vec<u8> {
        let output = tools()
            .command(program)
            .args(args)
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{program} {args:?}: {output:?}");
        output.stdout
    }
}

pub(crate) fn tools() -> ToolTree {
    ToolTree::ensure(&Workspace::locate().unwrap(), Progress::detect()).unwrap()
}

/// A shell script that runs `command` with more arguments.
fn wrap(command: &Command, to: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    std::fs::write(to, format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" "))).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o755)).unwrap();
}
