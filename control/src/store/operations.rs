//! What monitoring asks the store.

use sqlx::{AnyPool, Row as _};

use super::dialect::Dialect;
use super::{Store, StoreError, TenantContext, count};
use crate::metrics::PoolUse;

impl Store {
    /// How many rollouts there are in each state, by its name.
    pub async fn rollouts_by_state(
        &self,
        ctx: &TenantContext,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        let sql = "SELECT status, count(*) AS rollouts FROM rollouts WHERE tenant_id = $1 GROUP BY status";
        let rows = sqlx::query(sql)
            .bind(ctx.key())
            .fetch_all(&self.read)
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get("status")?, count(row.try_get("rollouts")?))))
            .collect()
    }

    /// Of a database on a server; `None`: it is a file, whose size anybody can see.
    pub async fn server_size_bytes(&self) -> Result<Option<u64>, StoreError> {
        if self.dialect == Dialect::Sqlite {
            return Ok(None);
        }
        let bytes: i64 = sqlx::query_scalar("SELECT pg_database_size(current_database())")
            .fetch_one(&self.read)
            .await?;
        Ok(Some(count(bytes)))
    }

    /// Connections of those who read and of the one who writes.
    pub fn pools(&self) -> (PoolUse, PoolUse) {
        (pool_use(&self.read), pool_use(&self.write))
    }
}

fn pool_use(pool: &AnyPool) -> PoolUse {
    let idle = pool.num_idle() as u64;
    PoolUse {
        used: u64::from(pool.size()).saturating_sub(idle),
        idle,
    }
}
