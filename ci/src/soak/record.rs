//! What came of each cut: a line of JSON, appended before the next one is made.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// How the device stood when its power went, and how it was afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    pub(super) device: PathBuf,
    /// Counts updates, from 1; a cycle has one or more cuts.
    pub(super) cycle: u64,
    /// Since the update was offered, or since the power came back.
    pub(super) after_ms: u64,
    /// The update engine's state as last reported.
    pub(super) state: String,
    pub(super) outcome: Outcome,
    pub(super) detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Outcome {
    /// Another cut came before it settled; the cycle's last cut tells.
    CutAgain,
    /// Runs the release that was asked for, committed.
    Settled,
    /// Came back with the old release and said so; the next cycle asks again.
    FellBack,
    /// Committed another release than the one asked for.
    WrongSlot,
    /// Did not come back.
    Brick,
}

/// The file of records.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    earlier: Vec<Record>,
}

impl Log {
    /// Reads what an interrupted soak left. A torn last line is left out.
    pub(super) fn open(path: &Path) -> Result<Self> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        }
        let text = fs::read_to_string(path).unwrap_or_default();
        let records = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        Ok(Self {
            path: path.to_owned(),
            earlier: records.collect(),
        })
    }

    pub(super) fn records(&self) -> &[Record] {
        &self.earlier
    }

    pub(super) fn append(&self, record: &Record) -> Result<()> {
        let mut line = serde_json::to_string(record).context("writing a record")?;
        line.push('\n');
        File::options()
            .create(true)
            .append(true)
            .open(&self.path)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .with_context(|| format!("writing {}", self.path.display()))
    }
}

/// The sums.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) cuts: usize,
    pub(super) cycles: usize,
    pub(super) bricks: usize,
    pub(super) wrong_slots: usize,
    pub(super) fallbacks: usize,
    states: BTreeMap<String, usize>,
}

impl Tally {
    pub(super) fn of(records: &[Record]) -> Self {
        let mut tally = Self::default();
        for record in records {
            tally.add(record);
        }
        tally
    }

    pub(super) fn add(&mut self, record: &Record) {
        self.cuts += 1;
        *self.states.entry(record.state.clone()).or_default() += 1;
        match record.outcome {
            Outcome::CutAgain => {}
            Outcome::Settled => self.cycles += 1,
            Outcome::FellBack => {
                self.cycles += 1;
                self.fallbacks += 1;
            }
            Outcome::WrongSlot => {
                self.cycles += 1;
                self.wrong_slots += 1;
            }
            Outcome::Brick => self.bricks += 1,
        }
    }

    pub(super) fn line(&self) -> String {
        format!(
            "{} cuts, {} cycles: {} bricks, {} wrong slots, {} fallbacks",
            self.cuts, self.cycles, self.bricks, self.wrong_slots, self.fallbacks
        )
    }

    pub(super) fn by_state(&self) -> String {
        let parts: Vec<String> = self
            .states
            .iter()
            .map(|(state, count)| format!("{state} {count}"))
            .collect();
        format!("Cut while: {}", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(outcome: Outcome) -> Record {
        Record {
            device: PathBuf::from("device-0"),
            cycle: 1,
            after_ms: 5,
            state: "installing".to_owned(),
            outcome,
            detail: String::new(),
        }
    }

    #[test]
    fn an_interrupted_soak_goes_on_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cuts.jsonl");
        let log = Log::open(&path).unwrap();
        log.append(&record(Outcome::CutAgain)).unwrap();
        log.append(&record(Outcome::Settled)).unwrap();
        fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"{\"torn")
            .unwrap();
        let tally = Tally::of(Log::open(&path).unwrap().records());
        assert_eq!((tally.cuts, tally.cycles, tally.bricks), (2, 1, 0));
    }
}
