//! What a check of the layer found, as lines that say where and what to do.

use std::path::Path;

use anyhow::{Result, bail};

/// Findings of one or more checks, in the order in which they were made.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings(Vec<String>);

impl Findings {
    pub(super) fn add(&mut self, place: &Path, what: impl AsRef<str>) {
        self.0
            .push(format!("{}: {}", place.display(), what.as_ref()));
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Nothing when there is nothing to say.
    pub(super) fn summary(&self) -> String {
        match self.0.len() {
            0 => String::new(),
            1 => "1 finding".to_owned(),
            many => format!("{many} findings"),
        }
    }

    pub(super) fn into_result(self) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        bail!("{}", self.0.join("\n"))
    }

    #[cfg(test)]
    pub(super) fn lines(&self) -> &[String] {
        &self.0
    }
}
