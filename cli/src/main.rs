//! `fleet`: reads the arguments, runs the command, reports its error, sets the exit code.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let args = fleet_cli::args::Args::parse();
    let output = fleet_cli::output::Output::new(&args.global);
    match fleet_cli::run(args, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.kind.exit_code())
        }
    }
}
