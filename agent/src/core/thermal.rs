//! Temperature, throttling and under-voltage as events: raised once at a threshold, withdrawn below
//! it by a margin, so that a board at the threshold does not fill the spool.

use fleet_protocol::event::{EventKind, Severity};

/// Degrees below a threshold at which its level is left.
pub const HYSTERESIS_C: f32 = 5.0;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    pub warn_c: f32,
    pub critical_c: f32,
}

/// One reading. What the board can't tell is `None` and changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Reading {
    pub temperature_c: Option<f32>,
    pub throttled: Option<bool>,
    pub under_voltage: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    #[default]
    Normal,
    Warm,
    Critical,
}

/// What was last raised.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Thermal {
    level: Level,
    throttled: bool,
    under_voltage: bool,
}

/// An event to raise, without its id and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    pub kind: EventKind,
    pub severity: Severity,
    pub detail: String,
}

impl Thermal {
    pub fn level(self) -> Level {
        self.level
    }

    /// Whether this is no moment to write flash, and why.
    pub fn power_trouble(self) -> Option<&'static str> {
        if self.under_voltage {
            Some("the supply voltage is too low")
        } else if self.level == Level::Critical {
            Some("the board is critically hot")
        } else {
            None
        }
    }

    #[must_use]
    pub fn step(mut self, reading: Reading, at: Thresholds) -> (Self, Vec<Raised>) {
        let mut raised = Vec::new();
        if let Some(celsius) = reading.temperature_c.filter(|c| c.is_finite()) {
            let level = next_level(self.level, celsius, at);
            if level != self.level {
                raised.push(level_event(level, celsius));
                self.level = level;
            }
        }
        if let Some(throttled) = reading.throttled {
            if throttled && !self.throttled {
                raised.push(Raised {
                    kind: EventKind::Throttled,
                    severity: Severity::Warning,
                    detail: "the processor is throttled".to_owned(),
                });
            }
            self.throttled = throttled;
        }
        if let Some(under_voltage) = reading.under_voltage {
            if under_voltage && !self.under_voltage {
                raised.push(Raised {
                    kind: EventKind::UnderVoltage,
                    severity: Severity::Warning,
                    detail: "the supply voltage is too low: check the power supply and its cable"
                        .to_owned(),
                });
            }
            self.under_voltage = under_voltage;
        }
        (self, raised)
    }
}

fn next_level(level: Level, celsius: f32, at: Thresholds) -> Level {
    let reached = |threshold: f32, held: bool| {
        celsius
            >= if held {
                threshold - HYSTERESIS_C
            } else {
                threshold
            }
    };
    if reached(at.critical_c, level == Level::Critical) {
        Level::Critical
    } else if reached(at.warn_c, level >= Level::Warm) {
        Level::Warm
    } else {
        Level::Normal
    }
}

fn level_event(level: Level, celsius: f32) -> Raised {
    let (kind, severity) = match level {
        Level::Normal => (EventKind::TemperatureNormal, Severity::Info),
        Level::Warm => (EventKind::TemperatureHigh, Severity::Warning),
        Level::Critical => (EventKind::TemperatureHigh, Severity::Error),
    };
    Raised {
        kind,
        severity,
        detail: format!("{celsius:.1} °C"),
    }
}

#[cfg(test)]
mod tests {
    use super::Level::{Critical, Normal, Warm};
    use super::*;
    use proptest::prelude::*;

    const AT: Thresholds = Thresholds {
        warn_c: 75.0,
        critical_c: 85.0,
    };

    fn hot(celsius: f32) -> Reading {
        Reading {
            temperature_c: Some(celsius),
            ..Reading::default()
        }
    }

    #[test]
    fn a_level_is_entered_at_its_threshold_and_left_below_it() {
        let check = |readings: &[f32], expected: &[Level]| {
            let mut thermal = Thermal::default();
            let levels: Vec<Level> = readings
                .iter()
                .map(|&celsius| {
                    thermal = thermal.step(hot(celsius), AT).0;
                    thermal.level()
                })
                .collect();
            assert_eq!(levels, expected, "{readings:?}");
        };
        check(&[74.9, 75.0, 71.0, 69.9], &[Normal, Warm, Warm, Normal]);
        check(
            &[90.0, 81.0, 79.0, 20.0],
            &[Critical, Critical, Warm, Normal],
        );
        check(&[f32::NAN, 90.0, f32::NAN], &[Normal, Critical, Critical]);
    }

    #[test]
    fn under_voltage_is_raised_once_until_it_ends() {
        let low = |under_voltage| Reading {
            under_voltage: Some(under_voltage),
            ..Reading::default()
        };
        let mut thermal = Thermal::default();
        let mut count = 0;
        for under_voltage in [true, true, false, true] {
            let (next, raised) = thermal.step(low(under_voltage), AT);
            thermal = next;
            count += raised.len();
        }
        assert_eq!(count, 2);
        assert!(thermal.power_trouble().is_some());
    }

    proptest! {
        #[test]
        fn each_event_is_a_change_of_level(readings in prop::collection::vec(0.0f32..120.0, 0..50)) {
            let mut thermal = Thermal::default();
            for celsius in readings {
                let before = thermal.level();
                let (next, raised) = thermal.step(hot(celsius), AT);
                prop_assert_eq!(raised.len(), usize::from(before != next.level()));
                thermal = next;
            }
        }
    }
}
