//! Whether the entries of an exported record follow one another, by nothing but the file.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use fleet_protocol::Sha256;
use fleet_protocol::access::{AuditCheck, AuditEntry};

use crate::error::{CommandError, Result};

/// Longer lines are no entries.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// Follows the entries one by one.
#[derive(Debug)]
pub struct Chain {
    sequence: u64,
    hash: Sha256,
    broken_at: Option<u64>,
}

impl Chain {
    #[expect(clippy::new_without_default, reason = "a beginning, not a default")]
    pub fn new() -> Self {
        Self {
            sequence: 0,
            hash: Sha256::from_bytes([0; 32]),
            broken_at: None,
        }
    }

    /// A line that is no entry breaks the chain as a missing one does.
    fn follow(&mut self, line: &[u8]) {
        if self.broken_at.is_some() {
            return;
        }
        match serde_json::from_slice::<AuditEntry>(line) {
            Ok(entry) if entry.follows(self.sequence, &self.hash) => {
                self.sequence = entry.sequence;
                self.hash = entry.hash.unwrap_or(self.hash);
            }
            _ => self.broken_at = Some(self.sequence + 1),
        }
    }

    /// Every line of `from`; `seen` is told the head after each.
    ///
    /// # Errors
    /// When `from` can't be read.
    pub fn follow_all(
        &mut self,
        mut from: impl BufRead,
        mut seen: impl FnMut(&Sha256),
    ) -> std::io::Result<()> {
        use std::io::Read as _;
        let mut line = Vec::new();
        loop {
            line.clear();
            from.by_ref()
                .take(MAX_LINE_BYTES)
                .read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Ok(());
            }
            self.follow(&line);
            seen(&self.hash);
        }
    }

    /// How it stands after what was followed so far.
    pub fn check(&self) -> AuditCheck {
        AuditCheck {
            entries: self.sequence,
            head: self.hash,
            broken_at: self.broken_at,
        }
    }
}

/// # Errors
/// When the file can't be read, or holds no entry, or not the `head`.
pub(super) fn check_file(path: &Path, head: Option<Sha256>) -> Result<AuditCheck> {
    let fail = |e| CommandError::io(format!("cannot read {}", path.display()), e);
    let file = File::open(path).map_err(fail)?;
    let mut chain = Chain::new();
    let mut found = head.is_none();
    chain
        .follow_all(BufReader::new(file), |hash| found |= head == Some(*hash))
        .map_err(fail)?;
    let check = chain.check();
    if check.entries == 0 && check.broken_at.is_none() {
        return Err(
            CommandError::failed(format!("{} holds no entry", path.display()))
                .hint("export the record anew: fleet audit export FILE"),
        );
    }
    if !found && check.broken_at.is_none() {
        return Err(CommandError::failed(format!(
            "the record in {} ends before the head that was noted, or is another one",
            path.display()
        ))
        .hint("export it anew; if that is alike, entries were cut off"));
    }
    Ok(check)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet_protocol::access::AuditOutcome;
    use proptest::prelude::*;

    fn record(count: u64) -> Vec<AuditEntry> {
        let mut hash = Sha256::from_bytes([0; 32]);
        let mut entries = Vec::new();
        for sequence in 1..=count {
            let mut entry = AuditEntry {
                tenant_id: "ten_a".parse().unwrap(),
                sequence,
                at: jiff::Timestamp::UNIX_EPOCH,
                actor_id: "usr_ada".to_owned(),
                actor: "ada@example.org".to_owned(),
                action: "POST /v1/rollouts".to_owned(),
                subject: "/v1/rollouts".to_owned(),
                outcome: AuditOutcome::Done,
                status: 201,
                address: "192.0.2.7".to_owned(),
                request_id: format!("req_{sequence}"),
                previous_hash: hash,
                hash: None,
            };
            hash = entry.expected_hash();
            entry.hash = Some(hash);
            entries.push(entry);
        }
        entries
    }

    fn lines(entries: &[AuditEntry]) -> String {
        let line = |entry| serde_json::to_string(entry).unwrap() + "\n";
        entries.iter().map(line).collect()
    }

    fn check(text: &str) -> AuditCheck {
        let mut chain = Chain::new();
        chain.follow_all(text.as_bytes(), |_| {}).unwrap();
        chain.check()
    }

    #[test]
    fn a_record_as_it_was_written_holds_and_has_its_head() {
        let entries = record(5);
        let whole = check(&lines(&entries));
        assert_eq!((whole.entries, whole.broken_at), (5, None));
        assert_eq!(Some(whole.head), entries[4].hash);
    }

    #[test]
    fn an_altered_missing_or_swapped_entry_is_named() {
        let broken = |entries: &[AuditEntry]| check(&lines(entries)).broken_at;
        let mut altered = record(5);
        altered[2].actor = "nobody".to_owned();
        assert_eq!(broken(&altered), Some(3));
        let mut missing = record(5);
        missing.remove(1);
        assert_eq!(broken(&missing), Some(2));
        let mut swapped = record(5);
        swapped.swap(0, 1);
        assert_eq!(broken(&swapped), Some(1));
        let text = lines(&record(3)) + "not an entry\n";
        assert_eq!(check(&text).broken_at, Some(4));
    }

    #[test]
    fn a_cut_off_end_shows_by_the_head_that_was_noted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.ndjson");
        let entries = record(4);
        let write = |count: usize| std::fs::write(&path, lines(&entries[..count])).unwrap();
        write(4);
        assert!(check_file(&path, entries[2].hash).is_ok());
        write(2);
        assert!(check_file(&path, None).is_ok());
        let error = check_file(&path, entries[2].hash).unwrap_err();
        assert!(error.message.contains("ends before the head"), "{error}");
        write(0);
        assert!(check_file(&path, None).is_err());
    }

    proptest! {
        #[test]
        fn any_other_byte_is_noticed(at in 0usize..600, other in 0u8..128) {
            let text = lines(&record(2));
            let mut bytes = text.clone().into_bytes();
            let at = at % bytes.len();
            prop_assume!(bytes[at] != other);
            bytes[at] = other;
            let mut chain = Chain::new();
            chain.follow_all(bytes.as_slice(), |_| {}).unwrap();
            let found = chain.check();
            let read: Vec<AuditEntry> = bytes
                .split(|byte| *byte == b'\n')
                .filter_map(|line| serde_json::from_slice(line).ok())
                .collect();
            // JSON may say the same in other bytes, such as `t` for `T` in an instant.
            prop_assert!(found.broken_at.is_some() || read == record(2), "{}", String::from_utf8_lossy(&bytes));
        }
    }
}
