//! Configuration documents for all devices, or for one.

use fleet_protocol::DeviceId;
use fleet_protocol::config::ConfigError;
use fleet_protocol::device::ConfigView;
use serde_json::{Map, Value};

use super::error::{Error, Refusal, no_such, stale};
use super::{App, WakeupReason};
use crate::domain::config::{DEFAULT_SCOPE, check};
use crate::store::TenantContext;

impl App {
    pub async fn config(&self, ctx: &TenantContext, scope: &str) -> Result<ConfigView, Error> {
        self.check_scope(ctx, scope).await?;
        let found = self.store.config(ctx, scope).await?;
        Ok(match found {
            Some(view) => view,
            // Nothing was ever set: the image's own configuration is in force.
            None => ConfigView {
                scope: scope.to_owned(),
                version: 0,
                document: Map::new(),
                created_at: self.now(),
            },
        })
    }

    /// Adds a version of the scope's document, if it is valid as a whole.
    pub async fn put_config(
        &self,
        ctx: &TenantContext,
        scope: &str,
        document: Map<String, Value>,
        expected: Option<u64>,
    ) -> Result<ConfigView, Error> {
        let device = self.check_scope(ctx, scope).await?;
        let default = match &device {
            Some(_) => self.store.config(ctx, DEFAULT_SCOPE).await?,
            None => None,
        };
        let mut layers = Vec::new();
        if let Some(default) = &default {
            layers.push(("the default document", &default.document));
        }
        layers.push(("this document", &document));
        check(&layers).map_err(refused)?;
        let now = self.now();
        let put = self
            .store
            .put_config(ctx, scope, &document, expected, now)
            .await?;
        let version = put.map_err(|present| stale("document", present))?;
        tracing::info!(
            config.scope = scope,
            config.version = version,
            "configuration changed"
        );
        match device {
            Some(id) => self.wakeups.wake(&id, WakeupReason::Target),
            None => self.wakeups.wake_all(WakeupReason::Target),
        }
        Ok(ConfigView {
            scope: scope.to_owned(),
            version,
            document,
            created_at: now,
        })
    }

    /// `None` for the default scope, else the device.
    async fn check_scope(
        &self,
        ctx: &TenantContext,
        scope: &str,
    ) -> Result<Option<DeviceId>, Error> {
        if scope == DEFAULT_SCOPE {
            return Ok(None);
        }
        let list =
            "`fleet device list` (GET /v1/devices; the fleet's own scope is called `default`)";
        let id: DeviceId = scope.parse().map_err(|_| no_such("scope", scope, list))?;
        self.device_row(ctx, &id).await?;
        Ok(Some(id))
    }
}

fn refused(error: ConfigError) -> Error {
    let hint = error.hint();
    match error {
        ConfigError::Field { field, reason, .. } => Refusal::field(&field, reason, hint).into(),
        ConfigError::Syntax { reason, .. } => Refusal::field("document", reason, hint).into(),
    }
}
