//! A device and its control plane through clocks that go wrong in every way, and come right again.

use super::*;

const DAY: i64 = 86_400;
const BUILT: i64 = 20_000 * DAY;
/// As the control plane issues its own.
const SERVER_LIFE: i64 = 397 * DAY;
const RENEW_BEFORE: i64 = 30 * DAY;
const YEAR_2099: i64 = 73 * 365 * DAY;

#[derive(Debug, Clone)]
enum Happens {
    /// Heartbeats of a minute, this many.
    Online(i64),
    Offline {
        seconds: i64,
    },
    /// Power is cut for so long; the clock of the board is as far off as the last says.
    Off {
        seconds: i64,
        wall_error: i64,
    },
    /// The local clock jumps, and is written down.
    LocalGlitch {
        error: i64,
    },
    /// The control plane's clock is wrong for so many heartbeats; it may be started anew meanwhile.
    ServerGlitch {
        error: i64,
        heartbeats: i64,
        restarts: bool,
    },
    TimeService(bool),
}

fn happens() -> impl Strategy<Value = Happens> {
    let error = || prop_oneof![Just(YEAR_2099), Just(-BUILT), -400 * DAY..400 * DAY];
    prop_oneof![
        (1i64..50).prop_map(Happens::Online),
        (0..40 * DAY).prop_map(|seconds| Happens::Offline { seconds }),
        (0..60 * DAY, prop_oneof![Just(0), error()]).prop_map(|(seconds, wall_error)| {
            Happens::Off {
                seconds,
                wall_error,
            }
        }),
        error().prop_map(|error| Happens::LocalGlitch { error }),
        (error(), 1i64..500, any::<bool>()).prop_map(|(error, heartbeats, restarts)| {
            Happens::ServerGlitch {
                error,
                heartbeats,
                restarts,
            }
        }),
        any::<bool>().prop_map(Happens::TimeService),
    ]
}

struct World {
    truth: i64,
    booted: i64,
    wall_error: i64,
    server_error: i64,
    /// Of the server's certificate.
    from: i64,
    to: i64,
    discipline: Discipline,
    known: Knowledge,
    /// Seconds for which the control plane spoke from a wrong clock.
    lied_s: i64,
}

impl World {
    fn new() -> Self {
        let truth = BUILT + 10 * DAY;
        let evidence = Evidence {
            built_at: Some(at(BUILT)),
            ..Evidence::default()
        };
        Self {
            truth,
            booted: truth,
            wall_error: 0,
            server_error: 0,
            from: truth - 300 * DAY,
            to: truth - 300 * DAY + SERVER_LIFE,
            discipline: Discipline::None,
            known: Knowledge::new(evidence),
            lied_s: 0,
        }
    }

    fn wall(&self) -> Timestamp {
        at((self.truth + self.wall_error).max(0))
    }

    fn set_wall(&mut self, decision: Decision) {
        if let Decision::Step { to } = decision {
            self.wall_error = to.as_second() - self.truth;
        }
    }

    /// The control plane looks at its certificate when it starts.
    fn start_server(&mut self) {
        let now = (self.truth + self.server_error).max(0);
        if now < self.from || now > self.to - RENEW_BEFORE {
            (self.from, self.to) = (now - DAY, now + SERVER_LIFE);
        }
    }

    /// Whether the server was accepted.
    fn heartbeat(&mut self) -> bool {
        self.truth += 60;
        if self.known.evidence().certain().unwrap() > at(self.to.max(0)) {
            return false;
        }
        let said = Word {
            time: at((self.truth + self.server_error).max(0)),
            at: Monotonic::from_secs(u64::try_from(self.truth - self.booted).unwrap()),
            not_after: Some(at(self.to)),
        };
        let (known, decision) = self.known.hear(said, self.wall(), self.discipline);
        self.known = known;
        self.set_wall(decision);
        true
    }

    fn heartbeats(&mut self, count: i64) {
        for _ in 0..count {
            self.heartbeat();
        }
    }

    fn reboot(&mut self) {
        self.booted = self.truth;
        self.known = Knowledge::new(*self.known.evidence());
        let decision = self.known.evidence().at_start(self.wall());
        self.set_wall(decision);
    }

    fn pass(&mut self, happens: &Happens) {
        match *happens {
            Happens::Online(heartbeats) => self.heartbeats(heartbeats),
            Happens::Offline { seconds } => self.truth += seconds,
            Happens::Off {
                seconds,
                wall_error,
            } => {
                self.known.saw(self.wall());
                self.truth += seconds;
                self.wall_error = wall_error;
                self.discipline = Discipline::None;
                self.reboot();
            }
            Happens::LocalGlitch { error } => {
                self.wall_error = error;
                self.known.saw(self.wall());
            }
            Happens::ServerGlitch {
                error,
                heartbeats,
                restarts,
            } => {
                self.server_error = error;
                if restarts {
                    self.start_server();
                }
                let began = self.truth;
                self.heartbeats(heartbeats);
                // A last word before and one after can agree with it.
                self.lied_s += self.truth - began + DAY;
                self.server_error = 0;
                self.start_server();
            }
            Happens::TimeService(true) => {
                self.discipline = Discipline::TimeService;
                self.wall_error = 0;
            }
            Happens::TimeService(false) => self.discipline = Discipline::None,
        }
    }
}

proptest! {
    #[test]
    fn whatever_the_clocks_did_the_server_is_heard_and_the_time_is_right_again(
        story in prop::collection::vec(happens(), 0..12),
    ) {
        let mut world = World::new();
        let mut certain = world.known.evidence().certain().unwrap();
        for happens in &story {
            world.pass(happens);
            let now_certain = world.known.evidence().certain().unwrap();
            prop_assert!(now_certain >= certain, "it went back at {happens:?}");
            prop_assert!(now_certain >= at(BUILT));
            let lead_s = now_certain.as_second() - world.truth;
            prop_assert!(lead_s <= world.lied_s * 10, "{lead_s} s ahead at {happens:?}");
            certain = now_certain;
        }
        // The control plane was started anew with the right time, as an operator would.
        world.start_server();
        for _ in 0..3 {
            prop_assert!(world.heartbeat(), "the server is not accepted");
        }
        let right = at(world.truth).max(world.known.evidence().certain().unwrap());
        let off_s = world.wall().as_second() - right.as_second();
        prop_assert!(off_s.abs() <= MAX_SKEW_S || world.discipline == Discipline::TimeService);
        prop_assert_eq!(world.known.floor(world.discipline), right);
    }
}
