//! A schedule as it is published and written to files: which playlist for whom, on which days, between
//! which minutes of the wall clock. What it means is decided by the crate `fleet-schedule` alone.

mod explanation;
mod fields;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

pub use explanation::{
    Candidate, Explanation, Fallback, FallbackSource, FallbackVerdict, NotNow, Rule, Segment,
    Verdict,
};
pub use fields::{DaysOfWeek, MinuteOfDay, ParseFieldError, ValidDates, ValidDatesError};

use crate::{PlaylistId, SlotId, TargetId};

/// Whom a slot is for. Devices and groups have names of their own, so that one can't be taken for the
/// other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "ScheduleTarget")
)]
#[serde(
    tag = "targetType",
    content = "targetId",
    rename_all = "UPPERCASE",
    deny_unknown_fields
)]
pub enum Target {
    Device(TargetId),
    Group(TargetId),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Device(id) => write!(f, "device {id}"),
            Self::Group(id) => write!(f, "group {id}"),
        }
    }
}

/// One rule of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "SlotShape", into = "SlotShape")]
pub struct ScheduleSlot {
    pub slot_id: SlotId,
    pub target: Target,
    pub playlist_id: PlaylistId,
    pub days_of_week: DaysOfWeek,
    pub start: MinuteOfDay,
    /// At or before `start`: on the next day.
    pub end: MinuteOfDay,
    pub valid: ValidDates,
    /// A larger number wins.
    pub priority: i64,
    pub enabled: bool,
    pub updated_at: Timestamp,
}

impl ScheduleSlot {
    /// Whether an occurrence ends on the day after the one that it began on.
    pub fn ends_next_day(&self) -> bool {
        self.end <= self.start
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
enum TargetType {
    Device,
    Group,
}

/// The fields by their names on the wire.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct SlotShape {
    slot_id: SlotId,
    target_type: TargetType,
    target_id: TargetId,
    playlist_id: PlaylistId,
    days_of_week_mask: DaysOfWeek,
    start_minutes: MinuteOfDay,
    end_minutes: MinuteOfDay,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid_from_date: Option<Date>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid_to_date: Option<Date>,
    #[serde(default)]
    priority: i64,
    #[serde(default = "enabled")]
    enabled: bool,
    /// What a published snapshot always has; a file written by hand may leave it out, and is then
    /// taken as older than anything.
    #[serde(default = "oldest")]
    #[cfg_attr(feature = "schema", schemars(!default))]
    updated_at: Timestamp,
}

/// A slot as an operator sends it.
#[cfg(feature = "schema")]
#[derive(Debug, schemars::JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct SlotDraft {
    /// Left out: a new one.
    pub slot_id: Option<SlotId>,
    #[expect(dead_code, reason = "only ever described")]
    target_type: TargetType,
    pub target_id: TargetId,
    pub playlist_id: PlaylistId,
    pub days_of_week_mask: DaysOfWeek,
    pub start_minutes: MinuteOfDay,
    /// At or before the start: on the next day.
    pub end_minutes: MinuteOfDay,
    /// The first day on which it may begin.
    pub valid_from_date: Option<Date>,
    /// The last day on which it may begin.
    pub valid_to_date: Option<Date>,
    /// A larger number wins; 0 when it is left out.
    #[schemars(default)]
    pub priority: i64,
    #[schemars(default = "enabled")]
    pub enabled: bool,
    /// May be sent back as it came; the control plane sets it.
    pub updated_at: Option<Timestamp>,
}

fn enabled() -> bool {
    true
}

fn oldest() -> Timestamp {
    Timestamp::MIN
}

impl TryFrom<SlotShape> for ScheduleSlot {
    type Error = ValidDatesError;

    fn try_from(shape: SlotShape) -> Result<Self, Self::Error> {
        Ok(Self {
            slot_id: shape.slot_id,
            target: match shape.target_type {
                TargetType::Device => Target::Device(shape.target_id),
                TargetType::Group => Target::Group(shape.target_id),
            },
            playlist_id: shape.playlist_id,
            days_of_week: shape.days_of_week_mask,
            start: shape.start_minutes,
            end: shape.end_minutes,
            valid: ValidDates::new(shape.valid_from_date, shape.valid_to_date)?,
            priority: shape.priority,
            enabled: shape.enabled,
            updated_at: shape.updated_at,
        })
    }
}

impl From<ScheduleSlot> for SlotShape {
    fn from(slot: ScheduleSlot) -> Self {
        let (target_type, target_id) = match slot.target {
            Target::Device(id) => (TargetType::Device, id),
            Target::Group(id) => (TargetType::Group, id),
        };
        Self {
            slot_id: slot.slot_id,
            target_type,
            target_id,
            playlist_id: slot.playlist_id,
            days_of_week_mask: slot.days_of_week,
            start_minutes: slot.start,
            end_minutes: slot.end,
            valid_from_date: slot.valid.first(),
            valid_to_date: slot.valid.last(),
            priority: slot.priority,
            enabled: slot.enabled,
            updated_at: slot.updated_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn shape(change: impl FnOnce(&mut Value)) -> Result<ScheduleSlot, String> {
        let mut slot = json!({
            "slotId": "s1", "targetType": "GROUP", "targetId": "g1", "playlistId": "p1",
            "daysOfWeekMask": 31, "startMinutes": 1320, "endMinutes": 120,
            "validFromDate": "2026-01-01", "priority": 5, "enabled": true,
            "updatedAt": "2026-01-01T00:00:00Z",
        });
        change(&mut slot);
        serde_json::from_value(slot).map_err(|e| e.to_string())
    }

    #[test]
    fn a_slot_reads_and_writes_the_names_of_the_wire() {
        let slot = shape(|_| ()).unwrap();
        assert_eq!(slot.target, Target::Group("g1".parse().unwrap()));
        assert!(slot.ends_next_day());
        let written = serde_json::to_value(&slot).unwrap();
        assert_eq!(written["daysOfWeekMask"], 31);
        assert_eq!(written["validFromDate"], "2026-01-01");
        assert!(written.get("validToDate").is_none());
        assert_eq!(
            serde_json::from_value::<ScheduleSlot>(written).unwrap(),
            slot
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        let check = |field: &str, value: Value, says: &str| {
            let error = shape(|slot| slot[field] = value).unwrap_err();
            assert!(error.contains(says), "{field}: {error}");
        };
        check("daysOfWeekMask", json!(128), "0 to 127");
        check("daysOfWeekMask", json!(-1), "0 to 127");
        check("startMinutes", json!(1440), "0 to 1439");
        check("endMinutes", json!(1440), "midnight is 0");
        check("validToDate", json!("2025-12-31"), "before `validFromDate`");
        check("validToDate", json!("2026-02-30"), "1..=28");
        check("targetType", json!("VENUE"), "GROUP");
        check("slotId", json!(""), "slot id");
    }
}
