//! From arguments to the command that does it.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::{Args, Command};
use crate::error::Result;
use crate::output::Output;
use crate::{
    account, alert, api_key, asset, audit, bundle, config, device, flash, keys, login, override_,
    playlist, publish, release, rollout, schedule, status, user, venue, webhook,
};

/// Runs one command; its result is printed, its error is the caller's to print.
///
/// # Errors
/// Whatever the command fails with; the kind decides the exit code.
pub fn run(args: Args, output: &Output) -> Result<()> {
    let global = &args.global;
    match args.command {
        Command::Login(args) => login::login(&args, global, *output),
        Command::Logout => login::logout(global, *output),
        Command::Whoami => account::whoami(global, *output),
        Command::Session(command) => account::session(command, global, *output),
        Command::Password(args) => account::password(&args, global, *output),
        Command::Totp(command) => account::totp(command, global, *output),
        Command::User(command) => user::run(command, global, *output),
        Command::ApiKey(command) => api_key::run(command, global, *output),
        Command::Audit(command) => audit::run(command, global, *output),
        Command::Keys(command) => keys::run(command, global, *output),
        Command::Bundle(command) => bundle::run(command, global, *output),
        Command::Release(command) => release::run(command, global, *output),
        Command::Rollout(command) => rollout::run(command, global, *output),
        Command::Device(command) => device::run(command, global, *output),
        Command::Alert(command) => alert::run(command, global, *output),
        Command::Webhook(command) => webhook::run(command, global, *output),
        Command::Status => status::run(global, *output),
        Command::Config(command) => config::run(command, global, *output),
        Command::Publish(args) => publish::run(&args, global, *output),
        Command::Asset(command) => asset::run(command, global, *output),
        Command::Playlist(command) => playlist::run(command, global, *output),
        Command::Venue(command) => venue::run(command, global, *output),
        Command::Schedule(command) => schedule::run(command, global, *output),
        Command::Override(command) => override_::run(command, global, *output),
        Command::Flash(args) => flash::run(&args, *output),
        Command::Completions { shell } => {
            output.raw(&completions(shell));
            Ok(())
        }
    }
}

fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "fleet", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_completes_every_command_of_the_first_level() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(completions(*shell)).unwrap();
            for command in Args::command().get_subcommands() {
                let name = command.get_name();
                assert!(script.contains(name), "{shell}: no `{name}`");
            }
        }
    }
}
