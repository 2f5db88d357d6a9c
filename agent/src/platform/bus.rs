//! The connection to the system bus, made when it is first needed and again when it broke.

use std::time::Duration;

use tokio::sync::Mutex;
use zbus::Connection;

use super::rauc::Rauc;
use super::systemd::Systemd;

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// The system bus, wherever it is (`DBUS_SYSTEM_BUS_ADDRESS`).
#[derive(Debug, Default)]
pub struct Bus {
    connection: Mutex<Option<Connection>>,
}

#[derive(Debug, Clone, thiserror::Error)]
#[error("the system bus cannot be reached: {detail}")]
pub struct BusError {
    pub detail: String,
}

impl Bus {
    async fn connection(&self) -> Result<Connection, BusError> {
        let mut held = self.connection.lock().await;
        if let Some(connection) = held.as_ref().filter(|c| !c.is_closed()) {
            return Ok(connection.clone());
        }
        let connect = zbus::connection::Builder::system().build();
        let connection = tokio::time::timeout(CONNECT_DEADLINE, connect)
            .await
            .map_err(|_| BusError {
                detail: "no answer in time".to_owned(),
            })?
            .map_err(|e| BusError {
                detail: e.to_string(),
            })?;
        *held = Some(connection.clone());
        Ok(connection)
    }

    pub async fn rauc(&self) -> Result<Rauc, BusError> {
        Ok(Rauc::new(self.connection().await?))
    }

    pub async fn systemd(&self) -> Result<Systemd, BusError> {
        Ok(Systemd::new(self.connection().await?))
    }
}
