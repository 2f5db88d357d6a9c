//! The few figures of each device that alerts are decided by, kept apart from everything else that it says.

use fleet_protocol::DeviceId;
use fleet_protocol::heartbeat::{Heartbeat, Metrics};
use fleet_protocol::player::{PlayerHeartbeat, PlayerState};
use fleet_protocol::update::{FailureReason, UpdateState};
use jiff::Timestamp;
use sqlx::{Any, Transaction};

use super::{Store, StoreError, TenantContext, ms, signed};

/// What an agent's heartbeat says of them.
#[derive(Debug)]
pub(super) struct Vitals {
    disk_free_bytes: i64,
    temperature_mc: Option<i64>,
    under_voltage: bool,
    update_failure: Option<String>,
}

impl Vitals {
    pub(super) fn of(heartbeat: &Heartbeat) -> Self {
        let metrics = &heartbeat.metrics;
        Self {
            disk_free_bytes: signed(metrics.disk_free_bytes),
            temperature_mc: temperature_mc(metrics),
            under_voltage: metrics.under_voltage == Some(true),
            update_failure: update_failure(&heartbeat.update),
        }
    }

    /// Of a device that is there.
    pub(super) async fn keep(
        &self,
        tx: &mut Transaction<'_, Any>,
        ctx: &TenantContext,
        id: &DeviceId,
        online_for_ms: i64,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO device_vitals (tenant_id, device_id, heard_ms, online_for_ms, disk_free_bytes, temperature_mc,
                                        under_voltage, update_failure)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (tenant_id, device_id) DO UPDATE SET
                 heard_ms = excluded.heard_ms, online_for_ms = excluded.online_for_ms,
                 disk_free_bytes = excluded.disk_free_bytes, temperature_mc = excluded.temperature_mc,
                 under_voltage = excluded.under_voltage, update_failure = excluded.update_failure",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(now_ms)
        .bind(online_for_ms)
        .bind(self.disk_free_bytes)
        .bind(self.temperature_mc)
        .bind(i64::from(self.under_voltage))
        .bind(&self.update_failure)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
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

/// What a player's heartbeat says of them.
pub(super) async fn note_player(
    tx: &mut Transaction<'_, Any>,
    ctx: &TenantContext,
    id: &DeviceId,
    error_screen: bool,
    now_ms: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE device_vitals SET player_ms = $3, error_screen = $4 WHERE tenant_id = $1 AND device_id = $2",
    )
    .bind(ctx.key())
    .bind(id.as_str())
    .bind(now_ms)
    .bind(i64::from(error_screen))
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
