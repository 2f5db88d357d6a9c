//! When a screen is on, and when it is off on purpose. Beyond the contract: all of it is optional.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schedule::{DaysOfWeek, MinuteOfDay};

/// More windows than this are a mistake.
const MAX_WINDOWS: usize = 100;

/// `settings.screenPower` of a manifest. What is not understood is left out and costs no manifest: then the screen
/// stays on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Value", into = "Value")]
pub enum ScreenPower {
    Times(ScreenTimes),
    NotUnderstood {
        /// As it came.
        said: Value,
        /// Names the field.
        reason: String,
    },
}

/// The hours in which the screen is on; outside of them it is off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ScreenTimes {
    /// Of the IANA database. Left out: that of the manifest's `lookAhead`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// At least one, and at least one that ever begins.
    pub on: Vec<OnWindow>,
}

/// As a slot of a schedule: an end at or before the start is on the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OnWindow {
    pub days_of_week_mask: DaysOfWeek,
    pub start_minutes: MinuteOfDay,
    pub end_minutes: MinuteOfDay,
}

/// What a screen is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Power {
    #[default]
    On,
    Off,
}

/// Of a screen that has times, in the heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ScreenPowerStatus {
    pub wanted: Power,
    /// When its times want something else; `None`: not within two weeks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_utc: Option<Timestamp>,
}

impl From<Value> for ScreenPower {
    fn from(said: Value) -> Self {
        match ScreenTimes::read(&said) {
            Ok(times) => Self::Times(times),
            Err(reason) => Self::NotUnderstood { said, reason },
        }
    }
}

impl From<ScreenPower> for Value {
    fn from(power: ScreenPower) -> Self {
        match power {
            ScreenPower::Times(times) => serde_json::to_value(times).unwrap_or_default(),
            ScreenPower::NotUnderstood { said, .. } => said,
        }
    }
}

/// Why hours are none that a screen could keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UselessHours {
    #[error("is empty: a screen that is never on needs no player")]
    Empty,
    #[error("has {0} windows, more than {MAX_WINDOWS}")]
    TooMany(usize),
    #[error("names no day: each `daysOfWeekMask` is 0")]
    NoDay,
}

impl ScreenTimes {
    /// # Errors
    /// When no screen would ever be on in these hours, or there are too many.
    pub fn check(hours: &[OnWindow]) -> Result<(), UselessHours> {
        let ever = |window: &OnWindow| !window.days_of_week_mask.is_empty();
        match hours.len() {
            0 => Err(UselessHours::Empty),
            count if count > MAX_WINDOWS => Err(UselessHours::TooMany(count)),
            _ if !hours.iter().any(ever) => Err(UselessHours::NoDay),
            _ => Ok(()),
        }
    }

    fn read(said: &Value) -> Result<Self, String> {
        let times: Self = serde_path_to_error::deserialize(said)
            .map_err(|error| format!("`{}`: {}", error.path(), error.inner()))?;
        Self::check(&times.on).map_err(|error| format!("`on` {error}"))?;
        Ok(times)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for ScreenPower {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        ScreenTimes::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<ScreenTimes>()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn setting() -> Value {
        json!({
            "timezone": "Europe/Berlin",
            "on": [{"daysOfWeekMask": 31, "startMinutes": 480, "endMinutes": 1200}]
        })
    }

    #[test]
    fn times_are_read_and_written_the_same() {
        let read = |value: Value| serde_json::from_value::<ScreenPower>(value).unwrap();
        assert_eq!(serde_json::to_value(read(setting())).unwrap(), setting());
        let mut short = setting();
        short.as_object_mut().unwrap().remove("timezone");
        let ScreenPower::Times(times) = read(short) else {
            panic!("it is complete");
        };
        assert_eq!(times.timezone, None);
    }

    #[test]
    fn what_is_not_understood_is_named_and_kept_as_it_came() {
        let check = |change: &dyn Fn(&mut Value), says: &str| {
            let mut value = setting();
            change(&mut value);
            let read: ScreenPower = serde_json::from_value(value.clone()).unwrap();
            let ScreenPower::NotUnderstood { reason, .. } = &read else {
                panic!("{value} is understood");
            };
            assert!(reason.contains(says), "{reason}");
            assert_eq!(serde_json::to_value(&read).unwrap(), value);
        };
        check(
            &|v| v["on"][0]["startMinutes"] = json!(1440),
            "`on[0].startMinutes`",
        );
        check(
            &|v| v["on"][0]["daysOfWeekMask"] = json!("all"),
            "`on[0].daysOfWeekMask`",
        );
        check(&|v| v["on"][0]["daysOfWeekMask"] = json!(0), "names no day");
        check(&|v| v["on"] = json!([]), "`on` is empty");
        check(
            &|v| v["on"] = json!(vec![v["on"][0].clone(); 101]),
            "101 windows",
        );
        check(&|v| v["timezone"] = json!(1), "`timezone`");
        check(&|v| *v = json!("always"), "always");
    }
}
