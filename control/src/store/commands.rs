//! The command queue of each device.

use fleet_protocol::command::{Command, CommandKind, CommandResult, CommandStatus, CommandView};
use fleet_protocol::{CommandId, DeviceId};
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Store, StoreError, TenantContext, count, from_json, instant, ms, parse, to_json};

/// A command to be queued; the store gives it its sequence number.
#[derive(Debug)]
pub struct QueuedCommand {
    pub command_id: CommandId,
    pub kind: CommandKind,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

fn command(row: &SqliteRow) -> Result<Command, StoreError> {
    Ok(Command {
        command_id: parse("a command id", row.try_get("command_id")?)?,
        sequence: count(row.try_get("sequence")?),
        created_at: instant(row.try_get("created_ms")?)?,
        expires_at: instant(row.try_get("expires_ms")?)?,
        kind: from_json("a command", row.try_get("kind")?)?,
    })
}

fn command_view(row: &SqliteRow, now: Timestamp) -> Result<CommandView, StoreError> {
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
    pub async fn add_command(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        queued: QueuedCommand,
    ) -> Result<Command, StoreError> {
        let mut tx = self.write.begin().await?;
        let sequence: i64 = sqlx::query_scalar(
            "UPDATE devices SET command_sequence = command_sequence + 1
             WHERE tenant_id = ? AND device_id = ? RETURNING command_sequence",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .fetch_one(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO commands (tenant_id, command_id, device_id, sequence, created_ms,
                                   expires_ms, kind)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(ctx.key())
        .bind(queued.command_id.as_str())
        .bind(id.as_str())
        .bind(sequence)
        .bind(ms(queued.created_at))
        .bind(ms(queued.expires_at))
        .bind(to_json(&queued.kind))
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

    /// What the device has still to do, in order, marked as delivered.
    pub async fn deliver_commands(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Command>, StoreError> {
        let rows = sqlx::query(
            "SELECT command_id, sequence, created_ms, expires_ms, kind FROM commands
             WHERE tenant_id = ? AND device_id = ? AND result IS NULL AND cancelled_ms IS NULL
               AND expires_ms > ?
             ORDER BY sequence LIMIT ?",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(ms(now))
        .bind(limit)
        .fetch_all(&self.read)
        .await?;
        let commands: Vec<_> = rows.iter().map(command).collect::<Result<_, _>>()?;
        if let Some(last) = commands.last() {
            sqlx::query(
                "UPDATE commands SET delivered_ms = ? WHERE tenant_id = ? AND device_id = ?
                 AND sequence <= ? AND delivered_ms IS NULL AND cancelled_ms IS NULL",
            )
            .bind(ms(now))
            .bind(ctx.key())
            .bind(id.as_str())
            .bind(i64::try_from(last.sequence).unwrap_or(i64::MAX))
            .execute(&self.write)
            .await?;
        }
        Ok(commands)
    }

    pub async fn commands_pending(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        now: Timestamp,
    ) -> Result<u32, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT count(*) FROM commands WHERE tenant_id = ? AND device_id = ?
             AND result IS NULL AND cancelled_ms IS NULL AND expires_ms > ?",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(ms(now))
        .fetch_one(&self.read)
        .await?)
    }

    /// The first result stays; false: this device has no such command.
    pub async fn finish_command(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        command: &CommandId,
        result: &CommandResult,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE commands SET result = coalesce(result, ?)
             WHERE tenant_id = ? AND device_id = ? AND command_id = ?",
        )
        .bind(to_json(result))
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(command.as_str())
        .execute(&self.write)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Cancels what was not yet handed to the device, and returns how the command now stands.
    pub async fn cancel_command(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        command: &CommandId,
        now: Timestamp,
    ) -> Result<Option<CommandView>, StoreError> {
        sqlx::query(
            "UPDATE commands SET cancelled_ms = ?1
             WHERE tenant_id = ?2 AND device_id = ?3 AND command_id = ?4 AND result IS NULL
               AND delivered_ms IS NULL AND cancelled_ms IS NULL AND expires_ms > ?1",
        )
        .bind(ms(now))
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(command.as_str())
        .execute(&self.write)
        .await?;
        let row = sqlx::query(
            "SELECT * FROM commands WHERE tenant_id = ? AND device_id = ? AND command_id = ?",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(command.as_str())
        .fetch_optional(&self.write)
        .await?;
        row.map(|row| command_view(&row, now)).transpose()
    }

    /// Newest first, below sequence `before`.
    pub async fn commands(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        before: Option<i64>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<CommandView>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM commands
             WHERE tenant_id = ?1 AND device_id = ?2 AND (?3 IS NULL OR sequence < ?3)
             ORDER BY sequence DESC LIMIT ?4",
        )
        .bind(ctx.key())
        .bind(id.as_str())
        .bind(before)
        .bind(limit)
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(|row| command_view(row, now)).collect()
    }
}
