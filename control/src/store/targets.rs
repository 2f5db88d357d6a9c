//! What each device is to run, and how often that has changed.

use fleet_protocol::command::Receiver;
use fleet_protocol::rollout::{MemberStatus, RolloutStatus};
use fleet_protocol::trust::Envelope;
use fleet_protocol::{DeviceId, RolloutId, Sha256, Version};
use jiff::Timestamp;
use serde_json::{Map, Value};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::members::member_status;
use super::rollouts::rollout_status;
use super::{Store, StoreError, TenantContext, count, from_json, maybe, ms, number, parse};

/// Everything that a device's target is made of, and what waits for its agent besides.
#[derive(Debug)]
pub struct TargetFacts {
    pub assignment: Option<Assignment>,
    /// The configuration of all devices and the device's own, each with its version.
    pub general: Option<Versioned>,
    pub own: Option<Versioned>,
    /// In order, from the second on: the first one comes with the image.
    pub key_sets: Vec<Envelope>,
    /// Of the target that was made last, and that one's digest.
    pub generation: u64,
    pub digest: String,
    pub commands_pending: u32,
}

/// A device's place in the newest rollout that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    pub rollout_id: RolloutId,
    pub rollout_status: RolloutStatus,
    pub version: Version,
    pub member_status: MemberStatus,
    pub phase: u32,
    pub previous_version: Option<Version>,
    pub attempt: u32,
    pub detail: Option<String>,
    /// The device is installing, about to reboot, or on trial.
    pub begun: bool,
}

impl Store {
    pub async fn assignment(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
    ) -> Result<Option<Assignment>, StoreError> {
        let row = sqlx::query(
            "SELECT m.rollout_id, r.status AS rollout_status, r.version, m.status, m.phase,
                    m.previous_version, m.attempt, m.detail, d.begun_ms
             FROM rollout_members m
             JOIN rollouts r ON r.tenant_id = m.tenant_id AND r.rollout_id = m.rollout_id
             JOIN devices d ON d.tenant_id = m.tenant_id AND d.device_id = m.device_id
             WHERE m.tenant_id = $1 AND m.device_id = $2 AND m.superseded = 0
             ORDER BY m.number DESC LIMIT 1",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_optional(&self.read)
        .await?;
        row.as_ref().map(assigned).transpose()
    }

    /// All of it in one query: every heartbeat asks for it. `None`: no such device.
    pub async fn target_facts(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        general_scope: &str,
        now: Timestamp,
    ) -> Result<Option<TargetFacts>, StoreError> {
        let key_sets = self.dialect.json_rows("k.version, k.envelope");
        let sql = format!(
            "SELECT d.target_generation, d.target_digest, d.begun_ms, m.rollout_id, m.rollout_status, m.version,
                    m.status, m.phase, m.previous_version, m.attempt, m.detail,
                    general.version AS general_version, general.document AS general_document,
                    own.version AS own_version, own.document AS own_document,
                    (SELECT {key_sets} FROM key_sets k WHERE k.tenant_id = $1 AND k.version > 1) AS key_sets,
                    (SELECT count(*) FROM commands c WHERE c.tenant_id = $1 AND c.device_id = $2 AND c.receiver = $4
                        AND c.result IS NULL AND c.cancelled_ms IS NULL AND c.expires_ms > $5) AS commands_pending
             FROM devices d
             LEFT JOIN (SELECT a.rollout_id, r.status AS rollout_status, r.version, a.status, a.phase,
                               a.previous_version, a.attempt, a.detail
                        FROM rollout_members a
                        JOIN rollouts r ON r.tenant_id = a.tenant_id AND r.rollout_id = a.rollout_id
                        WHERE a.tenant_id = $1 AND a.device_id = $2 AND a.superseded = 0
                        ORDER BY a.number DESC LIMIT 1) AS m ON TRUE
             LEFT JOIN (SELECT version, document FROM config_documents WHERE tenant_id = $1 AND scope = $3
                        ORDER BY version DESC LIMIT 1) AS general ON TRUE
             LEFT JOIN (SELECT version, document FROM config_documents WHERE tenant_id = $1 AND scope = $2
                        ORDER BY version DESC LIMIT 1) AS own ON TRUE
             WHERE d.tenant_id = $1 AND d.device_id = $2"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(ctx.key())
            .bind(id.as_str())
            .bind(general_scope)
            .bind(Receiver::Agent.name())
            .bind(ms(now))
            .fetch_optional(&self.read)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let is_assigned = row.try_get::<Option<&str>, _>("rollout_id")?.is_some();
        let mut key_sets: Vec<(u32, String)> = from_json("the key sets", row.try_get("key_sets")?)?;
        key_sets.sort_unstable_by_key(|(version, _)| *version);
        let key_sets = key_sets
            .iter()
            .map(|(_, text)| from_json("a key set", text));
        let pending: i64 = row.try_get("commands_pending")?;
        Ok(Some(TargetFacts {
            assignment: is_assigned.then(|| assigned(&row)).transpose()?,
            general: document(&row, "general_version", "general_document")?,
            own: document(&row, "own_version", "own_document")?,
            key_sets: key_sets.collect::<Result<_, _>>()?,
            generation: count(row.try_get("target_generation")?),
            digest: row.try_get("target_digest")?,
            commands_pending: u32::try_from(pending).unwrap_or(u32::MAX),
        }))
    }

    /// The generation of a target with another digest than the last one: one more than that one's.
    pub async fn next_generation(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        digest: &Sha256,
    ) -> Result<u64, StoreError> {
        let digest = digest.to_string();
        let generation: i64 = sqlx::query_scalar(
            "UPDATE devices SET
                 target_generation = target_generation + CASE WHEN target_digest <> $1 THEN 1 ELSE 0 END,
                 target_digest = $1
             WHERE tenant_id = $2 AND device_id = $3
             RETURNING target_generation",
        )
        .bind(&digest)
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_one(&self.write)
        .await?;
        Ok(count(generation))
    }
}

fn assigned(row: &AnyRow) -> Result<Assignment, StoreError> {
    let previous: Option<String> = row.try_get("previous_version")?;
    Ok(Assignment {
        rollout_id: parse("a rollout id", row.try_get("rollout_id")?)?,
        rollout_status: rollout_status(row.try_get("rollout_status")?)?,
        version: parse("a version", row.try_get("version")?)?,
        member_status: member_status(row.try_get("status")?)?,
        phase: number(row, "phase")?,
        previous_version: previous.map(|v| parse("a version", &v)).transpose()?,
        attempt: number(row, "attempt")?,
        detail: row.try_get("detail")?,
        begun: row.try_get::<Option<i64>, _>("begun_ms")?.is_some(),
    })
}

/// A document with its version.
pub type Versioned = (u64, Map<String, Value>);

fn document(
    row: &AnyRow,
    version: &'static str,
    document: &'static str,
) -> Result<Option<Versioned>, StoreError> {
    let text: Option<String> = row.try_get(document)?;
    let document = text.map(|text| from_json("a configuration", &text));
    Ok(maybe(row, version)?.zip(document.transpose()?))
}
