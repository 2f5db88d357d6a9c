//! The right to see one tenant's rows.

use fleet_protocol::{DeviceId, TenantId};

/// Whose rows a query may touch, and who asks. Made only by [`super::Store`]'s gate, so that
/// whoever holds one has shown credentials (or is the control plane's own background work).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantContext {
    tenant: TenantId,
    actor: Actor,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Actor {
    Operator(String),
    Device(DeviceId),
    Enrolment,
    System,
}

impl TenantContext {
    pub(super) fn operator(tenant: TenantId, name: String) -> Self {
        let actor = Actor::Operator(name);
        Self { tenant, actor }
    }

    pub(super) fn device(tenant: TenantId, id: DeviceId) -> Self {
        let actor = Actor::Device(id);
        Self { tenant, actor }
    }

    pub(super) fn enrolment(tenant: TenantId) -> Self {
        let actor = Actor::Enrolment;
        Self { tenant, actor }
    }

    pub(super) fn system(tenant: TenantId) -> Self {
        let actor = Actor::System;
        Self { tenant, actor }
    }

    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    pub(super) fn key(&self) -> &str {
        self.tenant.as_str()
    }

    /// For logs.
    pub fn actor_name(&self) -> &str {
        match &self.actor {
            Actor::Operator(name) => name,
            Actor::Device(id) => id.as_str(),
            Actor::Enrolment => "enrolment",
            Actor::System => "system",
        }
    }
}
