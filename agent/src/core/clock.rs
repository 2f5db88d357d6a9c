//! The lowest time that can be right.
//!
//! A board without a clock chip starts at 1970, and then no certificate is valid yet and no release
//! expired. The floor is the latest instant that has certainly passed; a clock below it is set to it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Instants that have certainly passed. What is unknown is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Evidence {
    /// When the running image was built.
    pub built_at: Option<Timestamp>,
    /// From the provisioning file.
    pub provisioned_at: Option<Timestamp>,
    /// The last time that the control plane gave over an authenticated connection.
    pub server_time: Option<Timestamp>,
    /// The clock as it was last written down while running or at shutdown.
    pub last_seen: Option<Timestamp>,
}

/// More than this behind or ahead of the server's word, the clock is set.
pub const MAX_SKEW_S: i64 = 30;

/// What to do with the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Leave,
    /// Set the clock, and raise `CLOCK_STEPPED`.
    Step {
        to: Timestamp,
    },
}

impl Evidence {
    /// The latest of them all; `None` if nothing is known.
    pub fn floor(&self) -> Option<Timestamp> {
        let all = [
            self.built_at,
            self.provisioned_at,
            self.server_time,
            self.last_seen,
        ];
        all.into_iter().flatten().max()
    }

    /// What to do with a clock that shows `now`, before anything else is believed.
    pub fn at_start(&self, now: Timestamp) -> Decision {
        match self.floor() {
            Some(floor) if now < floor => Decision::Step { to: floor },
            _ => Decision::Leave,
        }
    }

    /// The control plane says `server_time` while the clock shows `now`. Its word is followed
    /// forwards as backwards, but never below what has certainly passed: `last_seen` is left out of
    /// that, since a clock that ran ahead wrote it. `synchronised`: a time service (NTP) is in
    /// charge, so only a clock below the floor is touched.
    pub fn at_server_time(
        &self,
        now: Timestamp,
        server_time: Timestamp,
        discipline: Discipline,
    ) -> Decision {
        let firm = [self.built_at, self.provisioned_at, self.server_time];
        let firm_floor = firm.into_iter().flatten().max();
        let to = firm_floor.map_or(server_time, |floor| floor.max(server_time));
        let skew = now.as_second().saturating_sub(to.as_second()).abs();
        match discipline {
            Discipline::TimeService if now >= to => Decision::Leave,
            _ if skew > MAX_SKEW_S => Decision::Step { to },
            _ => Decision::Leave,
        }
    }
}

/// Who keeps the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discipline {
    /// A time service has set it and goes on doing so.
    TimeService,
    /// Nobody.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn known(built: i64, server: i64, seen: i64) -> Evidence {
        Evidence {
            built_at: Some(at(built)),
            provisioned_at: None,
            server_time: Some(at(server)),
            last_seen: Some(at(seen)),
        }
    }

    #[test]
    fn a_clock_at_1970_is_set_to_the_floor() {
        let evidence = known(1_000_000, 2_000_000, 1_500_000);
        assert_eq!(
            evidence.at_start(at(5)),
            Decision::Step { to: at(2_000_000) }
        );
        assert_eq!(evidence.at_start(at(2_000_000)), Decision::Leave);
        assert_eq!(Evidence::default().at_start(at(5)), Decision::Leave);
    }

    #[test]
    fn the_servers_word_sets_the_clock_forwards_and_backwards() {
        let check = |now, server, discipline, expected| {
            let evidence = known(1_000, 2_000, 9_000);
            let found = evidence.at_server_time(at(now), at(server), discipline);
            assert_eq!(found, expected, "{now} {server}");
        };
        check(
            2_500,
            4_000,
            Discipline::None,
            Decision::Step { to: at(4_000) },
        );
        check(
            9_000,
            4_000,
            Discipline::None,
            Decision::Step { to: at(4_000) },
        );
        check(4_010, 4_000, Discipline::None, Decision::Leave);
        check(9_000, 4_000, Discipline::TimeService, Decision::Leave);
        // A server whose own clock fell back is not followed below what it said before.
        check(9_000, 5, Discipline::None, Decision::Step { to: at(2_000) });
    }

    proptest! {
        #[test]
        fn no_step_goes_below_the_floor(
            built in 0i64..1_000_000, server in 0i64..1_000_000,
            seen in 0i64..1_000_000, now in 0i64..1_000_000,
        ) {
            let evidence = known(built, server, seen);
            if let Decision::Step { to } = evidence.at_start(at(now)) {
                prop_assert!(to > at(now));
                prop_assert_eq!(Some(to), evidence.floor());
            }
            if let Decision::Step { to } =
                evidence.at_server_time(at(now), at(seen), Discipline::None)
            {
                prop_assert!(to >= at(built.max(server)));
            }
        }
    }
}
