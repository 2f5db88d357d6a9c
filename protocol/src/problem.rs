//! Errors over HTTP: `application/problem+json` (RFC 9457) with the product's extra members.

use serde::{Deserialize, Serialize};

pub const CONTENT_TYPE: &str = "application/problem+json";

/// One field of a request that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FieldError {
    /// Path of the field, such as `phases[1].percentage`.
    pub field: String,
    pub message: String,
}

/// The body of every error response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// `https://fleet.invalid/errors/CODE`: a name, not a page.
    #[serde(rename = "type")]
    pub type_uri: String,
    pub title: String,
    pub status: u16,
    /// Stable, for programs: `NOT_FOUND`, `VALIDATION_FAILED`, …
    pub code: String,
    /// For people: what is wrong with this very request.
    pub detail: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    pub instance: String,
    pub request_id: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// With 412: the tag of what is there now, as `If-Match` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_etag: Option<String>,
    /// Facts for programs that go with the code, such as `receivedBytes` with `UPLOAD_OFFSET`.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub context: serde_json::Map<String, serde_json::Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_optional_members_are_left_out_and_may_be_missing() {
        let json = serde_json::json!({
            "type": "https://fleet.invalid/errors/NOT_FOUND", "title": "Not Found", "status": 404,
            "code": "NOT_FOUND", "detail": "there is no such thing", "instance": "/v1/x",
            "requestId": "req_1",
        });
        let problem: Problem = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&problem).unwrap(), json);
    }
}
