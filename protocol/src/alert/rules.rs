//! By which figures something counts as wrong. One threshold each: that it is over takes a little more than falling
//! below it (a fifth more room on the disk, five degrees less, half as many events), so that nothing flickers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Bounded<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Bounded<MIN, MAX> {
    /// Of a constant that is within the bounds.
    const fn fixed(value: u64) -> Self {
        assert!(MIN <= value && value <= MAX);
        Self(value)
    }

    pub const fn get(self) -> u64 {
        self.0
    }
}

impl<const MIN: u64, const MAX: u64> TryFrom<u64> for Bounded<MIN, MAX> {
    type Error = String;

    fn try_from(value: u64) -> Result<Self, Self::Error> {
        if (MIN..=MAX).contains(&value) {
            Ok(Self(value))
        } else {
            Err(format!("{value} is not within {MIN} to {MAX}"))
        }
    }
}

impl<const MIN: u64, const MAX: u64> From<Bounded<MIN, MAX>> for u64 {
    fn from(value: Bounded<MIN, MAX>) -> Self {
        value.0
    }
}

#[cfg(feature = "schema")]
impl<const MIN: u64, const MAX: u64> schemars::JsonSchema for Bounded<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("IntegerFrom{MIN}To{MAX}").into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "integer", "minimum": MIN, "maximum": MAX})
    }
}

/// Up to a week.
pub type Seconds = Bounded<0, { 7 * 24 * HOUR }>;

const fn seconds(value: u64) -> Seconds {
    Bounded::fixed(value)
}

/// Something that is so or is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlainRule {
    pub enabled: bool,
    /// For how long it has to be so.
    pub hold_seconds: Seconds,
    /// For how long it has to be over.
    pub resolve_seconds: Seconds,
}

/// So many events within a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CountRule {
    pub enabled: bool,
    /// As many are wrong; half as many are not any more.
    pub events: Bounded<1, 10_000>,
    pub within_seconds: Bounded<60, { 24 * HOUR }>,
    pub resolve_seconds: Seconds,
}

/// Free bytes on the data partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DiskRule {
    pub enabled: bool,
    /// Less is wrong; a fifth more than this is not any more.
    pub free_bytes: Bounded<1, { 1 << 50 }>,
    pub hold_seconds: Seconds,
    pub resolve_seconds: Seconds,
}

/// The board's temperature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HotRule {
    pub enabled: bool,
    /// As hot is wrong; five degrees less is not any more.
    pub celsius: Bounded<30, 120>,
    pub hold_seconds: Seconds,
    pub resolve_seconds: Seconds,
}

/// A rollout that was stopped is an alert until another one for the same hardware begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RolloutRule {
    pub enabled: bool,
}

/// A device renews its certificate with thirty days left, so fewer of them mean that it can't.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateRule {
    pub enabled: bool,
    /// As many left are wrong.
    pub days: Bounded<1, 89>,
}

/// `PUT /v1/alert-rules`, with `If-Match`. A rule that is left out is as it is by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AlertRules {
    pub offline: PlainRule,
    pub error_trend: CountRule,
    pub low_disk: DiskRule,
    pub download_failures: CountRule,
    pub blank_screen: PlainRule,
    pub update_failed: PlainRule,
    pub hot: HotRule,
    pub under_voltage: PlainRule,
    pub rollout_stopped: RolloutRule,
    pub certificate_expiring: CertificateRule,
}

impl Default for AlertRules {
    fn default() -> Self {
        Self {
            offline: PlainRule {
                enabled: true,
                hold_seconds: seconds(5 * MINUTE),
                resolve_seconds: seconds(MINUTE),
            },
            error_trend: CountRule {
                enabled: true,
                events: Bounded::fixed(10),
                within_seconds: Bounded::fixed(HOUR),
                resolve_seconds: seconds(10 * MINUTE),
            },
            low_disk: DiskRule {
                enabled: true,
                free_bytes: Bounded::fixed(512 << 20),
                hold_seconds: seconds(10 * MINUTE),
                resolve_seconds: seconds(10 * MINUTE),
            },
            download_failures: CountRule {
                enabled: true,
                events: Bounded::fixed(5),
                within_seconds: Bounded::fixed(HOUR),
                resolve_seconds: seconds(10 * MINUTE),
            },
            blank_screen: PlainRule {
                enabled: true,
                hold_seconds: seconds(5 * MINUTE),
                resolve_seconds: seconds(MINUTE),
            },
            update_failed: PlainRule {
                enabled: true,
                hold_seconds: seconds(0),
                resolve_seconds: seconds(0),
            },
            hot: HotRule {
                enabled: true,
                celsius: Bounded::fixed(80),
                hold_seconds: seconds(5 * MINUTE),
                resolve_seconds: seconds(10 * MINUTE),
            },
            under_voltage: PlainRule {
                enabled: true,
                hold_seconds: seconds(0),
                resolve_seconds: seconds(HOUR),
            },
            rollout_stopped: RolloutRule { enabled: true },
            certificate_expiring: CertificateRule {
                enabled: true,
                days: Bounded::fixed(14),
            },
        }
    }
}

/// `GET /v1/alert-rules`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AlertRulesView {
    /// 0: never changed, as they are by default.
    pub version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    pub rules: AlertRules,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_as_it_is_by_default() {
        let text =
            r#"{"hot": {"enabled": false, "celsius": 70, "holdSeconds": 0, "resolveSeconds": 0}}"#;
        let rules: AlertRules = serde_json::from_str(text).unwrap();
        assert_eq!((rules.hot.enabled, rules.hot.celsius.get()), (false, 70));
        assert_eq!(rules.offline, AlertRules::default().offline);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            r#"{"hot": {"enabled": true, "celsius": 7, "holdSeconds": 0, "resolveSeconds": 0}}"#,
            r#"{"hot": {"enabled": true}}"#,
            r#"{"smoke": {"enabled": true}}"#,
            r#"{"certificateExpiring": {"enabled": true, "days": 90}}"#,
        ] {
            assert!(serde_json::from_str::<AlertRules>(text).is_err(), "{text}");
        }
    }
}
