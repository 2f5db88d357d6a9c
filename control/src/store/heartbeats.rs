//! Signs of life. They come by the thousands a second, and each is on disk before it is answered: those that arrive while
//! one transaction is being written wait for the next, and are written by that together.
//!
//! Invariants:
//! - What is answered is committed. What nobody waits for any more may be.
//! - One that the database refuses keeps none of the others from being kept.
//! - At most [`MOST_WAITING`] wait; the next is told to come again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fleet_protocol::heartbeat::Heartbeat;
use fleet_protocol::player::PlayerHeartbeat;
use fleet_protocol::{DeviceId, RoleName};
use jiff::Timestamp;
use sqlx::{Any, Row as _, Transaction};
use tokio::sync::oneshot;

use super::vitals::{Vitals, note_player, shows_error};
use super::{Store, StoreError, TenantContext, from_json, instant, ms, to_json};

/// A heartbeat goes into the history when the last one there is this old, or says otherwise.
const HISTORY_STEP_MS: i64 = 5 * 60 * 1000;
/// As many as a transaction holds; that takes SQLite some tens of milliseconds.
const MOST_AT_ONCE: usize = 1_000;
/// A minute's worth of a hundred thousand devices would be a dozen times this.
const MOST_WAITING: usize = 10_000;

/// What was said.
#[derive(Debug)]
enum Said {
    Agent(Box<Facts>),
    Player {
        /// As JSON.
        heartbeat: String,
        error_screen: bool,
        at_ms: i64,
    },
}

/// What is kept of an agent's heartbeat, beside the heartbeat itself.
#[derive(Debug)]
struct Facts {
    heartbeat: String,
    version: String,
    root_hash: String,
    update_state: &'static str,
    compatible: String,
    hardware: String,
    role: String,
    online_for_ms: i64,
    vitals: Vitals,
    at_ms: i64,
}

/// One of them, and who waits for it.
#[derive(Debug)]
struct Beat {
    ctx: TenantContext,
    device: DeviceId,
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

    /// The next transaction's, in the order of their devices: control planes that share a database then never wait for
    /// one another in a ring. Those of one device stay in the order in which they came.
    fn next(&self) -> Vec<Beat> {
        let mut waiting = self.waiting();
        let most = waiting.len().min(MOST_AT_ONCE);
        let mut batch: Vec<Beat> = waiting.drain(..most).collect();
        drop(waiting);
        batch.sort_by(|a, b| a.device.cmp(&b.device));
        batch
    }
}

impl Facts {
    fn of(heartbeat: &Heartbeat, now: Timestamp) -> Self {
        Self {
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
    async fn keep(&self, tx: &mut Transaction<'_, Any>) -> Result<(), StoreError> {
        match &self.said {
            Said::Agent(facts) => self.keep_agents(tx, facts).await,
            Said::Player {
                heartbeat,
                error_screen,
                at_ms,
            } => {
                sqlx::query(
                    "UPDATE devices SET player = $1 WHERE tenant_id = $2 AND device_id = $3",
                )
                .bind(heartbeat)
                .bind(self.ctx.key())
                .bind(self.device.as_str())
                .execute(&mut **tx)
                .await?;
                note_player(tx, &self.ctx, &self.device, *error_screen, *at_ms).await
            }
        }
    }

    async fn keep_agents(
        &self,
        tx: &mut Transaction<'_, Any>,
        facts: &Facts,
    ) -> Result<(), StoreError> {
        let row = sqlx::query(
            "UPDATE devices SET heartbeat = $1, last_seen_ms = $2, version = $3, root_hash = $4,
                 update_state = $5, compatible = $6, hardware = $7, role = $8, online_for_ms = $9,
                 history_ms = CASE
                     WHEN history_ms <= $10 OR update_state IS DISTINCT FROM $5 OR version <> $3 THEN $2
                     ELSE history_ms END
             WHERE tenant_id = $11 AND device_id = $12
             RETURNING CASE WHEN history_ms = $2 THEN 1 ELSE 0 END AS due",
        )
        .bind(&facts.heartbeat)
        .bind(facts.at_ms)
        .bind(&facts.version)
        .bind(&facts.root_hash)
        .bind(facts.update_state)
        .bind(&facts.compatible)
        .bind(&facts.hardware)
        .bind(&facts.role)
        .bind(facts.online_for_ms)
        .bind(facts.at_ms - HISTORY_STEP_MS)
        .bind(self.ctx.key())
        .bind(self.device.as_str())
        .fetch_optional(&mut **tx)
        .await?;
        // A device that was removed a moment ago has neither figures nor a history.
        let Some(row) = row else { return Ok(()) };
        let online_for_ms = facts.online_for_ms;
        facts
            .vitals
            .keep(tx, &self.ctx, &self.device, online_for_ms, facts.at_ms)
            .await?;
        if row.try_get::<i64, _>("due")? == 1 {
            sqlx::query(
                "INSERT INTO heartbeats (tenant_id, device_id, received_ms, heartbeat)
                 VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            )
            .bind(self.ctx.key())
            .bind(self.device.as_str())
            .bind(facts.at_ms)
            .bind(&facts.heartbeat)
            .execute(&mut **tx)
            .await?;
        }
        Ok(())
    }

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
        let facts = Facts::of(heartbeat, now);
        self.keep(ctx, id, Said::Agent(Box::new(facts))).await
    }

    /// Keeps it as the last one. That the device is online is for its agent to say.
    pub async fn put_player_heartbeat(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        heartbeat: &PlayerHeartbeat,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let said = Said::Player {
            heartbeat: to_json(heartbeat),
            error_screen: shows_error(heartbeat),
            at_ms: ms(now),
        };
        self.keep(ctx, id, said).await
    }

    async fn keep(&self, ctx: &TenantContext, id: &DeviceId, said: Said) -> Result<(), StoreError> {
        let (kept, outcome) = oneshot::channel();
        self.beats.push(Beat {
            ctx: ctx.clone(),
            device: id.clone(),
            said,
            kept,
        })?;
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

    async fn in_one(&self, batch: &[Beat]) -> Result<(), StoreError> {
        let mut tx = self.write.begin().await?;
        for beat in batch {
            beat.keep(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(())
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
