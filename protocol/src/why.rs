//! "Why not?": the ordered trace of what holds a device's update back, the same on the console, in
//! the terminal and on the device's own page.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Nothing holds it back here.
    Pass,
    /// Will pass by itself, at `until` if known.
    Wait,
    /// Needs somebody: see the hint.
    Hold,
    /// Not reached, because an earlier step holds.
    NotReached,
}

/// One step, in the order in which they are asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WhyStep {
    /// Stable: `target`, `phase`, `online`, `admission`, `window`, `disk`, `versionFloor`, `clock`,
    /// `penalty`, `install`, `reboot`, `trial`.
    pub step: String,
    pub verdict: Verdict,
    /// One sentence for people.
    pub detail: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// `GET /v1/devices/{id}/why`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WhyTrace {
    /// The answer in one sentence.
    pub summary: String,
    pub steps: Vec<WhyStep>,
}
