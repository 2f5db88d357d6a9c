//! Commands: queued for a device, fetched by it in order, answered once.

use fleet_protocol::command::{
    Command, CommandKind, CommandResult, CommandStatus, CommandView, CreateCommand, Kind as Asked,
    Receiver,
};
use fleet_protocol::device::Page;
use fleet_protocol::player::PlayerCommandKind;
use fleet_protocol::{CommandId, DeviceId};
use jiff::SignedDuration;

use super::error::{Error, Kind, Refusal, no_such};
use super::{App, PageRequest, WakeupReason};
use crate::clock::random_id;
use crate::store::{QueuedCommand, TenantContext};

const DEFAULT_EXPIRY_S: u64 = 3_600;
const MAX_EXPIRY_S: u64 = 30 * 24 * 3_600;
const MAX_PENDING: u32 = 100;
/// Handed to a device at a time.
const DELIVERED_AT_ONCE: u32 = 50;

impl App {
    /// A command for the device's agent. One that forces an update has a failed one tried again.
    pub async fn create_command(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        request: CreateCommand,
    ) -> Result<CommandView, Error> {
        let forces = matches!(request.kind, CommandKind::Update { force: true, .. });
        let view = self.queue(ctx, id, request).await?;
        if forces && self.store.retry_member(ctx, id, self.now()).await? {
            self.plan_soon();
        }
        self.wakeups.wake(id, WakeupReason::Command);
        Ok(view)
    }

    /// Queues a command to the device's player.
    pub async fn create_player_command(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        request: CreateCommand<PlayerCommandKind>,
    ) -> Result<CommandView<PlayerCommandKind>, Error> {
        let view = self.queue(ctx, id, request).await?;
        self.wakeups.wake(id, WakeupReason::Content);
        Ok(view)
    }

    /// A command for the receiver that its kind says.
    async fn queue<K: Asked>(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        request: CreateCommand<K>,
    ) -> Result<CommandView<K>, Error> {
        self.device_row(ctx, id).await?;
        let seconds = request.expires_in_seconds.unwrap_or(DEFAULT_EXPIRY_S);
        if !(1..=MAX_EXPIRY_S).contains(&seconds) {
            let message = format!("{seconds} is not within 1 to {MAX_EXPIRY_S}");
            let hint = "leave it out for an hour";
            return Err(Refusal::field("expiresInSeconds", message, hint).into());
        }
        let now = self.now();
        let pending = self
            .store
            .commands_pending(ctx, id, K::RECEIVER, now)
            .await?;
        if pending >= MAX_PENDING {
            return Err(Refusal::new(
                Kind::Conflict,
                "QUEUE_FULL",
                format!("{MAX_PENDING} commands wait for this device already"),
                "cancel some of them, or wait until they expire",
            )
            .into());
        }
        let queued = QueuedCommand {
            command_id: random_id("cmd_"),
            kind: request.kind,
            created_at: now,
            expires_at: now + SignedDuration::from_secs(seconds.try_into().unwrap_or(i64::MAX)),
        };
        let command = self.store.add_command(ctx, id, queued).await?;
        tracing::info!(
            device.id = %id, command.id = %command.command_id, command.kind = command.kind.name(),
            operator = ctx.actor_name(), "command queued"
        );
        Ok(CommandView {
            command,
            status: CommandStatus::Pending,
            result: None,
        })
    }

    pub async fn commands<K: Asked>(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        page: &PageRequest,
    ) -> Result<Page<CommandView<K>>, Error> {
        self.device_row(ctx, id).await?;
        let (before, limit) = (page.number()?, page.with_one_more());
        let rows = self
            .store
            .commands(ctx, id, before, limit, self.now())
            .await?;
        Ok(page.page(
            rows,
            |c: &CommandView<K>| c.command.sequence.to_string(),
            |c| c,
        ))
    }

    /// # Errors
    /// 409 once the device has it: nobody can tell whether it still can be stopped.
    pub async fn cancel_command<K: Asked>(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        command: &CommandId,
    ) -> Result<CommandView<K>, Error> {
        let view = self
            .store
            .cancel_command(ctx, id, command, self.now())
            .await?;
        let list = "`fleet device command DEVICE` (GET /v1/devices/{id}/commands)";
        let view = view.ok_or_else(|| no_such("command", command, list))?;
        if view.status == CommandStatus::Cancelled {
            return Ok(view);
        }
        let stands = match view.status {
            CommandStatus::Delivered => "the device has it already",
            CommandStatus::Expired => "it has expired",
            _ => "it is finished",
        };
        Err(Refusal::new(
            Kind::Conflict,
            "NOT_CANCELLABLE",
            format!("the command can't be cancelled: {stands}"),
            "look at its result, and send another command if need be",
        )
        .into())
    }

    /// None, if the gate knew that there are none.
    pub async fn pending_commands<K: Asked>(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        are_there: bool,
    ) -> Result<Vec<Command<K>>, Error> {
        if !are_there {
            return Ok(Vec::new());
        }
        let now = self.now();
        Ok(self
            .store
            .deliver_commands(ctx, id, DELIVERED_AT_ONCE, now)
            .await?)
    }

    /// Keeps the first result; another one for the same command changes nothing.
    pub async fn command_result(
        &self,
        ctx: &TenantContext,
        id: &DeviceId,
        receiver: Receiver,
        command: &CommandId,
        result: &CommandResult,
    ) -> Result<(), Error> {
        let finished = self
            .store
            .finish_command(ctx, id, receiver, command, result);
        if !finished.await? {
            let list = match receiver {
                Receiver::Agent => "GET /v1/device/commands",
                Receiver::Player => "GET /v1/player/commands",
            };
            return Err(no_such("command", command, list));
        }
        tracing::info!(
            device.id = %id, command.id = %command, command.outcome = ?result.outcome,
            "command answered"
        );
        Ok(())
    }
}
