//! systemd's manager over D-Bus (org.freedesktop.systemd1(5)).

use std::time::Duration;

use fleet_protocol::UnitName;
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedObjectPath, proxy};

const DEADLINE: Duration = Duration::from_secs(20);

#[proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager {
    /// Loads the unit if need be, so that one that is not running answers too.
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn stop_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;
}

#[proxy(
    interface = "org.freedesktop.systemd1.Unit",
    default_service = "org.freedesktop.systemd1"
)]
trait Unit {
    #[zbus(property(emits_changed_signal = "false"))]
    fn load_state(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn active_state(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn sub_state(&self) -> zbus::Result<String>;
}

#[proxy(
    interface = "org.freedesktop.systemd1.Service",
    default_service = "org.freedesktop.systemd1"
)]
trait Service {
    #[zbus(property(emits_changed_signal = "false"), name = "NRestarts")]
    fn restarts(&self) -> zbus::Result<u32>;
}

/// What systemd did not do, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {unit}: {detail}")]
pub struct SystemdError {
    pub operation: &'static str,
    pub unit: String,
    pub detail: String,
}

impl SystemdError {
    /// What to do next.
    pub const fn hint(&self) -> &'static str {
        "look at `systemctl status` of the unit, and whether the agent may manage units"
    }
}

/// One unit at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitState {
    /// `loaded`, `not-found`, `masked` …
    pub load: String,
    /// `active`, `activating`, `inactive`, `failed` …
    pub active: String,
    pub sub: String,
    /// Automatic restarts since it was last started by hand; 0 for what is no service.
    pub restarts: u32,
}

impl UnitState {
    pub fn is_active(&self) -> bool {
        self.active == "active" || self.active == "reloading"
    }
}

/// The system's service manager.
#[derive(Debug, Clone)]
pub struct Systemd {
    connection: Connection,
}

impl Systemd {
    pub fn new(connection: Connection) -> Self {
        Self { connection }
    }

    pub async fn unit(&self, name: &UnitName) -> Result<UnitState, SystemdError> {
        within("look at", name.as_str(), self.read_unit(name)).await
    }

    async fn read_unit(&self, name: &UnitName) -> zbus::Result<UnitState> {
        let manager = ManagerProxy::new(&self.connection).await?;
        let path = manager.load_unit(name.as_str()).await?;
        let unit = UnitProxy::builder(&self.connection)
            .path(&path)
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        let restarts = if name.as_str().ends_with(".service") {
            let service = ServiceProxy::builder(&self.connection)
                .path(&path)
                .cache_properties(CacheProperties::No)
                .build()
                .await?;
            service.restarts().await?
        } else {
            0
        };
        Ok(UnitState {
            load: unit.load_state().await?,
            active: unit.active_state().await?,
            sub: unit.sub_state().await?,
            restarts,
        })
    }

    /// Answers when the job is queued, not when it is done.
    pub async fn restart(&self, name: &UnitName) -> Result<(), SystemdError> {
        within("restart", name.as_str(), async {
            let manager = ManagerProxy::new(&self.connection).await?;
            manager.restart_unit(name.as_str(), "replace").await
        })
        .await
        .map(drop)
    }

    pub async fn start(&self, name: &UnitName) -> Result<(), SystemdError> {
        within("start", name.as_str(), async {
            let manager = ManagerProxy::new(&self.connection).await?;
            manager.start_unit(name.as_str(), "replace").await
        })
        .await
        .map(drop)
    }

    pub async fn stop(&self, name: &UnitName) -> Result<(), SystemdError> {
        within("stop", name.as_str(), async {
            let manager = ManagerProxy::new(&self.connection).await?;
            manager.stop_unit(name.as_str(), "replace").await
        })
        .await
        .map(drop)
    }

    /// Goes to `target` and stops what it does not ask for, as safe mode does.
    pub async fn isolate(&self, target: &UnitName) -> Result<(), SystemdError> {
        within("isolate", target.as_str(), async {
            let manager = ManagerProxy::new(&self.connection).await?;
            manager.start_unit(target.as_str(), "isolate").await
        })
        .await
        .map(drop)
    }

    /// Reboots in order: starts `reboot.target`, so that units stop and filesystems are unmounted.
    pub async fn reboot(&self) -> Result<(), SystemdError> {
        within("start", "reboot.target", async {
            let manager = ManagerProxy::new(&self.connection).await?;
            manager
                .start_unit("reboot.target", "replace-irreversibly")
                .await
        })
        .await
        .map(drop)
    }
}

async fn within<T>(
    operation: &'static str,
    unit: &str,
    call: impl Future<Output = zbus::Result<T>>,
) -> Result<T, SystemdError> {
    let detail = match tokio::time::timeout(DEADLINE, call).await {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("systemd did not answer within {} s", DEADLINE.as_secs()),
    };
    Err(SystemdError {
        operation,
        unit: unit.to_owned(),
        detail,
    })
}
