//! Arguments that make no sense. People get clap's own text; `--json` gets the same shape as every
//! other error.

use std::ffi::OsString;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::args::{Args, Global};
use crate::error::CommandError;
use crate::output::Output;

/// Why there is nothing to run: help was asked for, or the arguments are wrong.
#[derive(Debug)]
pub struct NoCommand {
    error: clap::Error,
    json: bool,
}

/// # Errors
/// Also when help or the version was asked for.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Args, NoCommand> {
    let args: Vec<OsString> = args.into_iter().collect();
    let json = args
        .iter()
        .take_while(|arg| *arg != "--")
        .any(|arg| arg == "--json");
    Args::try_parse_from(args).map_err(|error| NoCommand { error, json })
}

impl NoCommand {
    /// Prints it where it belongs, and says the exit code.
    pub fn report(&self) -> u8 {
        if !self.json || !self.error.use_stderr() {
            // A closed output is no reason to fail.
            let _ = self.error.print();
            return u8::try_from(self.error.exit_code()).unwrap_or(2);
        }
        let error = self.command_error();
        let global = Global {
            json: true,
            ..Global::default()
        };
        Output::new(&global).error(&error);
        error.kind.exit_code()
    }

    /// clap's paragraphs: what is wrong, tips, usage, where there is more.
    fn command_error(&self) -> CommandError {
        if self.error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            return CommandError::usage("a command is missing")
                .hint("`fleet --help` and `fleet COMMAND --help` name all of them");
        }
        let text = self.error.to_string();
        let mut paragraphs = text.split("\n\n").map(one_line).filter(|p| !p.is_empty());
        let message = paragraphs.next().unwrap_or_default();
        let message = message.strip_prefix("error: ").unwrap_or(&message);
        paragraphs.fold(CommandError::usage(message), CommandError::hint)
    }
}

fn one_line(paragraph: &str) -> String {
    let words: Vec<&str> = paragraph.split_whitespace().collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn wrong(args: &[&str]) -> NoCommand {
        parse(args.iter().map(OsString::from)).unwrap_err()
    }

    #[test]
    fn every_kind_of_usage_error_has_a_message_and_a_hint() {
        let check = |args: &[&str], expected: &str| {
            let error = wrong(args).command_error();
            assert_eq!(error.kind, Kind::Usage);
            assert!(error.message.contains(expected), "{error:?}");
            assert!(!error.message.starts_with("error"), "{error:?}");
            assert!(!error.message.contains('\n'), "{error:?}");
            assert!(!error.hints.is_empty(), "{error:?}");
        };
        check(&["fleet"], "a command is missing");
        check(&["fleet", "--json"], "requires a subcommand");
        check(&["fleet", "device", "--json"], "requires a subcommand");
        check(&["fleet", "statsu", "--json"], "statsu");
        check(&["fleet", "--json", "status", "--nonsense"], "--nonsense");
        check(&["fleet", "--json", "flash"], "IMAGE");
        check(&["fleet", "--json", "device", "show"], "required");
        check(
            &[
                "fleet",
                "--json",
                "device",
                "command",
                "d",
                "log-level",
                "loud",
            ],
            "expected error, warn",
        );
    }

    #[test]
    fn what_stands_behind_two_dashes_is_no_option() {
        assert!(wrong(&["fleet", "statsu", "--json"]).json);
        assert!(!wrong(&["fleet", "statsu", "--", "--json"]).json);
    }
}
