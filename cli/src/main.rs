//! `fleet`: reads the arguments, runs the command, reports its error, sets the exit code.

use std::process::ExitCode;

use fleet_cli::usage::parse;

fn main() -> ExitCode {
    let args = match parse(std::env::args_os()) {
        Ok(args) => args,
        Err(end) => return ExitCode::from(end.report()),
    };
    let output = fleet_cli::output::Output::new(&args.global);
    match fleet_cli::run(args, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.kind.exit_code())
        }
    }
}
