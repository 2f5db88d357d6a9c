//! What alerts are decided by, and what was decided.
//!
//! Of ten thousand devices most are well. So the database says which ones may be wrong by the rules' figures, or have
//! an alert that may be over; only these are looked at one by one. The figures are those of the rules, and the decision
//! is `domain::alerts`': a device that the query brings for nothing changes nothing.

use std::collections::BTreeMap;

use fleet_protocol::AlertId;
use fleet_protocol::alert::{AlertKind, AlertRules};
use fleet_protocol::webhook::WebhookEvent;
use jiff::{SignedDuration, Timestamp};
use sqlx::{Any, Row as _, Transaction};

use super::deliveries::Outbox;
use super::{
    Presence, Store, StoreError, TenantContext, count, from_json, instant, ms, parse, signed,
    to_json,
};
use crate::clock::random_id;
use crate::domain::alerts::{
    Change, DeviceFacts, Facts, Key, Known, PlayerFacts, StoppedRollout, Subject, clear_count,
};

/// Changes that are made at once: the writer is not away for longer than these take.
const CHUNK: usize = 500;

/// What an evaluation goes by, all of one moment.
#[derive(Debug)]
pub struct Alerting {
    pub known: BTreeMap<Key, Known>,
    pub facts: Facts,
}

/// Kind, subject, since when it is watched; or of an open one: detail, since when it is over.
type KnownRow = (String, String, Option<i64>, Option<String>, Option<i64>);
/// As [`Store::concerned`] selects them, in this order.
#[derive(Debug, serde::Deserialize)]
struct VitalsRow {
    device: String,
    heard_ms: i64,
    online_for_ms: i64,
    disk_free_bytes: Option<i64>,
    temperature_mc: Option<i64>,
    under_voltage: i64,
    update_failure: Option<String>,
    player_ms: Option<i64>,
    error_screen: i64,
    certificate_ms: Option<i64>,
}
/// Device, errors, failed downloads.
type TroubleRow = (String, i64, i64);

fn key(kind: &str, subject: &str) -> Result<Key, StoreError> {
    let kind: AlertKind = parse("a kind of alert", kind)?;
    let subject = if kind == AlertKind::RolloutStopped {
        Subject::Rollout(parse("a rollout id", subject)?)
    } else {
        Subject::Device(parse("a device id", subject)?)
    };
    Ok((kind, subject))
}

fn seconds_ms(seconds: u64) -> i64 {
    signed(seconds).saturating_mul(1_000)
}

impl Store {
    /// Everything that may make a difference now.
    pub async fn alerting(
        &self,
        ctx: &TenantContext,
        rules: &AlertRules,
        presence: Presence,
        listening_since: Timestamp,
    ) -> Result<Alerting, StoreError> {
        let mut tx = self.snapshot().await?;
        let known = self.known_alerts(&mut tx, ctx).await?;
        let trouble = self.trouble(&mut tx, ctx, rules, presence.now).await?;
        let troubled: Vec<_> = trouble
            .keys()
            .map(|id| BTreeMap::from([("id", id)]))
            .collect();
        let troubled = to_json(&troubled);
        let vitals = self
            .concerned(&mut tx, ctx, rules, presence, &troubled)
            .await?;
        let mut devices = Vec::with_capacity(vitals.len());
        for row in vitals {
            let (errors, downloads) = trouble.get(&row.device).copied().unwrap_or_default();
            devices.push(DeviceFacts {
                errors,
                download_failures: downloads,
                ..facts_of(row, presence)?
            });
        }
        let stopped = self.stopped_rollouts(&mut tx, ctx).await?;
        let facts = Facts {
            listening_since,
            devices,
            stopped,
        };
        Ok(Alerting { known, facts })
    }

    async fn known_alerts(
        &self,
        tx: &mut Transaction<'_, Any>,
        ctx: &TenantContext,
    ) -> Result<BTreeMap<Key, Known>, StoreError> {
        let rows = self
            .dialect
            .json_rows("kind, subject, since_ms, detail, over_ms");
        let sql = format!(
            "SELECT {rows} FROM (
                 SELECT kind, subject, NULL AS since_ms, detail, over_ms FROM alerts
                 WHERE tenant_id = $1 AND resolved_ms IS NULL
                 UNION ALL
                 SELECT kind, subject, since_ms, NULL, NULL FROM alert_watches WHERE tenant_id = $1) known"
        );
        let rows: Vec<KnownRow> = document(tx, ctx, sql, &[]).await?;
        let mut known = BTreeMap::new();
        for (kind, subject, since, detail, over) in rows {
            let one = match (since, detail) {
                (Some(since), _) => Known::Watched {
                    since: instant(since)?,
                },
                (None, detail) => Known::Open {
                    detail: detail.unwrap_or_default(),
                    over_since: over.map(instant).transpose()?,
                },
            };
            let key = key(&kind, &subject)?;
            // One that is open and watched as well was watched before.
            if !matches!(known.get(&key), Some(Known::Open { .. })) {
                known.insert(key, one);
            }
        }
        Ok(known)
    }

    /// Errors and failed downloads of each device within the time of their rules, where they are more than few.
    async fn trouble(
        &self,
        tx: &mut Transaction<'_, Any>,
        ctx: &TenantContext,
        rules: &AlertRules,
        now: Timestamp,
    ) -> Result<BTreeMap<String, (u64, u64)>, StoreError> {
        let (errors, downloads) = (&rules.error_trend, &rules.download_failures);
        let begin = |seconds: u64| ms(now) - seconds_ms(seconds);
        let since = [errors, downloads].map(|rule| begin(rule.within_seconds.get()));
        let rows = self.dialect.json_rows("device_id, errors, downloads");
        let sql = format!(
            "SELECT {rows} FROM (
                 SELECT device_id,
                     count(*) FILTER (WHERE trouble = 'ERROR' AND received_ms >= $2) AS errors,
                     count(*) FILTER (WHERE trouble = 'DOWNLOAD' AND received_ms >= $3) AS downloads
                 FROM events WHERE tenant_id = $1 AND trouble IS NOT NULL AND received_ms >= $4
                 GROUP BY device_id) counted
             WHERE errors > $5 OR downloads > $6"
        );
        let numbers = [
            since[0],
            since[1],
            since[0].min(since[1]),
            signed(clear_count(errors)),
            signed(clear_count(downloads)),
        ];
        let rows: Vec<TroubleRow> = document(tx, ctx, sql, &numbers).await?;
        let rows = rows.into_iter();
        Ok(rows
            .map(|(device, errors, downloads)| (device, (count(errors), count(downloads))))
            .collect())
    }

    /// Devices that may be wrong by their figures, that are among `troubled`, or that something is known of.
    async fn concerned(
        &self,
        tx: &mut Transaction<'_, Any>,
        ctx: &TenantContext,
        rules: &AlertRules,
        presence: Presence,
        troubled: &str,
    ) -> Result<Vec<VitalsRow>, StoreError> {
        let rows = self.dialect.json_rows(
            "v.device_id, v.heard_ms, v.online_for_ms, v.disk_free_bytes, v.temperature_mc, v.under_voltage,
             v.update_failure, v.player_ms, v.error_screen, v.certificate_ms",
        );
        let (join, each) = (self.dialect.join_from_left(), self.dialect.json_each("$10"));
        let sql = format!(
            "SELECT {rows} FROM device_vitals v
             {join} devices d ON d.tenant_id = v.tenant_id AND d.device_id = v.device_id
             WHERE v.tenant_id = $1 AND (
                 v.heard_ms + CASE WHEN v.online_for_ms > $2 THEN v.online_for_ms ELSE $2 END <= $3
                 OR v.disk_free_bytes < $4 OR v.temperature_mc >= $5 OR v.under_voltage = $6
                 OR ($7 = 1 AND v.update_failure IS NOT NULL)
                 OR ($8 = 1 AND (v.error_screen = 1 OR v.player_ms + $2 < v.heard_ms))
                 OR v.certificate_ms <= $9
                 OR v.device_id IN (SELECT value ->> 'id' FROM {each})
                 OR v.device_id IN (SELECT subject FROM alerts WHERE tenant_id = $1 AND resolved_ms IS NULL)
                 OR v.device_id IN (SELECT subject FROM alert_watches WHERE tenant_id = $1))
               AND d.revoked_ms IS NULL"
        );
        let mut query = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(sql)).bind(ctx.key());
        for number in thresholds(rules, presence) {
            query = query.bind(number);
        }
        let text = query.bind(troubled).fetch_one(&mut **tx).await?;
        from_json("facts about devices", &text)
    }

    /// Those that no other one for the same hardware has followed.
    async fn stopped_rollouts(
        &self,
        tx: &mut Transaction<'_, Any>,
        ctx: &TenantContext,
    ) -> Result<Vec<StoppedRollout>, StoreError> {
        let rows = self.dialect.json_rows("r.rollout_id, r.summary");
        let sql = format!(
            "SELECT {rows} FROM rollouts r
             JOIN releases p ON p.tenant_id = r.tenant_id AND p.version = r.version
             WHERE r.tenant_id = $1 AND r.status IN ('rollingBack', 'rolledBack', 'failed')
               AND NOT EXISTS (SELECT 1 FROM rollouts n
                   JOIN releases q ON q.tenant_id = n.tenant_id AND q.version = n.version
                   WHERE n.tenant_id = r.tenant_id AND n.number > r.number AND q.compatible = p.compatible)"
        );
        let rows: Vec<(String, String)> = document(tx, ctx, sql, &[]).await?;
        rows.into_iter()
            .map(|(id, summary)| {
                Ok(StoppedRollout {
                    rollout_id: parse("a rollout id", &id)?,
                    summary,
                })
            })
            .collect()
    }

    /// Applies what was decided, and writes down who is to be told. What somebody else has done meanwhile is left as it
    /// is. Says how many alerts opened and how many ended.
    pub async fn apply_alert_changes(
        &self,
        ctx: &TenantContext,
        changes: &[(Key, Change)],
        now: Timestamp,
    ) -> Result<(u64, u64), StoreError> {
        let (mut opened, mut resolved) = (0, 0);
        for chunk in changes.chunks(CHUNK) {
            let mut tx = self.write.begin().await?;
            let mut outbox = Outbox::open(&mut tx, ctx).await?;
            for (key, change) in chunk {
                let Some((event, id)) = apply(&mut tx, ctx, key, change, now).await? else {
                    continue;
                };
                match event {
                    WebhookEvent::AlertOpened => opened += 1,
                    _ => resolved += 1,
                }
                outbox.post(&mut tx, ctx, event, &id, now).await?;
            }
            outbox.close(&mut tx, ctx, now).await?;
            tx.commit().await?;
        }
        Ok((opened, resolved))
    }
}

/// The figures beyond which a device may concern somebody, in the order of the query's parameters. What is switched off
/// concerns nobody.
fn thresholds(rules: &AlertRules, presence: Presence) -> [i64; 8] {
    let when = |enabled: bool, number: i64, nobody: i64| if enabled { number } else { nobody };
    let now = ms(presence.now);
    let (offline, disk) = (&rules.offline, &rules.low_disk);
    let (hot, certificate) = (&rules.hot, &rules.certificate_expiring);
    let silent = now - seconds_ms(offline.hold_seconds.get());
    let ending = now + seconds_ms(certificate.days.get() * 24 * 3600);
    [
        presence.at_least_ms(),
        when(offline.enabled, silent, i64::MIN),
        when(disk.enabled, signed(disk.free_bytes.get()), 0),
        when(hot.enabled, signed(hot.celsius.get() * 1_000), i64::MAX),
        when(rules.under_voltage.enabled, 1, -1),
        i64::from(rules.update_failed.enabled),
        i64::from(rules.blank_screen.enabled),
        when(certificate.enabled, ending, i64::MIN),
    ]
}

/// The rows of a query that makes one document of them.
async fn document<T: serde::de::DeserializeOwned>(
    tx: &mut Transaction<'_, Any>,
    ctx: &TenantContext,
    sql: String,
    numbers: &[i64],
) -> Result<T, StoreError> {
    let mut query = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(sql)).bind(ctx.key());
    for number in numbers {
        query = query.bind(*number);
    }
    let text = query.fetch_one(&mut **tx).await?;
    from_json("facts for alerts", &text)
}

fn facts_of(row: VitalsRow, presence: Presence) -> Result<DeviceFacts, StoreError> {
    let silence_ms = row.online_for_ms.max(presence.at_least_ms());
    let player = match row.player_ms {
        None => None,
        Some(heard) => Some(PlayerFacts {
            heard_at: instant(heard)?,
            error_screen: row.error_screen != 0,
        }),
    };
    Ok(DeviceFacts {
        device_id: parse("a device id", &row.device)?,
        heard_at: instant(row.heard_ms)?,
        silence: SignedDuration::from_millis(silence_ms),
        disk_free_bytes: row.disk_free_bytes.map(count),
        temperature_mc: row.temperature_mc,
        under_voltage: row.under_voltage != 0,
        update_failure: row.update_failure,
        player,
        certificate_until: row.certificate_ms.map(instant).transpose()?,
        errors: 0,
        download_failures: 0,
    })
}

const FORGET: &str =
    "DELETE FROM alert_watches WHERE tenant_id = $1 AND kind = $2 AND subject = $3";

/// What webhooks are to be told, if it came to anything.
async fn apply(
    tx: &mut Transaction<'_, Any>,
    ctx: &TenantContext,
    (kind, subject): &Key,
    change: &Change,
    now: Timestamp,
) -> Result<Option<(WebhookEvent, AlertId)>, StoreError> {
    let named = |sql: &'static str| {
        sqlx::query(sql)
            .bind(ctx.key())
            .bind(kind.name())
            .bind(subject.as_str())
    };
    match change {
        Change::Watch { since } => {
            let sql = "INSERT INTO alert_watches (tenant_id, kind, subject, since_ms) VALUES ($1, $2, $3, $4)
                 ON CONFLICT DO NOTHING";
            named(sql).bind(ms(*since)).execute(&mut **tx).await?;
            Ok(None)
        }
        Change::Forget => {
            named(FORGET).execute(&mut **tx).await?;
            Ok(None)
        }
        Change::Open { since, detail } => {
            named(FORGET).execute(&mut **tx).await?;
            let id: AlertId = random_id("alt_");
            let sql = "INSERT INTO alerts (tenant_id, kind, subject, alert_id, detail, since_ms, opened_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
            let query = named(sql).bind(id.to_string()).bind(detail.as_str());
            let query = query.bind(ms(*since)).bind(ms(now));
            let opened = query.execute(&mut **tx).await?.rows_affected() == 1;
            Ok(opened.then_some((WebhookEvent::AlertOpened, id)))
        }
        Change::Update { detail, over_since } => {
            let sql = "UPDATE alerts SET detail = $4, over_ms = $5
                 WHERE tenant_id = $1 AND kind = $2 AND subject = $3 AND resolved_ms IS NULL";
            let query = named(sql).bind(detail.as_str()).bind(over_since.map(ms));
            query.execute(&mut **tx).await?;
            Ok(None)
        }
        Change::Resolve => {
            let sql = "UPDATE alerts SET resolved_ms = $4
                 WHERE tenant_id = $1 AND kind = $2 AND subject = $3 AND resolved_ms IS NULL RETURNING alert_id";
            let row = named(sql).bind(ms(now)).fetch_optional(&mut **tx).await?;
            let Some(row) = row else { return Ok(None) };
            let id = parse("an alert id", row.try_get("alert_id")?)?;
            Ok(Some((WebhookEvent::AlertResolved, id)))
        }
    }
}
