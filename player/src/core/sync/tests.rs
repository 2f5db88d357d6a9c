//! A conversation with a control plane that answers as it is told, on a clock that the test moves.

mod lanes;
mod properties;
mod token;

use serde_json::json;

use super::*;

const NOON: i64 = 1_800_000_000;

pub(super) fn now_at(ms: u64) -> Now {
    let wall = NOON * 1_000 + i64::try_from(ms).unwrap();
    Now {
        wall: Timestamp::from_millisecond(wall).unwrap(),
        mono: Monotonic(ms),
    }
}

/// Valid for `valid_s` from the test's beginning.
pub(super) fn manifest(etag: &str, check_s: u32, valid_s: i64) -> Box<Manifest> {
    let text = json!({
        "manifestEtag": etag,
        "validToUtc": Timestamp::from_second(NOON + valid_s).unwrap(),
        "nextCheckSeconds": check_s,
        "playlist": null,
    });
    Box::new(Manifest::parse(text.to_string().as_bytes()).unwrap())
}

pub(super) fn failure(status: u16) -> Failure {
    Failure {
        status: (status != 0).then_some(status),
        retry_after_s: None,
        reason: "told to".to_owned(),
    }
}

const DAY_S: i64 = 86_400;

struct Bench {
    sync: Sync,
    now_ms: u64,
    dice: u64,
    /// What was asked and told, with the second.
    log: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self::unstarted();
        bench.start(None);
        bench
    }

    fn unstarted() -> Self {
        Self {
            sync: Sync::default(),
            now_ms: 0,
            dice: 6_000,
            log: Vec::new(),
        }
    }

    fn start(&mut self, known: Option<Known>) {
        let dice = self.dice;
        self.step(Event::Started { known, dice });
    }

    fn step(&mut self, event: Event) {
        let (sync, effects) = std::mem::take(&mut self.sync).step(event, now_at(self.now_ms));
        self.sync = sync;
        let second = self.now_ms / 1_000;
        for effect in effects {
            self.log.push(match effect {
                Effect::Ask(Request::Manifest { etag }) => {
                    format!("{second} manifest {}", etag.unwrap_or_default())
                }
                Effect::Ask(request) => format!("{second} {:?}", request.lane()),
                Effect::Received(manifest) => format!("{second} got {}", manifest.manifest_etag),
                Effect::Tell(kind) => {
                    let json = serde_json::to_value(&kind).unwrap();
                    format!("{second} {}", json["eventType"].as_str().unwrap())
                }
                other => format!("{second} {other:?}"),
            });
        }
    }

    /// Ends the request that is in flight.
    fn answer(&mut self, result: Result<Success, Failure>) {
        let lane = self.sync.in_flight.expect("a request is in flight");
        let dice = self.dice;
        self.step(Event::Answered { lane, result, dice });
    }

    /// The same answer until the next manifest is asked for; everything else succeeds.
    fn run_until_manifest(&mut self) {
        while self.sync.in_flight != Some(Lane::Manifest) {
            if self.sync.in_flight.is_some() {
                self.answer(Ok(Success::Done { more: More::None }));
            } else {
                self.wait();
            }
        }
    }

    /// Until something is due.
    fn wait(&mut self) {
        self.now_ms = self.now_ms.max(self.sync.due().unwrap().0);
        self.step(Event::Tick);
    }

    fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    fn received(&mut self, check_s: u32, valid_s: i64) {
        self.answer(Ok(Success::Manifest {
            etag: Some("\"one\"".to_owned()),
            manifest: manifest("one", check_s, valid_s),
        }));
    }
}

#[test]
fn manifest_commands_and_heartbeat_follow_one_another_at_the_manifests_pace() {
    let mut bench = Bench::new();
    bench.received(60, DAY_S);
    for _ in 0..2 {
        bench.answer(Ok(Success::Done { more: More::None }));
    }
    assert_eq!(bench.sync.phase(), Phase::Waiting);
    bench.run_until_manifest();
    let asked = ["0 manifest ", "0 got one", "0 Commands", "0 Heartbeat"];
    assert_eq!(bench.take()[..4], asked);
    bench.answer(Ok(Success::NotModified));
    bench.answer(Ok(Success::Done { more: More::None }));
    // Six seconds of jitter on nine tenths of the interval.
    assert_eq!(bench.take(), ["60 Commands", "60 Heartbeat"]);
}

#[test]
fn what_is_known_from_the_disk_is_asked_for_by_its_tag() {
    let mut bench = Bench::unstarted();
    bench.step(Event::Tick);
    bench.start(Some(Known::from(&*manifest("kept", 60, DAY_S))));
    bench.now_ms = START_SPREAD_MS;
    bench.step(Event::Tick);
    assert_eq!(bench.take().last().unwrap(), "0 manifest \"kept\"");
}

#[test]
fn near_its_end_a_manifest_is_asked_for_more_often_and_then_no_more() {
    let check = |valid_s: i64, expected_s: &[u64]| {
        let mut bench = Bench::new();
        bench.received(600, valid_s);
        let mut asked = Vec::new();
        for _ in expected_s {
            bench.run_until_manifest();
            asked.push(bench.now_ms / 1_000);
            bench.answer(Ok(Success::NotModified));
        }
        assert_eq!(asked, expected_s, "{valid_s}");
    };
    check(DAY_S, &[546, 1_092]);
    check(400, &[200, 300, 350, 380, 410, 956]);
}

#[test]
fn failures_are_told_at_their_doublings_and_an_outage_once() {
    let mut bench = Bench::new();
    bench.received(60, DAY_S);
    for _ in 0..2 {
        bench.answer(Ok(Success::Done { more: More::None }));
    }
    bench.take();
    let mut told = Vec::new();
    for _ in 0..200 {
        if bench.sync.in_flight.is_none() {
            bench.wait();
        }
        bench.answer(Err(failure(0)));
        told.extend(bench.take().into_iter().filter(|line| line.contains('_')));
        assert!(!bench.sync.is_online() || told.len() < 2);
    }
    let count = |name: &str| told.iter().filter(|line| line.ends_with(name)).count();
    assert_eq!(count("OFFLINE_ENTERED"), 1);
    let fetches = count("MANIFEST_FETCH_FAILED");
    assert!((6..=8).contains(&fetches), "{told:?}");
    assert_eq!(bench.sync.phase(), Phase::OfflineBackoff);

    bench.wait();
    bench.take();
    bench.answer(Ok(Success::NotModified));
    assert!(bench.take()[0].ends_with("ONLINE_RESTORED"));
    assert!(bench.sync.is_online());
}

#[test]
fn when_an_outage_is_over_everything_is_asked_for_at_once() {
    let mut bench = Bench::new();
    for _ in 0..60 {
        bench.answer(Err(failure(0)));
        bench.wait();
    }
    bench.take();
    let second = bench.now_ms / 1_000;
    for _ in Lane::REGULAR {
        bench.answer(Ok(Success::Done { more: More::None }));
    }
    let asked = bench.take().join("\n");
    for lane in ["manifest", "Commands", "Heartbeat"] {
        let was_first = !asked.contains(lane);
        assert!(
            was_first || asked.contains(&format!("{second} {lane}")),
            "{asked}"
        );
    }
    assert_eq!(bench.now_ms / 1_000, second);
    assert_eq!(bench.sync.phase(), Phase::Waiting, "{asked}");
}

#[test]
fn one_lost_request_is_no_outage() {
    let mut bench = Bench::new();
    bench.answer(Err(failure(0)));
    bench.wait();
    bench.answer(Ok(Success::NotModified));
    let told = bench.take().join("\n");
    assert!(
        !told.contains("OFFLINE") && !told.contains("ONLINE"),
        "{told}"
    );
}

#[test]
fn a_retry_after_is_kept_by_its_lane_also_against_a_refresh() {
    let check = |seconds: u64, expected_s: std::ops::RangeInclusive<u64>| {
        let mut bench = Bench::new();
        let mut busy = failure(429);
        busy.retry_after_s = Some(seconds);
        bench.answer(Err(busy));
        bench.step(Event::Refresh);
        assert_eq!(bench.sync.in_flight, Some(Lane::Commands), "others go on");
        bench.run_until_manifest();
        assert!(expected_s.contains(&(bench.now_ms / 1_000)), "{seconds}");
    };
    check(120, 120..=132);
    check(1_000_000, MAX_RETRY_AFTER_S..=MAX_RETRY_AFTER_S * 11 / 10);
}

#[test]
fn a_refresh_asks_at_once_whatever_was_due_when() {
    let mut bench = Bench::new();
    // While it is asked for already: once more.
    bench.step(Event::Refresh);
    bench.received(600, DAY_S);
    assert_eq!(bench.take().last().unwrap(), "0 manifest \"one\"");
    bench.answer(Ok(Success::NotModified));
    for _ in 0..2 {
        bench.answer(Ok(Success::Done { more: More::None }));
    }
    bench.now_ms = 5_000;
    bench.step(Event::Refresh);
    assert_eq!(bench.take().last().unwrap(), "5 manifest \"one\"");
    // In a pause of its own choice.
    bench.answer(Err(failure(0)));
    bench.step(Event::Refresh);
    assert_eq!(bench.take().last().unwrap(), "5 manifest \"one\"");
}

#[test]
fn woken_it_asks_within_seconds_and_not_while_it_backs_off() {
    let mut bench = Bench::new();
    bench.received(600, DAY_S);
    while bench.sync.in_flight.is_some() {
        bench.answer(Ok(Success::Done { more: More::None }));
    }
    bench.take();
    bench.now_ms = 100_000;
    bench.step(Event::Woken { dice: 3_000 });
    assert_eq!(bench.sync.in_flight, None);
    bench.run_until_manifest();
    assert_eq!(bench.now_ms / 1_000, 103);
    bench.answer(Err(failure(0)));
    bench.take();
    bench.step(Event::Woken { dice: 0 });
    assert_ne!(bench.sync.in_flight, Some(Lane::Manifest));
}

#[test]
fn a_manifest_that_cannot_be_read_is_told_once_and_the_one_in_force_stays() {
    let mut bench = Bench::new();
    bench.received(60, DAY_S);
    let bad = |reason: &str| {
        Ok(Success::Unreadable {
            etag: Some("\"two\"".to_owned()),
            reason: reason.to_owned(),
        })
    };
    let mut rejected = 0;
    for reason in ["a", "a", "b"] {
        bench.run_until_manifest();
        assert!(bench.take().last().unwrap().ends_with("manifest \"one\""));
        bench.answer(bad(reason));
        let told = bench.take().join("\n");
        rejected += u32::from(told.contains("MANIFEST_REJECTED"));
        assert!(!told.contains("got"), "{told}");
    }
    assert_eq!(rejected, 2);
}

#[test]
fn rows_are_gathered_and_results_are_not() {
    let check = |upload: Upload, pause_ms: u64| {
        let mut bench = Bench::new();
        bench.received(3_600, DAY_S);
        for _ in 0..2 {
            bench.answer(Ok(Success::Done { more: More::None }));
        }
        bench.now_ms = 60_000;
        bench.step(Event::Waiting(upload));
        bench.step(Event::Waiting(upload));
        if bench.sync.in_flight.is_none() {
            bench.wait();
        }
        assert_eq!(bench.now_ms, 60_000 + pause_ms, "{upload:?}");
        assert_eq!(bench.sync.in_flight, Some(upload.lane()));
        bench.answer(Ok(Success::Done { more: More::Waits }));
        let next = bench.sync.due().map_or(bench.now_ms, |due| due.0);
        assert_eq!(next, 60_000 + 2 * pause_ms, "what is left goes next");
    };
    check(Upload::Results, 0);
    check(Upload::Events, 10_000);
    check(Upload::Proofs, 10_000);
}

#[test]
fn a_heartbeat_tells_of_failed_fetches_until_it_is_acknowledged() {
    let mut bench = Bench::new();
    bench.answer(Err(failure(500)));
    while bench.sync.in_flight != Some(Lane::Heartbeat) {
        if bench.sync.in_flight.is_some() {
            bench.answer(Ok(Success::Done { more: More::None }));
        } else {
            bench.wait();
        }
    }
    assert_eq!(bench.sync.manifest_fetch_failures(), 1);
    bench.answer(Err(failure(500)));
    assert_eq!(bench.sync.manifest_fetch_failures(), 1);
    while bench.sync.in_flight != Some(Lane::Heartbeat) {
        bench.wait();
        if bench.sync.in_flight == Some(Lane::Manifest) {
            bench.answer(Ok(Success::NotModified));
        }
    }
    bench.answer(Ok(Success::Done { more: More::None }));
    assert_eq!(bench.sync.manifest_fetch_failures(), 0);
}

#[test]
fn an_answer_to_what_was_not_asked_changes_nothing() {
    let mut bench = Bench::new();
    let before = bench.sync.clone();
    let result = Ok(Success::NotModified);
    let lane = Lane::Heartbeat;
    bench.step(Event::Answered {
        lane,
        result,
        dice: 0,
    });
    assert_eq!(bench.sync, before);
}
