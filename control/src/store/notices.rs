//! What control planes on one PostgreSQL tell each other (LISTEN, NOTIFY). Nothing is kept: who does not listen at the
//! moment misses it, so nothing may depend on it but time.

use sqlx::postgres::PgListener;

use super::dialect::Dialect;
use super::open::unreachable;
use super::{Store, StoreError};

const CHANNEL: &str = "fleet_control";
/// PostgreSQL takes 8,000 bytes.
pub const LONGEST_NOTICE: usize = 7_900;

/// What others say from now on.
#[derive(Debug)]
pub struct Notices(PgListener);

impl Store {
    /// `None`: with SQLite there are no others.
    pub async fn listen(&self) -> Result<Option<Notices>, StoreError> {
        let Some(server) = &self.server else {
            return Ok(None);
        };
        let failed = |source| unreachable(server, source);
        let listener = PgListener::connect(server.as_str()).await;
        let mut listener = listener.map_err(failed)?;
        listener.listen(CHANNEL).await.map_err(failed)?;
        Ok(Some(Notices(listener)))
    }

    /// Tells everybody who listens, this control plane too.
    pub async fn tell(&self, text: &str) -> Result<(), StoreError> {
        if self.dialect == Dialect::Postgres {
            sqlx::query("SELECT pg_notify($1, $2)")
                .bind(CHANNEL)
                .bind(text)
                .execute(&self.write)
                .await?;
        }
        Ok(())
    }

    /// Whether there may be other control planes.
    pub fn is_shared(&self) -> bool {
        self.server.is_some()
    }
}

impl Notices {
    /// The next one. After an error it listens anew, and has missed what was said meanwhile.
    pub async fn next(&mut self) -> Result<String, StoreError> {
        Ok(self.0.recv().await?.payload().to_owned())
    }
}
