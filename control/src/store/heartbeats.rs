//! Signs of life. They come by the thousands a second, and each is on disk before it is answered: those that arrive while
//! one transaction is being written wait for the next, and are written by that together.
//!
//! Invariants:
//! - What is answered is committed. What nobody waits for any more may be.
//! - One that the database refuses keeps none of the others from being kept.
//! - At most [`MOST_WAITING`] wait; the next is told to come again.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fleet_protocol::heartbeat::Heartbeat;
use fleet_protocol::player::PlayerHeartbeat;
use fleet_protocol::{DeviceId, RoleName};
use jiff::Timestamp;
use serde::Serialize;
use sqlx::{Any, Row as _, Transaction};
use tokio::sync::oneshot;

use super::vitals::{Vitals, keep_vitals, note_players, shows_error};
use super::{Store, StoreError, TenantContext, from_json, instant, ms, to_json};

/// A heartbeat goes into the history when the last one there is this old, or says otherwise.
const HISTORY_STEP_MS: i64 = 5 * 60 * 1000;
/// As many as a transaction holds; that takes SQLite some tens of milliseconds.
const MOST_AT_ONCE: usize = 1_000;
/// A minute's worth of a hundred thousand devices would be a dozen times this.
const MOST_WAITING: usize = 10_000;

/// What was said, as a statement reads it.
#[derive(Debug)]
enum Said {
    Agent(Box<AgentRow>),
    Player(PlayerRow),
}

/// What is kept of an agent's heartbeat, beside the heartbeat itself.
#[derive(Debug, Clone, Serialize)]
struct AgentRow {
    tenant: String,
    device: String,
    /// As JSON.
    heartbeat: String,
    version: String,
    root_hash: String,
    update_state: &'static str,
    compatible: String,
    hardware: String,
    role: String,
    online_for_ms: i64,
    #[serde(flatten)]
    vitals: Vitals,
    at_ms: i64,
}

#[derive(Debug, Clone, Serialize)]
struct PlayerRow {
    tenant: String,
    device: String,
    /// As JSON.
    heartbeat: String,
    error_screen: i64,
    at_ms: i64,
}

/// One of them, and who waits for it.
#[derive(Debug)]
struct Beat {
    said: Said,
    kept: oneshot::Sender<Result<(), StoreError>>,
}

/// Those that wait.
#[derive(Debug, Default)]
pub(super) struct Beats {
    waiting: Mutex<Vec<Beat>>,
    /// Held by whoever writes.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Beats {
    fn waiting(&self) -> MutexGuard<'_, Vec<Beat>> {
        // Nothing is left half done by a panic while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, beat: Beat) -> Result<(), StoreError> {
        let mut waiting = self.waiting();
        if waiting.len() >= MOST_WAITING {
            return Err(StoreError::Crowded);
        }
        waiting.push(beat);
        Ok(())
    }

    /// The next transaction's: at most one from each program of a device, in the order in which they came.
    fn next(&self) -> Vec<Beat> {
        let mut waiting = self.waiting();
        let (mut seen, mut batch, mut later) = (HashSet::new(), Vec::new(), Vec::new());
        for beat in waiting.drain(..) {
            if batch.len() < MOST_AT_ONCE && seen.insert(beat.said.speaker()) {
                batch.push(beat);
            } else {
                later.push(beat);
            }
        }
        *waiting = later;
        batch
    }
}

impl Said {
    /// Which program it is.
    fn speaker(&self) -> (bool, String) {
        match self {
            Self::Agent(row) => (true, row.device.clone()),
            Self::Player(row) => (false, row.device.clone()),
        }
    }
}

impl AgentRow {
    fn of(ctx: &TenantContext, id: &DeviceId, heartbeat: &Heartbeat, now: Timestamp) -> Self {
        Self {
            tenant: ctx.key().to_owned(),
            device: id.to_string(),
            heartbeat: to_json(heartbeat),
            version: heartbeat.booted.version.to_string(),
            root_hash: heartbeat.booted.root_hash.to_string(),
            update_state: heartbeat.update.name(),
            compatible: heartbeat.compatible.to_string(),
            hardware: heartbeat.hardware.clone(),
            role: RoleName::as_str(&heartbeat.role).to_owned(),
            online_for_ms: online_for_ms(heartbeat),
            vitals: Vitals::of(heartbeat),
            at_ms: ms(now),
        }
    }
}

/// Two heartbeats may get lost before a device counts as offline. Whoever announces more than a
/// configuration allows is not believed.
fn online_for_ms(heartbeat: &Heartbeat) -> i64 {
    const LONGEST_PAUSE_S: u32 = 86_400 / 2 * 3;
    let pause_s = heartbeat.next_within_seconds.unwrap_or(0);
    3_000 * i64::from(pause_s.min(LONGEST_PAUSE_S))
}

impl Beat {
    fn answer(self, outcome: Result<(), StoreError>) {
        // Whoever asked may have gone.
        let _ = self.kept.send(outcome);
    }
}

impl Store {
    /// Keeps the heartbeat as the device's last one, and in the history if it is due there.
    pub async fn put_heartbeat(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        heartbeat: &Heartbeat,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let row = AgentRow::of(ctx, id, heartbeat, now);
        self.keep(Said::Agent(Box::new(row))).await
    }

    /// Keeps it as the last one. That the device is online is for its agent to say.
    pub async fn put_player_heartbeat(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        heartbeat: &PlayerHeartbeat,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let row = PlayerRow {
            tenant: ctx.key().to_owned(),
            device: id.to_string(),
            heartbeat: to_json(heartbeat),
            error_screen: i64::from(shows_error(heartbeat)),
            at_ms: ms(now),
        };
        self.keep(Said::Player(row)).await
    }

    async fn keep(&self, said: Said) -> Result<(), StoreError> {
        let (kept, outcome) = oneshot::channel();
        self.beats.push(Beat { said, kept })?;
        let turn = Arc::clone(&self.beats.turn).lock_owned().await;
        // Whoever had the turn before may have written this one too.
        let batch = self.beats.next();
        if !batch.is_empty() {
            let store = self.clone();
            // Of its own: the others go on waiting for it when this one's caller has gone.
            tokio::spawn(async move {
                store.keep_all(batch).await;
                drop(turn);
            });
        }
        outcome.await.unwrap_or(Err(StoreError::Crowded))
    }

    async fn keep_all(&self, batch: Vec<Beat>) {
        match self.in_one(&batch).await {
            Ok(()) => batch.into_iter().for_each(|beat| beat.answer(Ok(()))),
            Err(error) if error.is_passing() => {
                let error = Arc::new(error);
                for beat in batch {
                    beat.answer(Err(StoreError::Together(Arc::clone(&error))));
                }
            }
            Err(_) => {
                for beat in batch {
                    let outcome = self.in_one(std::slice::from_ref(&beat)).await;
                    beat.answer(outcome);
                }
            }
        }
    }

    /// All of them in one transaction, and those of one kind in the same few statements, however many they are.
    async fn in_one(&self, batch: &[Beat]) -> Result<(), StoreError> {
        let (mut agents, mut players) = (Vec::new(), Vec::new());
        for beat in batch {
            match &beat.said {
                Said::Agent(row) => agents.push(row.as_ref()),
                Said::Player(row) => players.push(row),
            }
        }
        let mut tx = self.write.begin().await?;
        if !agents.is_empty() {
            self.keep_agents(&mut tx, &to_json(&agents)).await?;
        }
        if !players.is_empty() {
            self.keep_players(&mut tx, &to_json(&players)).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// A device that was removed a moment ago has neither figures nor a history.
    async fn keep_agents(
        &self,
        tx: &mut Transaction<'_, Any>,
        rows: &str,
    ) -> Result<(), StoreError> {
        self.hold_devices(tx, rows).await?;
        let (said, join) = (self.dialect.json_each("$1"), self.dialect.join_from_left());
        let last = format!(
            "UPDATE devices SET heartbeat = s.heartbeat, last_seen_ms = s.at_ms, version = s.version,
                 root_hash = s.root_hash, update_state = s.update_state, compatible = s.compatible,
                 hardware = s.hardware, role = s.role, online_for_ms = s.online_for_ms,
                 history_ms = CASE
                     WHEN history_ms <= s.at_ms - $2 OR devices.update_state IS DISTINCT FROM s.update_state
                         OR devices.version <> s.version THEN s.at_ms
                     ELSE history_ms END
             FROM (SELECT e.value ->> 'tenant' AS tenant, e.value ->> 'device' AS device,
                       e.value ->> 'heartbeat' AS heartbeat, CAST(e.value ->> 'at_ms' AS BIGINT) AS at_ms,
                       e.value ->> 'version' AS version, e.value ->> 'root_hash' AS root_hash,
                       e.value ->> 'update_state' AS update_state, e.value ->> 'compatible' AS compatible,
                       e.value ->> 'hardware' AS hardware, e.value ->> 'role' AS role,
                       CAST(e.value ->> 'online_for_ms' AS BIGINT) AS online_for_ms
                   FROM {said} AS e) AS s
             WHERE devices.tenant_id = s.tenant AND devices.device_id = s.device"
        );
        sqlx::query(sqlx::AssertSqlSafe(last))
            .bind(rows)
            .bind(HISTORY_STEP_MS)
            .execute(&mut **tx)
            .await?;
        keep_vitals(tx, self.dialect, rows).await?;
        // The history is due where the statement above says so.
        let history = format!(
            "INSERT INTO heartbeats (tenant_id, device_id, received_ms, heartbeat)
             SELECT d.tenant_id, d.device_id, d.history_ms, d.heartbeat
             FROM {said} AS e
             {join} devices d ON d.tenant_id = e.value ->> 'tenant' AND d.device_id = e.value ->> 'device'
             WHERE d.history_ms = d.last_seen_ms
             ON CONFLICT DO NOTHING"
        );
        sqlx::query(sqlx::AssertSqlSafe(history))
            .bind(rows)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    async fn keep_players(
        &self,
        tx: &mut Transaction<'_, Any>,
        rows: &str,
    ) -> Result<(), StoreError> {
        self.hold_devices(tx, rows).await?;
        let said = self.dialect.json_each("$1");
        let last = format!(
            "UPDATE devices SET player = s.heartbeat
             FROM (SELECT e.value ->> 'tenant' AS tenant, e.value ->> 'device' AS device,
                       e.value ->> 'heartbeat' AS heartbeat FROM {said} AS e) AS s
             WHERE devices.tenant_id = s.tenant AND devices.device_id = s.device"
        );
        sqlx::query(sqlx::AssertSqlSafe(last))
            .bind(rows)
            .execute(&mut **tx)
            .await?;
        note_players(tx, self.dialect, rows).await
    }

    /// The history, newest first, as `(received, heartbeat)`.
    pub async fn heartbeats(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<(Timestamp, Heartbeat)>, StoreError> {
        let rows = sqlx::query(
            "SELECT received_ms, heartbeat FROM heartbeats
             WHERE tenant_id = $1 AND device_id = $2 AND ($3 IS NULL OR received_ms < $3)
             ORDER BY received_ms DESC LIMIT $4",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(before)
        .bind(i64::from(limit))
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|row| {
                let at = instant(row.try_get("received_ms")?)?;
                Ok((at, from_json("a heartbeat", row.try_get("heartbeat")?)?))
            })
            .collect()
    }
}
