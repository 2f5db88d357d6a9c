//! The system tests' machines take QEMU and its companions from the tools tree.

use std::path::PathBuf;
use std::process::Command;

use fleet_tests::vm::Programs;

use crate::tools::ToolTree;

impl Programs for ToolTree {
    fn command(&self, program: &str) -> Command {
        Self::command(self, program)
    }

    fn file(&self, relative: &str) -> PathBuf {
        Self::file(self, relative)
    }
}
