//! `fleet-agent`: the program around the library.

use std::process::ExitCode;

use fleet_agent::daemon::args::{Args, PageAddress, USAGE, Verb};
use fleet_agent::daemon::{self, status};
use fleet_agent::safe_mode;

/// As sysexits(3) has them.
const EX_USAGE: u8 = 64;
const EX_UNAVAILABLE: u8 = 69;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(error) => {
            eprintln!("fleet-agent: {error}");
            return ExitCode::from(EX_USAGE);
        }
    };
    let result = match args.verb {
        Verb::Run => {
            safe_mode::prepare(&args.paths);
            daemon::run(&args.paths, args.page)
        }
        Verb::SafeMode => match args.page {
            PageAddress::At(address) => safe_mode::run(&args.paths, address),
            PageAddress::None => Err(anyhow::anyhow!(
                "safe mode is its page: leave `--page-addr none` out"
            )),
        },
        Verb::Status { json } => status::show(&args.paths, json),
        Verb::Version => {
            println!("fleet-agent {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Verb::Help => {
            print!("{USAGE}");
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleet-agent: {error:#}");
            ExitCode::from(EX_UNAVAILABLE)
        }
    }
}
