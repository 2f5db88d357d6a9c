//! From arguments to the command that does it.

use clap::CommandFactory as _;

use crate::args::{Args, Command};
use crate::error::Result;
use crate::output::Output;
use crate::{bundle, config, context, device, flash, keys, release, rollout, schedule, status};

/// Runs one command; its result is printed, its error is the caller's to print.
///
/// # Errors
/// Whatever the command fails with; the kind decides the exit code.
pub fn run(args: Args, output: &Output) -> Result<()> {
    let global = &args.global;
    match args.command {
        Command::Login(login) => context::login(&login, global, *output),
        Command::Keys(command) => keys::run(command, global, *output),
        Command::Bundle(command) => bundle::run(command, global, *output),
        Command::Release(command) => release::run(command, global, *output),
        Command::Rollout(command) => rollout::run(command, global, *output),
        Command::Device(command) => device::run(command, global, *output),
        Command::Status => status::run(global, *output),
        Command::Config(command) => config::run(command, global, *output),
        Command::Schedule(command) => schedule::run(command, *output),
        Command::Flash(args) => flash::run(&args, *output),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "fleet", &mut script);
            output.raw(&script);
            Ok(())
        }
    }
}
