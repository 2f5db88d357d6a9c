//! The command line of `fleet-agent`.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

use crate::platform::paths::Paths;

pub const USAGE: &str = "\
Fleet's agent: keeps one device's system honest.

usage: fleet-agent COMMAND [OPTION …]

commands:
  run          supervise the device; started by fleet-agent.service
  safe-mode    serve the page of safe mode; started by fleet-safe-mode.service
  status       show what the running agent says of this device (--json: as JSON)
  version      show the agent's version

options, for tests and repairs:
  --root DIR         take every path below DIR instead of /
  --data-dir DIR     the agent's writable folder (/data/fleet)
  --config-dir DIR   the image's defaults and roles (/usr/share/fleet)
  --esp-dir DIR      the boot partition (/boot/esp)
  --run-dir DIR      the volatile folder (/run/fleet)
  --page-addr ADDR   where the local page listens (0.0.0.0:80), or `none`
";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Run,
    SafeMode,
    Status { json: bool },
    Version,
    Help,
}

/// Where the local page listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageAddress {
    At(SocketAddr),
    None,
}

/// All of IPv4, port 80.
const DEFAULT_PAGE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 80));

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Args {
    pub verb: Verb,
    pub paths: Paths,
    pub page: PageAddress,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; see `fleet-agent help`")]
pub struct ArgsError {
    problem: String,
}

fn error(problem: impl Into<String>) -> ArgsError {
    ArgsError {
        problem: problem.into(),
    }
}

impl Args {
    /// `words`: without the program's own name.
    ///
    /// # Errors
    /// Names the word that does not fit.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, ArgsError> {
        let mut words = words.into_iter();
        let verb = words.next().ok_or_else(|| error("a command is missing"))?;
        let mut verb = match verb.as_str() {
            "run" => Verb::Run,
            "safe-mode" => Verb::SafeMode,
            "status" => Verb::Status { json: false },
            "version" | "--version" => Verb::Version,
            "help" | "--help" | "-h" => Verb::Help,
            other => return Err(error(format!("`{other}` is no command"))),
        };
        let options: Vec<(String, Option<String>)> = pair(words)?;
        let value = |name: &str| {
            let last = options.iter().rev().find(|(n, _)| n == name);
            last.and_then(|(_, value)| value.clone())
        };
        let mut paths = value("--root").map_or_else(Paths::default, |root| {
            Paths::under(std::path::Path::new(&root))
        });
        let set = |path: &mut PathBuf, name: &str| {
            if let Some(value) = value(name) {
                *path = value.into();
            }
        };
        set(&mut paths.data, "--data-dir");
        set(&mut paths.share, "--config-dir");
        set(&mut paths.esp, "--esp-dir");
        set(&mut paths.run, "--run-dir");
        let page = match value("--page-addr").as_deref() {
            None => PageAddress::At(DEFAULT_PAGE),
            Some("none") => PageAddress::None,
            Some(text) => PageAddress::At(text.parse().map_err(|_| {
                error(format!(
                    "--page-addr: `{text}` is no address such as 127.0.0.1:8080"
                ))
            })?),
        };
        if options.iter().any(|(name, _)| name == "--json") {
            verb = match verb {
                Verb::Status { .. } => Verb::Status { json: true },
                _ => return Err(error("--json belongs to `status`")),
            };
        }
        Ok(Self { verb, paths, page })
    }
}

/// Options with their values, as `--name VALUE` or `--name=VALUE`.
fn pair(
    mut words: impl Iterator<Item = String>,
) -> Result<Vec<(String, Option<String>)>, ArgsError> {
    const WITH_VALUE: &[&str] = &[
        "--root",
        "--data-dir",
        "--config-dir",
        "--esp-dir",
        "--run-dir",
        "--page-addr",
    ];
    let mut options = Vec::new();
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        let value = match (name.as_str(), value) {
            ("--json", None) => None,
            (known, value) if WITH_VALUE.contains(&known) => Some(
                value
                    .or_else(|| words.next())
                    .ok_or_else(|| error(format!("{name} needs a value")))?,
            ),
            _ => return Err(error(format!("`{name}` is no option"))),
        };
        options.push((name, value));
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, ArgsError> {
        Args::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn paths_are_moved_one_by_one_or_all_together() {
        let args = parse("run --root /tmp/x --data-dir=/y --page-addr none").unwrap();
        assert_eq!(args.paths.data, PathBuf::from("/y"));
        assert_eq!(args.paths.share, PathBuf::from("/tmp/x/usr/share/fleet"));
        assert_eq!(args.page, PageAddress::None);
        assert_eq!(parse("run").unwrap().paths, Paths::default());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let check = |line: &str, word: &str| {
            assert!(
                parse(line).unwrap_err().to_string().contains(word),
                "{line}"
            );
        };
        check("", "missing");
        check("walk", "`walk`");
        check("run --jsom", "`--jsom`");
        check("run --json", "--json");
        check("run --root", "--root");
        check("run --page-addr here", "`here`");
    }
}
