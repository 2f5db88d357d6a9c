//! Work that one control plane of several does, or does at a time. PostgreSQL decides who; with SQLite there is only one.
//!
//! A turn is a transaction that stays open: it ends with the connection, so a control plane that was killed holds up
//! nobody. One that has lost its connection without knowing may still be at work, so what is done in a turn has to do
//! no harm when it is done twice (plans carry a generation, assets a status).

use std::time::Duration;

use jiff::Timestamp;
use sqlx::{Any, Transaction};

use super::dialect::Dialect;
use super::{Store, StoreError, ms};

/// Nobody else has this turn until it is dropped.
#[derive(Debug)]
#[must_use = "the turn ends when this is dropped"]
pub struct Turn(Option<Transaction<'static, Any>>);

/// The turn to do what is due once in a while.
#[derive(Debug)]
pub struct Due {
    job: &'static str,
    turn: Turn,
}

impl Store {
    /// Waits for the turn.
    pub async fn turn(&self, what: &str) -> Result<Turn, StoreError> {
        if self.dialect == Dialect::Sqlite {
            return Ok(Turn(None));
        }
        let mut tx = self.write.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
            .bind(what)
            .execute(&mut *tx)
            .await?;
        Ok(Turn(Some(tx)))
    }

    /// `None`: another control plane has it.
    pub async fn try_turn(&self, what: &str) -> Result<Option<Turn>, StoreError> {
        if self.dialect == Dialect::Sqlite {
            return Ok(Some(Turn(None)));
        }
        let mut tx = self.write.begin().await?;
        let mine: bool =
            sqlx::query_scalar("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))")
                .bind(what)
                .fetch_one(&mut *tx)
                .await?;
        Ok(mine.then_some(Turn(Some(tx))))
    }

    /// The turn to do a job that is due every so often. `None`: another control plane is at it, or did it not so long ago.
    /// With SQLite it always is.
    pub async fn due(
        &self,
        job: &'static str,
        every: Duration,
        now: Timestamp,
    ) -> Result<Option<Due>, StoreError> {
        let due = |turn| Some(Due { job, turn });
        if self.dialect == Dialect::Sqlite {
            return Ok(due(Turn(None)));
        }
        sqlx::query("INSERT INTO jobs (job, done_ms) VALUES ($1, 0) ON CONFLICT DO NOTHING")
            .bind(job)
            .execute(&self.write)
            .await?;
        let mut tx = self.write.begin().await?;
        let taken: Option<i64> = sqlx::query_scalar(
            "SELECT done_ms FROM jobs WHERE job = $1 AND done_ms <= $2 FOR UPDATE SKIP LOCKED",
        )
        .bind(job)
        .bind(ms(now) - i64::try_from(every.as_millis()).unwrap_or(i64::MAX))
        .fetch_optional(&mut *tx)
        .await?;
        Ok(taken.and_then(|_| due(Turn(Some(tx)))))
    }
}

impl Due {
    /// It is done, and due again after its time. Dropped without this, it stays due.
    pub async fn done(self, now: Timestamp) -> Result<(), StoreError> {
        let Some(mut tx) = self.turn.0 else {
            return Ok(());
        };
        sqlx::query("UPDATE jobs SET done_ms = $2 WHERE job = $1")
            .bind(self.job)
            .bind(ms(now))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}
