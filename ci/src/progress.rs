//! Says what is being done: a spinner with elapsed time on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

/// Where progress goes. `Quiet` is for machine-readable output and for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Terminal,
    Lines,
    Quiet,
}

impl Progress {
    /// A spinner when standard error is a terminal, lines otherwise.
    pub fn detect() -> Self {
        if std::io::stderr().is_terminal() {
            Self::Terminal
        } else {
            Self::Lines
        }
    }

    /// Begins a step; it ends when dropped or by [`Step::done`].
    pub fn step(self, message: impl Into<String>) -> Step {
        let message = message.into();
        let bar = match self {
            Self::Terminal => {
                let style = ProgressStyle::with_template("{spinner:.cyan} {msg} {elapsed:.dim}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner());
                let bar = ProgressBar::new_spinner().with_style(style);
                bar.set_message(message.clone());
                bar.enable_steady_tick(Duration::from_millis(120));
                Some(bar)
            }
            Self::Lines => {
                eprintln!("… {message}");
                None
            }
            Self::Quiet => None,
        };
        Step {
            to: self,
            bar,
            message,
            began: Instant::now(),
        }
    }

    /// One line that stays.
    pub fn note(self, message: &str) {
        if self != Self::Quiet {
            eprintln!("  {message}");
        }
    }
}

/// A step under way.
#[derive(Debug)]
pub struct Step {
    to: Progress,
    bar: Option<ProgressBar>,
    message: String,
    began: Instant,
}

impl Step {
    /// What the step is doing now.
    pub fn update(&self, message: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}: {message}", self.message));
        }
    }

    /// Ends the step with its outcome.
    pub fn done(self, outcome: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.to != Progress::Quiet {
            let took = self.began.elapsed();
            let took = if took < Duration::from_mins(1) {
                format!("{:.1} s", took.as_secs_f64())
            } else {
                HumanDuration(took).to_string()
            };
            let outcome = if outcome.is_empty() {
                String::new()
            } else {
                format!(": {outcome}")
            };
            eprintln!("✓ {}{outcome} ({took})", self.message);
        }
    }
}
