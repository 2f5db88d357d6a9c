//! A bar on a terminal, and nothing anywhere else.

use std::io::{IsTerminal as _, Read};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const STYLE: &str = "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}";

/// How far a backup or a restore got.
#[derive(Debug, Clone)]
pub struct Progress(ProgressBar);

impl Progress {
    /// On the terminal, if standard error is one.
    pub fn on_terminal(what: &'static str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::none();
        }
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(STYLE).expect("a constant template");
        bar.set_style(style);
        Self(bar.with_message(what))
    }

    pub fn none() -> Self {
        Self(ProgressBar::hidden())
    }

    pub(super) fn begin(&self, size_bytes: u64) {
        self.0.set_length(size_bytes);
    }

    pub(super) fn watch<R: Read>(&self, reader: R) -> impl Read + use<R> {
        self.0.wrap_read(reader)
    }

    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }
}
