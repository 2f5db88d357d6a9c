//! A journal, a receiver that drops batches it has, and everything between them that can go wrong.

use std::collections::BTreeSet;

use fleet_protocol::player::{PlayOutcome, PlayerEventKind};
use proptest::prelude::*;

use super::rows::MAX_BATCH_BYTES;
use super::*;

const NOON: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(NOON + second).unwrap()
}

fn event(number: i64) -> PlayerEvent {
    let kind = PlayerEventKind::ManifestStaged {
        manifest_etag: number.to_string(),
    };
    PlayerEvent::new(kind, at(number))
}

fn proof(number: i64) -> ProofOfPlay {
    ProofOfPlay {
        asset_id: format!("ast_{number}").parse().unwrap(),
        playlist_id: "pl_1".parse().unwrap(),
        published_version: 1,
        started_at_utc: at(number - 10),
        ended_at_utc: at(number),
        duration_ms: 10_000,
        outcome: PlayOutcome::Completed,
    }
}

fn journal() -> Journal {
    Journal::in_memory(Limits::default())
}

#[test]
fn rows_are_delivered_oldest_first_and_a_hundred_at_a_time() {
    let mut journal = journal();
    for number in 0..250 {
        journal.record(&event(number), at(number)).unwrap();
        journal.record(&proof(number), at(number)).unwrap();
    }
    let mut numbers = Vec::new();
    for (size, left) in [(100, true), (100, true), (50, false)] {
        let batch = journal.draw::<PlayerEvent>(at(250)).unwrap().unwrap();
        assert_eq!(batch.rows.len(), size);
        numbers.extend(batch.rows);
        let more = journal.acknowledge(Stream::Events, &batch.id).unwrap();
        assert_eq!(more, left);
    }
    assert_eq!(numbers, (0..250).map(event).collect::<Vec<_>>());
    assert_eq!(journal.draw::<PlayerEvent>(at(250)).unwrap(), None);
    assert_eq!(journal.waiting(Stream::Proofs).unwrap(), 250);
}

#[test]
fn a_batch_stays_the_same_until_it_is_acknowledged_also_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let open = || Journal::open(&path, Limits::default()).unwrap();
    let mut journal = open();
    journal.record(&proof(1), at(1)).unwrap();
    let first = journal.draw::<ProofOfPlay>(at(1)).unwrap().unwrap();
    journal.record(&proof(2), at(2)).unwrap();
    drop(journal);
    let mut journal = open();
    assert_eq!(journal.draw::<ProofOfPlay>(at(2)).unwrap().unwrap(), first);
    // Somebody else's batch is no news.
    let other = "bat_other".parse().unwrap();
    journal.acknowledge(Stream::Proofs, &other).unwrap();
    journal.acknowledge(Stream::Events, &first.id).unwrap();
    assert_eq!(journal.waiting(Stream::Proofs).unwrap(), 2);
    journal.acknowledge(Stream::Proofs, &first.id).unwrap();
    let second = journal.draw::<ProofOfPlay>(at(2)).unwrap().unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!(second.rows, [proof(2)]);
}

#[test]
fn what_is_too_old_or_too_much_goes_and_is_counted() {
    let limits = Limits {
        max_rows: 5,
        max_age_s: 100,
    };
    let mut journal = Journal::in_memory(limits);
    for number in 0..8 {
        journal.record(&event(number), at(number)).unwrap();
    }
    assert_eq!(journal.dropped(Stream::Events).unwrap(), 3);
    let batch = journal.draw::<PlayerEvent>(at(105)).unwrap().unwrap();
    assert_eq!(batch.rows, [event(5), event(6), event(7)]);
    assert_eq!(journal.dropped(Stream::Events).unwrap(), 5);
    // An open batch loses what is too old, and gains nothing.
    journal.record(&event(100), at(106)).unwrap();
    let later = journal.draw::<PlayerEvent>(at(106)).unwrap().unwrap();
    assert_eq!(later.id, batch.id);
    assert_eq!(later.rows, [event(6), event(7)]);
    assert_eq!(journal.dropped(Stream::Proofs).unwrap(), 0);
}

#[test]
fn a_batch_is_no_larger_than_a_request_may_be() {
    let mut journal = journal();
    let kind = |text: &str| PlayerEventKind::ErrorScreenEntered {
        reason: text.to_owned(),
    };
    let large = PlayerEvent::new(kind(&"x".repeat(MAX_BATCH_BYTES / 2)), at(0));
    let huge = PlayerEvent::new(kind(&"x".repeat(MAX_BATCH_BYTES + 1)), at(0));
    for row in [&large, &large, &huge] {
        journal.record(row, at(0)).unwrap();
    }
    for expected in [&large, &large, &huge] {
        let batch = journal.draw::<PlayerEvent>(at(0)).unwrap().unwrap();
        assert!(batch.rows == [expected.clone()]);
        journal.acknowledge(Stream::Events, &batch.id).unwrap();
    }
}

#[test]
fn rows_of_another_version_do_not_hold_up_those_behind_them() {
    let mut journal = journal();
    journal
        .db
        .execute_batch("INSERT INTO entry (stream, at_ms, json) VALUES (0, 1800000000000, '{}')")
        .unwrap();
    assert_eq!(journal.draw::<PlayerEvent>(at(0)).unwrap(), None);
    assert_eq!(journal.dropped(Stream::Events).unwrap(), 1);
    journal.record(&event(1), at(1)).unwrap();
    assert!(journal.draw::<PlayerEvent>(at(1)).unwrap().is_some());
}

#[test]
fn a_state_is_kept_by_its_name_and_one_that_is_not_understood_is_none() {
    let mut journal = journal();
    assert_eq!(journal.kept::<u32>("a").unwrap(), None);
    journal.keep("a", &1).unwrap();
    journal.keep("a", &2).unwrap();
    assert_eq!(journal.kept::<u32>("a").unwrap(), Some(2));
    assert_eq!(journal.kept::<Vec<String>>("a").unwrap(), None);
}

#[test]
fn a_damaged_file_is_set_aside_and_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    std::fs::write(&path, vec![7; 10_000]).unwrap();
    let mut journal = Journal::open(&path, Limits::default()).unwrap();
    journal.record(&event(1), at(1)).unwrap();
    assert!(folder.path().join("journal.db.damaged").exists());
    assert_eq!(journal.waiting(Stream::Events).unwrap(), 1);
}

#[test]
fn damage_under_way_costs_the_rows_and_not_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let mut journal = Journal::open(&path, Limits::default()).unwrap();
    for number in 0..500 {
        journal.record(&event(number), at(number)).unwrap();
    }
    drop(journal);
    let mut bytes = std::fs::read(&path).unwrap();
    // The first page, with the tables, is left.
    bytes[4_096..].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let mut journal = Journal::open(&path, Limits::default()).unwrap();
    for number in 0..3 {
        journal.record(&event(number), at(number)).unwrap();
    }
    let batch = journal.draw::<PlayerEvent>(at(3)).unwrap().unwrap();
    assert_eq!(batch.rows, [event(0), event(1), event(2)]);
}

#[test]
fn a_folder_that_takes_no_file_is_an_error_with_the_path() {
    let path = Path::new("/proc/nowhere/journal.db");
    let error = Journal::open(path, Limits::default()).unwrap_err();
    assert!(error.to_string().contains("/proc/nowhere"), "{error}");
}

/// Delivers one batch, whose acknowledgement may be lost.
fn deliver(journal: &mut Journal, seen: &mut BTreeSet<BatchId>, got: &mut Vec<i64>, lost: bool) {
    let Some(batch) = journal.draw::<ProofOfPlay>(at(0)).unwrap() else {
        return;
    };
    if seen.insert(batch.id.clone()) {
        got.extend(
            batch
                .rows
                .iter()
                .map(|row| row.ended_at_utc.as_second() - NOON),
        );
    }
    if !lost {
        journal.acknowledge(Stream::Proofs, &batch.id).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_row_arrives_exactly_once_whatever_is_lost_or_restarted(
        steps in prop::collection::vec(0u8..8, 1..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let open = || Journal::open(&path, Limits::default()).unwrap();
        let mut journal = open();
        let (mut seen, mut got) = (BTreeSet::new(), Vec::new());
        let mut recorded = 0;
        for step in steps {
            match step {
                0..4 => {
                    for _ in 0..=i64::from(step) * 30 {
                        journal.record(&proof(recorded), at(0)).unwrap();
                        recorded += 1;
                    }
                }
                4 => deliver(&mut journal, &mut seen, &mut got, false),
                // The answer is lost on its way.
                5 => deliver(&mut journal, &mut seen, &mut got, true),
                // Stopped before it was sent.
                6 => drop(journal.draw::<ProofOfPlay>(at(0)).unwrap()),
                _ => {
                    drop(journal);
                    journal = open();
                }
            }
        }
        while journal.waiting(Stream::Proofs).unwrap() > 0 {
            deliver(&mut journal, &mut seen, &mut got, false);
        }
        prop_assert_eq!(got, (0..recorded).collect::<Vec<_>>());
    }
}
