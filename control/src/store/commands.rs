//! The command queue of each device, for its agent and for its player.

use fleet_protocol::command::{Command, CommandResult, CommandStatus, CommandView, Kind, Receiver};
use fleet_protocol::{CommandId, DeviceId};
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{Store, StoreError, TenantContext, count, from_json, instant, ms, parse, to_json};

/// A command to be queued; the store gives it its sequence number.
#[derive(Debug)]
pub struct QueuedCommand<K> {
    pub command_id: CommandId,
    pub kind: K,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

fn command<K: Kind>(row: &AnyRow) -> Result<Command<K>, StoreError> {
    Ok(Command {
        command_id: parse("a command id", row.try_get("command_id")?)?,
        sequence: count(row.try_get("sequence")?),
        created_at: instant(row.try_get("created_ms")?)?,
        expires_at: instant(row.try_get("expires_ms")?)?,
        kind: from_json("a command", row.try_get("kind")?)?,
    })
}

fn command_view<K: Kind>(row: &AnyRow, now: Timestamp) -> Result<CommandView<K>, StoreError> {
    let command = command(row)?;
    let result: Option<String> = row.try_get("result")?;
    let status = if result.is_some() {
        CommandStatus::Finished
    } else if row.try_get::<Option<i64>, _>("cancelled_ms")?.is_some() {
        CommandStatus::Cancelled
    } else if command.expires_at <= now {
        CommandStatus::Expired
    } else if row.try_get::<Option<i64>, _>("delivered_ms")?.is_some() {
        CommandStatus::Delivered
    } else {
        CommandStatus::Pending
    };
    Ok(CommandView {
        command,
        status,
        result: result.map(|r| from_json("a result", &r)).transpose()?,
    })
}

impl Store {
    pub async fn add_command<K: Kind>(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        queued: QueuedCommand<K>,
    ) -> Result<Command<K>, StoreError> {
        let mut tx = self.write.begin().await?;
        let sequence: i64 = sqlx::query_scalar(
            "UPDATE devices SET command_sequence = command_sequence + 1
             WHERE tenant_id = $1 AND device_id = $2 RETURNING command_sequence",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_one(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO commands (tenant_id, command_id, device_id, sequence, created_ms,
                                   expires_ms, kind, receiver)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(ctx.key())
        .bind(queued.command_id.as_str())
        .bind(id.as_str())
        .bind(sequence)
        .bind(ms(queued.created_at))
        .bind(ms(queued.expires_at))
        .bind(to_json(&queued.kind))
        .bind(K::RECEIVER.name())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Command {
            command_id: queued.command_id,
            sequence: count(sequence),
            created_at: queued.created_at,
            expires_at: queued.expires_at,
            kind: queued.kind,
        })
    }

    /// What the receiver has still to do, in order, marked as delivered.
    pub async fn deliver_commands<K: Kind>(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Command<K>>, StoreError> {
        // Most who ask have none, and those write nothing.
        let last: Option<i64> = sqlx::query_scalar(
            "SELECT max(sequence) FROM (
                 SELECT sequence FROM commands
                 WHERE tenant_id = $1 AND device_id = $2 AND receiver = $3 AND result IS NULL
                   AND cancelled_ms IS NULL AND expires_ms > $4
                 ORDER BY sequence LIMIT $5) AS first",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(K::RECEIVER.name())
        .bind(ms(now))
        .bind(i64::from(limit))
        .fetch_one(&self.read)
        .await?;
        let Some(last) = last else {
            self.forget_device(id);
            return Ok(Vec::new());
        };
        // Marked and given out in one, so that none is given out that was cancelled in between.
        let rows = sqlx::query(
            "UPDATE commands SET delivered_ms = coalesce(delivered_ms, $1)
             WHERE tenant_id = $2 AND device_id = $3 AND receiver = $4 AND sequence <= $5
               AND result IS NULL AND cancelled_ms IS NULL AND expires_ms > $1
             RETURNING command_id, sequence, created_ms, expires_ms, kind",
        )
        .bind(ms(now))
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(K::RECEIVER.name())
        .bind(last)
        .fetch_all(&self.write)
        .await?;
        let mut commands: Vec<Command<K>> = rows.iter().map(command).collect::<Result<_, _>>()?;
        commands.sort_by_key(|command| command.sequence);
        Ok(commands)
    }

    pub async fn commands_pending(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        receiver: Receiver,
        now: Timestamp,
    ) -> Result<u32, StoreError> {
        let pending: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM commands WHERE tenant_id = $1 AND device_id = $2 AND receiver = $3
             AND result IS NULL AND cancelled_ms IS NULL AND expires_ms > $4",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(receiver.name())
        .bind(ms(now))
        .fetch_one(&self.read)
        .await?;
        Ok(u32::try_from(pending).unwrap_or(u32::MAX))
    }

    /// The first result stays; false: this receiver has no such command.
    pub async fn finish_command(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        receiver: Receiver,
        command: &CommandId,
        result: &CommandResult,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE commands SET result = coalesce(result, $1)
             WHERE tenant_id = $2 AND device_id = $3 AND receiver = $4 AND command_id = $5",
        )
        .bind(to_json(result))
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(receiver.name())
        .bind(command.as_str())
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Cancels what was not yet handed to the device, and returns how the command now stands.
    pub async fn cancel_command<K: Kind>(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        command: &CommandId,
        now: Timestamp,
    ) -> Result<Option<CommandView<K>>, StoreError> {
        sqlx::query(
            "UPDATE commands SET cancelled_ms = $1
             WHERE tenant_id = $2 AND device_id = $3 AND command_id = $4 AND receiver = $5
               AND result IS NULL AND delivered_ms IS NULL AND cancelled_ms IS NULL AND expires_ms > $1",
        )
        .bind(ms(now))
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(command.as_str())
        .bind(K::RECEIVER.name())
        .execute(&self.write)
        .await?;
        let row = sqlx::query(
            "SELECT * FROM commands
             WHERE tenant_id = $1 AND device_id = $2 AND command_id = $3 AND receiver = $4",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(command.as_str())
        .bind(K::RECEIVER.name())
        .fetch_optional(&self.write)
        .await?;
        row.map(|row| command_view(&row, now)).transpose()
    }

    /// Newest first, below sequence `before`.
    pub async fn commands<K: Kind>(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        before: Option<i64>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<CommandView<K>>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM commands
             WHERE tenant_id = $1 AND device_id = $2 AND ($3 IS NULL OR sequence < $3)
               AND receiver = $5
             ORDER BY sequence DESC LIMIT $4",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(before)
        .bind(i64::from(limit))
        .bind(K::RECEIVER.name())
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(|row| command_view(row, now)).collect()
    }
}
