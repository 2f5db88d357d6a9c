//! RAUC over D-Bus. Every call has a deadline; RAUC absent, restarted in the middle or silent is an
//! answer like any other.

mod failure;
mod install;
mod proxy;

use std::collections::HashMap;
use std::time::Duration;

use fleet_protocol::Version;
use fleet_protocol::update::Slot;
use zbus::{Connection, OwnedVariant, Variant};

pub use failure::{FailureKind, classify};
pub use install::{Args, Progress};
use proxy::InstallerProxy;

/// Deadline of a call. RAUC looks at slots and boot loader for some of them, on slow flash.
const CALL_DEADLINE: Duration = Duration::from_secs(30);
/// Reading a bundle's manifest fetches its end over the network.
const INSPECT_DEADLINE: Duration = Duration::from_mins(2);

/// D-Bus' `a{sv}`.
pub type Fields = HashMap<String, OwnedVariant>;

/// What RAUC did not do, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {detail}")]
pub struct RaucError {
    pub operation: &'static str,
    pub kind: FailureKind,
    pub detail: String,
}

impl RaucError {
    fn new(operation: &'static str, kind: FailureKind, detail: impl Into<String>) -> Self {
        Self {
            operation,
            kind,
            detail: detail.into(),
        }
    }

    /// What to do next.
    pub const fn hint(&self) -> &'static str {
        self.kind.hint()
    }
}

/// What a slot is marked as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Good,
    Bad,
    /// First in the boot order.
    Active,
}

impl Mark {
    const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Active => "active",
        }
    }
}

/// One slot as RAUC sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotStatus {
    /// `rootfs.0`
    pub name: String,
    pub class: String,
    /// `A` or `B` for the slots that the boot loader knows.
    pub bootname: Option<Slot>,
    /// `booted`, `active` or `inactive`.
    pub state: String,
    /// The boot loader's view: `good` or `bad`.
    pub boot_good: Option<bool>,
    /// What was installed there last.
    pub version: Option<Version>,
    /// `ok` when that installation was finished.
    pub status: Option<String>,
    pub sha256: Option<String>,
    pub installed_at: Option<String>,
    /// The `transaction-id` of that installation.
    pub transaction: Option<String>,
}

impl SlotStatus {
    /// From its part of the answer to `GetSlotStatus`; what is missing or of another type is left out.
    pub fn of((name, fields): (String, Fields)) -> Self {
        Self {
            name,
            class: text(&fields, "class").unwrap_or_default(),
            bootname: text(&fields, "bootname").and_then(|t| t.parse().ok()),
            state: text(&fields, "state").unwrap_or_default(),
            boot_good: text(&fields, "boot-status").map(|t| t == "good"),
            version: text(&fields, "bundle.version").and_then(|t| t.parse().ok()),
            status: text(&fields, "status"),
            sha256: text(&fields, "sha256"),
            installed_at: text(&fields, "installed.timestamp"),
            transaction: text(&fields, "installed.transaction"),
        }
    }
}

/// What a bundle says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BundleInfo {
    pub compatible: String,
    pub version: Option<String>,
    pub manifest_hash: Option<String>,
}

impl BundleInfo {
    /// From the answer to `InspectBundle`; what it does not say in the form that RAUC documents is left out.
    pub fn of(info: &Fields) -> Self {
        let update: Fields = info
            .get("update")
            .and_then(|v| v.try_clone().ok())
            .and_then(|v| v.try_into().ok())
            .unwrap_or_default();
        Self {
            compatible: text(&update, "compatible").unwrap_or_default(),
            version: text(&update, "version"),
            manifest_hash: text(info, "manifest-hash"),
        }
    }
}

/// A connection to the bus that RAUC is on. RAUC itself may come and go.
#[derive(Debug, Clone)]
pub struct Rauc {
    connection: Connection,
}

impl Rauc {
    pub fn new(connection: Connection) -> Self {
        Self { connection }
    }

    async fn proxy(&self, operation: &'static str) -> Result<InstallerProxy<'_>, RaucError> {
        within(
            operation,
            CALL_DEADLINE,
            InstallerProxy::new(&self.connection),
        )
        .await
    }

    /// Whether an installation runs, ours or somebody else's.
    pub async fn is_installing(&self) -> Result<bool, RaucError> {
        const OPERATION: &str = "read the operation";
        let proxy = self.proxy(OPERATION).await?;
        let operation = within(OPERATION, CALL_DEADLINE, proxy.operation()).await?;
        Ok(operation == "installing")
    }

    /// RAUC's view of all slots.
    pub async fn slots(&self) -> Result<Vec<SlotStatus>, RaucError> {
        const OPERATION: &str = "read the slots' status";
        let proxy = self.proxy(OPERATION).await?;
        let slots = within(OPERATION, CALL_DEADLINE, proxy.get_slot_status()).await?;
        Ok(slots.into_iter().map(SlotStatus::of).collect())
    }

    /// The slot that the boot loader would choose next.
    pub async fn primary(&self) -> Result<Option<Slot>, RaucError> {
        const OPERATION: &str = "read the primary slot";
        let proxy = self.proxy(OPERATION).await?;
        let name = within(OPERATION, CALL_DEADLINE, proxy.get_primary()).await?;
        let slots = self.slots().await?;
        Ok(slots
            .into_iter()
            .find(|s| s.name == name)
            .and_then(|s| s.bootname))
    }

    /// Marks `slot`. Idempotent.
    pub async fn mark(&self, slot: Slot, mark: Mark) -> Result<String, RaucError> {
        const OPERATION: &str = "mark a slot";
        let slots = self.slots().await?;
        let name = slots
            .into_iter()
            .find(|s| s.bootname == Some(slot))
            .map(|s| s.name)
            .ok_or_else(|| {
                let detail = format!("RAUC knows no slot {slot}: check bootname= in system.conf");
                RaucError::new(OPERATION, FailureKind::Other, detail)
            })?;
        let proxy = self.proxy(OPERATION).await?;
        let call = proxy.mark(mark.name(), &name);
        let (_, message) = within(OPERATION, CALL_DEADLINE, call).await?;
        Ok(message)
    }

    /// The compatible that RAUC compares bundles with.
    pub async fn compatible(&self) -> Result<String, RaucError> {
        const OPERATION: &str = "read the compatible";
        let proxy = self.proxy(OPERATION).await?;
        within(OPERATION, CALL_DEADLINE, proxy.compatible()).await
    }

    /// Verifies a bundle's signature and reads its manifest, without installing it.
    pub async fn inspect(&self, source: &str) -> Result<BundleInfo, RaucError> {
        const OPERATION: &str = "inspect the bundle";
        let proxy = self.proxy(OPERATION).await?;
        let no_args: HashMap<&str, Variant<'_>> = HashMap::new();
        let call = proxy.inspect_bundle(source, no_args);
        let info = within(OPERATION, INSPECT_DEADLINE, call).await?;
        Ok(BundleInfo::of(&info))
    }
}

async fn within<T>(
    operation: &'static str,
    deadline: Duration,
    call: impl Future<Output = zbus::Result<T>>,
) -> Result<T, RaucError> {
    match tokio::time::timeout(deadline, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(from_bus(operation, &error)),
        Err(_) => {
            let detail = format!("RAUC did not answer within {} s", deadline.as_secs());
            Err(RaucError::new(operation, FailureKind::Absent, detail))
        }
    }
}

/// RAUC's own refusals carry a text; everything else is about RAUC's absence or the bus.
fn from_bus(operation: &'static str, error: &zbus::Error) -> RaucError {
    let refusal = match error {
        zbus::Error::MethodError(_, text, _) => text.as_ref(),
        zbus::Error::FDO(error) => match &**error {
            zbus::fdo::Error::Failed(text) => Some(text),
            _ => None,
        },
        _ => None,
    };
    match refusal {
        Some(text) => RaucError::new(operation, classify(text), text.clone()),
        None => RaucError::new(operation, FailureKind::Absent, error.to_string()),
    }
}

fn text(fields: &Fields, name: &str) -> Option<String> {
    let value = fields.get(name)?;
    let text: &str = value.try_into().ok()?;
    Some(text.to_owned())
}
