//! The few figures of each device that alerts are decided by, kept apart from everything else that it says.

use fleet_protocol::DeviceId;
use fleet_protocol::heartbeat::{Heartbeat, Metrics};
use fleet_protocol::player::{PlayerHeartbeat, PlayerState};
use fleet_protocol::update::{FailureReason, UpdateState};
use jiff::Timestamp;
use serde::Serialize;
use sqlx::{Any, Transaction};

use super::dialect::Dialect;
use super::{Store, StoreError, TenantContext, ms, signed};

/// What an agent's heartbeat says of them.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Vitals {
    disk_free_bytes: i64,
    temperature_mc: Option<i64>,
    under_voltage: i64,
    update_failure: Option<String>,
}

impl Vitals {
    pub(super) fn of(heartbeat: &Heartbeat) -> Self {
        let metrics = &heartbeat.metrics;
        Self {
            disk_free_bytes: signed(metrics.disk_free_bytes),
            temperature_mc: temperature_mc(metrics),
            under_voltage: i64::from(metrics.under_voltage == Some(true)),
            update_failure: update_failure(&heartbeat.update),
        }
    }
}

/// Those of the devices that are there, of `rows` as the statement for heartbeats reads them.
pub(super) async fn keep_vitals(
    tx: &mut Transaction<'_, Any>,
    dialect: Dialect,
    rows: &str,
) -> Result<(), StoreError> {
    let (said, join) = (dialect.json_each("$1"), dialect.join_from_left());
    let sql = format!(
        "INSERT INTO device_vitals (tenant_id, device_id, heard_ms, online_for_ms, disk_free_bytes, temperature_mc,
                                    under_voltage, update_failure)
         SELECT d.tenant_id, d.device_id, CAST(e.value ->> 'at_ms' AS BIGINT),
             CAST(e.value ->> 'online_for_ms' AS BIGINT), CAST(e.value ->> 'disk_free_bytes' AS BIGINT),
             CAST(e.value ->> 'temperature_mc' AS BIGINT), CAST(e.value ->> 'under_voltage' AS BIGINT),
             e.value ->> 'update_failure'
         FROM {said} AS e
         {join} devices d ON d.tenant_id = e.value ->> 'tenant' AND d.device_id = e.value ->> 'device'
         WHERE TRUE
         ON CONFLICT (tenant_id, device_id) DO UPDATE SET
             heard_ms = excluded.heard_ms, online_for_ms = excluded.online_for_ms,
             disk_free_bytes = excluded.disk_free_bytes, temperature_mc = excluded.temperature_mc,
             under_voltage = excluded.under_voltage, update_failure = excluded.update_failure"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(rows)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// In thousandths, of what a board can be; anything else is a broken sensor.
fn temperature_mc(metrics: &Metrics) -> Option<i64> {
    let celsius = metrics
        .temperature_c
        .filter(|c| (-100.0..=300.0).contains(c))?;
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    let millidegrees = (celsius * 1_000.0).round() as i64;
    Some(millidegrees)
}

/// One that a person asked for is none.
fn update_failure(state: &UpdateState) -> Option<String> {
    let asked_for = UpdateState::RolledBack {
        version: state.version()?.clone(),
        why: FailureReason::RolledBackByOperator,
    };
    let why = state.failure().filter(|_| *state != asked_for)?;
    Some(format!("the update to {}: {why}", state.version()?))
}

/// Whether a player shows that something is wrong.
pub(super) fn shows_error(heartbeat: &PlayerHeartbeat) -> bool {
    heartbeat.state == PlayerState::ErrorScreen
}

/// What players' heartbeats say of them.
pub(super) async fn note_players(
    tx: &mut Transaction<'_, Any>,
    dialect: Dialect,
    rows: &str,
) -> Result<(), StoreError> {
    let said = dialect.json_each("$1");
    let sql = format!(
        "UPDATE device_vitals SET player_ms = s.at_ms, error_screen = s.error_screen
         FROM (SELECT e.value ->> 'tenant' AS tenant, e.value ->> 'device' AS device,
                   CAST(e.value ->> 'at_ms' AS BIGINT) AS at_ms,
                   CAST(e.value ->> 'error_screen' AS BIGINT) AS error_screen FROM {said} AS e) AS s
         WHERE device_vitals.tenant_id = s.tenant AND device_vitals.device_id = s.device"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(rows)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// A certificate was issued at enrolment.
pub(super) async fn note_enrolment(
    tx: &mut Transaction<'_, Any>,
    ctx: &TenantContext,
    id: &DeviceId,
    until: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO device_vitals (tenant_id, device_id, heard_ms, certificate_ms) VALUES ($1, $2, $3, $4)
         ON CONFLICT (tenant_id, device_id) DO UPDATE SET certificate_ms = excluded.certificate_ms",
    )
    .bind(ctx.key())
    .bind(id.as_str())
    .bind(ms(now))
    .bind(ms(until))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl Store {
    /// A certificate was renewed.
    pub async fn note_certificate(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE device_vitals SET certificate_ms = $3 WHERE tenant_id = $1 AND device_id = $2",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(ms(until))
        .execute(&self.write)
        .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use fleet_protocol::Version;

    use super::*;

    #[test]
    fn a_temperature_that_no_board_has_is_none() {
        let check = |celsius: Option<f32>, expected| {
            let metrics = Metrics {
                temperature_c: celsius,
                ..Metrics::default()
            };
            assert_eq!(temperature_mc(&metrics), expected);
        };
        check(Some(81.25), Some(81_250));
        check(Some(3e9), None);
        check(None, None);
    }

    #[test]
    fn an_update_that_a_person_took_back_has_not_failed() {
        let back = |why| UpdateState::RolledBack {
            version: Version::new(2, 0, 0),
            why,
        };
        let failed = update_failure(&back(FailureReason::DidNotBoot { attempts: 3 })).unwrap();
        assert!(failed.starts_with("the update to 2.0.0: "), "{failed}");
        let asked_for = back(FailureReason::RolledBackByOperator);
        assert_eq!(update_failure(&asked_for), None);
        assert_eq!(update_failure(&UpdateState::Idle), None);
    }
}
