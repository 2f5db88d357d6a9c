//! Where log records go.

use std::io::Write as _;

use log::{Level, LevelFilter, Log, Metadata, Record};

/// For people at a terminal: from information on, and of libraries warnings alone.
pub fn log_to_stderr() {
    log::set_max_level(LevelFilter::Debug);
    // A second logger is refused; the first one goes on.
    let _ = log::set_logger(&STDERR);
}

static STDERR: Stderr = Stderr;

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn || metadata.target().starts_with("fleet_")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            // Nobody can be told that nobody can be told.
            let _ = writeln!(std::io::stderr(), "{}: {}", record.level(), record.args());
        }
    }

    fn flush(&self) {}
}
