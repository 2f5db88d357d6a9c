use proptest::prelude::*;

use super::*;
use crate::core::fixtures::{NOW, at};

const LIMITS: Limits = Limits {
    max_events: 4,
    max_age_s: 100,
};

fn id(number: usize) -> EventId {
    format!("evt_{number}").parse().unwrap()
}

fn event(number: usize, severity: Severity, second: i64) -> Event {
    Event {
        event_id: id(number),
        event_type: EventKind::AgentStarted,
        event_time_utc: at(second),
        severity,
        payload: serde_json::Value::Null,
    }
}

fn check(severities: &[Severity], expected: &[usize]) {
    let mut spool = Spool::default();
    for (number, severity) in severities.iter().enumerate() {
        spool = spool.push(event(number, *severity, NOW), at(NOW), LIMITS).0;
    }
    let kept: Vec<_> = spool.batch().into_iter().map(|e| e.event_id).collect();
    let expected: Vec<_> = expected.iter().map(|n| id(*n)).collect();
    assert_eq!(kept, expected, "{severities:?}");
}

#[test]
fn the_oldest_of_the_least_severe_goes_first() {
    use Severity::{Error, Info, Warning};
    check(&[Info, Info, Info, Info, Info], &[1, 2, 3, 4]);
    check(&[Error, Info, Error, Info, Error], &[0, 2, 3, 4]);
    check(&[Error, Warning, Error, Error, Error, Error], &[2, 3, 4, 5]);
    check(&[Error, Error, Error, Error, Info], &[0, 1, 2, 3]);
}

#[test]
fn what_is_too_old_goes_and_the_loss_is_told_once() {
    let (spool, _) = Spool::default().push(event(1, Severity::Error, NOW), at(NOW), LIMITS);
    let (spool, changes) = spool.trim(at(NOW + 101), LIMITS);
    assert_eq!(changes, [Change::Removed(vec![id(1)])]);
    let (spool, told) = spool.take_dropped(id(9), at(NOW + 101));
    let told = told.unwrap();
    assert_eq!(told.event_type, EventKind::EventsDropped);
    assert_eq!(told.payload["count"], 1);
    assert_eq!(spool.take_dropped(id(10), at(NOW + 102)).1, None);
}

#[test]
fn an_acknowledged_event_is_gone_and_one_that_comes_twice_is_kept_once() {
    let mut spool = Spool::default();
    for number in [1, 2, 1] {
        spool = spool
            .push(event(number, Severity::Info, NOW), at(NOW), LIMITS)
            .0;
    }
    assert_eq!(spool.len(), 2);
    let (spool, _) = spool.acknowledge(&[id(1), id(7)]);
    assert_eq!(spool.batch().len(), 1);
}

#[test]
fn a_batch_fits_in_a_request_and_holds_at_least_one_event() {
    let limits = Limits {
        max_events: 200,
        max_age_s: 100,
    };
    let check = |payload_bytes: usize, expected: usize| {
        let mut spool = Spool::default();
        for number in 0..150 {
            let mut event = event(number, Severity::Info, NOW);
            event.payload = serde_json::Value::String("x".repeat(payload_bytes));
            spool = spool.push(event, at(NOW), limits).0;
        }
        assert_eq!(spool.batch().len(), expected, "{payload_bytes}");
    };
    check(10, MAX_EVENTS_PER_BATCH);
    check(MAX_BATCH_BYTES / 10, 9);
    check(MAX_BATCH_BYTES, 1);
}

proptest! {
    #[test]
    fn nothing_is_lost_without_being_counted(
        events in prop::collection::vec((0u8..3, 0i64..200), 0..150), acknowledged in 0usize..50,
    ) {
        let limits = Limits { max_events: 50, max_age_s: 150 };
        let mut spool = Spool::default();
        let count = events.len();
        for (number, (severity, second)) in events.into_iter().enumerate() {
            let severity = [Severity::Info, Severity::Warning, Severity::Error][usize::from(severity)];
            spool = spool.push(event(number, severity, NOW + second), at(NOW + 200), limits).0;
            prop_assert!(spool.len() <= limits.max_events);
        }
        prop_assert_eq!(spool.len() + spool.dropped() as usize, count);
        let ids: Vec<_> = spool.batch().into_iter().take(acknowledged).map(|e| e.event_id).collect();
        let before = spool.len();
        let (spool, _) = spool.acknowledge(&ids);
        prop_assert_eq!(spool.len(), before - ids.len());
        let json = serde_json::to_string(&spool).unwrap();
        prop_assert_eq!(serde_json::from_str::<Spool>(&json).unwrap(), spool);
    }
}
