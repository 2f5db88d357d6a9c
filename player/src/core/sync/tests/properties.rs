//! Whatever a control plane answers, and whenever.

use proptest::prelude::*;

use super::*;

/// No pause is longer, as long as the manifest asks for no longer one: a probe with a refused token, or a
/// `Retry-After` at its limit, each with its jitter.
const LONGEST_PAUSE_MS: u64 = MAX_RETRY_AFTER_S * 1_100 + 1_000;

fn success() -> impl Strategy<Value = Success> {
    prop_oneof![
        Just(Success::NotModified),
        (0u32..1_000, -1_000i64..100_000).prop_map(|(check_s, valid_s)| Success::Manifest {
            etag: None,
            manifest: manifest("other", check_s, valid_s),
        }),
        Just(Success::Unreadable {
            etag: None,
            reason: "broken".to_owned()
        }),
        Just(Success::Done { more: More::None }),
        Just(Success::Done { more: More::Waits }),
    ]
}

fn any_failure() -> impl Strategy<Value = Failure> {
    let status = prop::option::of(prop_oneof![
        Just(401u16),
        Just(403),
        Just(404),
        Just(429),
        Just(500),
        Just(503),
        300u16..600,
    ]);
    (status, prop::option::of(any::<u64>())).prop_map(|(status, retry_after_s)| Failure {
        status,
        retry_after_s,
        reason: String::new(),
    })
}

fn uploads() -> impl Strategy<Value = Upload> {
    prop_oneof![
        Just(Upload::Results),
        Just(Upload::Events),
        Just(Upload::Proofs)
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let lane = (0..Lane::ALL.len()).prop_map(|index| Lane::ALL[index]);
    prop_oneof![
        2 => Just(Event::Tick),
        1 => Just(Event::Refresh),
        1 => any::<u64>().prop_map(|dice| Event::Woken { dice }),
        1 => Just(Event::Registered),
        1 => uploads().prop_map(Event::NothingToSend),
        1 => uploads().prop_map(Event::Waiting),
        6 => (lane, prop_oneof![success().prop_map(Ok), any_failure().prop_map(Err)], any::<u64>())
            .prop_map(|(lane, result, dice)| Event::Answered { lane, result, dice }),
    ]
}

/// Follows what is in flight, and fails when that is more than one.
struct Watched {
    sync: Sync,
    in_flight: Option<Lane>,
    now_ms: u64,
}

impl Watched {
    fn started() -> Result<Self, TestCaseError> {
        let mut watched = Self {
            sync: Sync::default(),
            in_flight: None,
            now_ms: 0,
        };
        watched.step(Event::Started {
            known: None,
            dice: 0,
        })?;
        Ok(watched)
    }

    /// The kinds that were received or asked for.
    fn step(&mut self, event: Event) -> Result<Vec<Effect>, TestCaseError> {
        let ended = match &event {
            Event::Answered { lane, .. } => Some(*lane),
            Event::NothingToSend(upload) => Some(upload.lane()),
            _ => None,
        };
        self.in_flight.take_if(|asked| Some(*asked) == ended);
        let now = now_at(self.now_ms);
        let (sync, effects) = std::mem::take(&mut self.sync).step(event, now);
        self.sync = sync;
        for effect in &effects {
            if let Effect::Ask(request) = effect {
                let before = self.in_flight.replace(request.lane());
                prop_assert_eq!(before, None, "two requests in flight");
            }
        }
        if let Some(due) = self.sync.due() {
            prop_assert!(self.in_flight.is_none());
            let pause_ms = due.0.saturating_sub(self.now_ms);
            prop_assert!(pause_ms <= LONGEST_PAUSE_MS, "a pause of {pause_ms} ms");
        } else {
            prop_assert!(
                self.in_flight.is_some(),
                "nothing is due and nothing in flight"
            );
        }
        Ok(effects)
    }

    /// Answers what is in flight, or waits until something is due.
    fn go_on(&mut self, result: Result<Success, Failure>, dice: u64) -> Result<(), TestCaseError> {
        if let Some(lane) = self.in_flight {
            return self.step(Event::Answered { lane, result, dice }).map(drop);
        }
        self.now_ms = self
            .now_ms
            .max(self.sync.due().expect("checked by each step").0);
        self.step(Event::Tick).map(drop)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn one_request_at_most_is_in_flight_and_every_pause_has_a_bound(
        steps in prop::collection::vec((event(), 0u64..400_000), 1..120),
    ) {
        let mut watched = Watched::started()?;
        for (event, pass_ms) in steps {
            watched.now_ms += pass_ms;
            watched.step(event)?;
        }
    }

    #[test]
    fn an_outage_of_any_length_ends_in_a_sync(
        failures in prop::collection::vec((any_failure(), any::<u64>()), 0..300),
        dice: u64,
    ) {
        let mut watched = Watched::started()?;
        for (failure, dice) in failures {
            watched.go_on(Err(failure), dice)?;
        }
        let until = watched.now_ms + LONGEST_PAUSE_MS;
        let mut synced = false;
        while watched.now_ms <= until && !synced {
            let asked = watched.in_flight;
            let answer = match asked {
                Some(Lane::Manifest) => Success::NotModified,
                _ => Success::Done { more: More::None },
            };
            watched.go_on(Ok(answer), dice)?;
            synced = asked == Some(Lane::Manifest);
        }
        prop_assert!(synced);
        prop_assert!(watched.sync.is_online());
        prop_assert_ne!(watched.sync.phase(), Phase::Unregistered);
    }

    #[test]
    fn every_outage_that_is_told_is_told_to_be_over(
        answers in prop::collection::vec((any::<bool>(), any::<u64>()), 0..300),
    ) {
        let mut watched = Watched::started()?;
        let mut offline = false;
        for (answered, dice) in answers {
            let result = if answered { Ok(Success::NotModified) } else { Err(failure(0)) };
            let event = if let Some(lane) = watched.in_flight {
                Event::Answered { lane, result, dice }
            } else {
                watched.now_ms += 1_000_000;
                Event::Tick
            };
            for effect in watched.step(event)? {
                match effect {
                    Effect::Tell(PlayerEventKind::OfflineEntered { .. }) => {
                        prop_assert!(!std::mem::replace(&mut offline, true));
                    }
                    Effect::Tell(PlayerEventKind::OnlineRestored { .. }) => {
                        prop_assert!(std::mem::replace(&mut offline, false));
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(offline, !watched.sync.is_online());
        }
    }

    #[test]
    fn a_lane_that_always_fails_does_not_starve_another(
        failing in 0..Lane::ALL.len(),
        status in prop_oneof![Just(0u16), Just(429), Just(503), Just(404)],
        retry_after_s in prop::option::of(any::<u64>()),
        dice in prop::collection::vec(any::<u64>(), 600),
    ) {
        let failing = Lane::ALL[failing];
        let regular = if failing == Lane::Manifest { Lane::Heartbeat } else { Lane::Manifest };
        let mut watched = Watched::started()?;
        let mut succeeded_ms = 0;
        for dice in dice {
            watched.step(Event::Waiting(Upload::Events))?;
            let asked = watched.in_flight;
            let result = if asked == Some(failing) {
                Err(Failure {
                    retry_after_s,
                    ..failure(status)
                })
            } else {
                Ok(Success::Done { more: More::None })
            };
            watched.go_on(result, dice)?;
            if asked == Some(regular) {
                succeeded_ms = watched.now_ms;
            }
            let pause_ms = watched.now_ms - succeeded_ms;
            prop_assert!(pause_ms <= 2 * DEFAULT_CHECK_MS, "{regular:?} for {pause_ms} ms");
        }
        prop_assert!(watched.now_ms > 10 * DEFAULT_CHECK_MS);
    }
}
