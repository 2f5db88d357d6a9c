//! Where the log records of a device's programs go: the journal with their fields when systemd started the
//! program, else stderr.

use std::io::Write as _;

use fleet_protocol::command::LogLevel;
use log::kv::{Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};

/// Installs the logger of the program `name`. Called once, at its start.
pub fn start(name: &str, level: LogLevel) {
    set_level(level);
    if systemd_journal_logger::connected_to_journal()
        && let Ok(journal) = systemd_journal_logger::JournalLog::new()
    {
        let journal = journal.with_syslog_identifier(name.to_owned());
        let _ = log::set_boxed_logger(Box::new(Journal(journal)));
        return;
    }
    // A second logger is refused; the first one goes on, which is what tests want.
    let _ = log::set_logger(&STDERR);
}

pub fn set_level(level: LogLevel) {
    log::set_max_level(match level {
        LogLevel::Error => LevelFilter::Error,
        LogLevel::Warn => LevelFilter::Warn,
        LogLevel::Info => LevelFilter::Info,
        LogLevel::Debug => LevelFilter::Debug,
        LogLevel::Trace => LevelFilter::Trace,
    });
}

/// Libraries speak up from warnings on: their details would show requests, and with them tokens.
fn is_wanted(metadata: &Metadata<'_>) -> bool {
    metadata.level() <= Level::Warn || metadata.target().starts_with("fleet_")
}

struct Journal(systemd_journal_logger::JournalLog);

impl Log for Journal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_wanted(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if is_wanted(record.metadata()) {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

static STDERR: Stderr = Stderr;

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_wanted(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut line = format!("{:5} {}", record.level(), record.args());
        let _ = record.key_values().visit(&mut Fields(&mut line));
        line.push('\n');
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

struct Fields<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
        use std::fmt::Write as _;
        write!(self.0, " {key}={value}").map_err(log::kv::Error::from)
    }
}
