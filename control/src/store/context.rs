//! The right to see one tenant's rows.

use fleet_protocol::{ApiKeyId, DeviceId, SessionId, TenantId, UserId};

use crate::domain::access::{Access, Right};

/// Whose rows a query may touch, and who asks. Made only by [`super::Store`]'s gate, so that
/// whoever holds one has shown credentials (or is the control plane's own background work).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantContext {
    tenant: TenantId,
    actor: Actor,
    access: Access,
}

/// Who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The holder of the token that the control plane was installed with.
    Operator(String),
    User {
        id: UserId,
        email: String,
        /// `None`: about to log in.
        session: Option<SessionId>,
    },
    Key {
        id: ApiKeyId,
        name: String,
    },
    Device(DeviceId),
    Enrolment,
    System,
}

impl TenantContext {
    pub(super) fn operator(tenant: TenantId, name: String) -> Self {
        let (actor, access) = (Actor::Operator(name), Access::all());
        Self {
            tenant,
            actor,
            access,
        }
    }

    pub(super) fn somebody(tenant: TenantId, actor: Actor, access: Access) -> Self {
        Self {
            tenant,
            actor,
            access,
        }
    }

    pub(super) fn device(tenant: TenantId, id: DeviceId) -> Self {
        Self::somebody(tenant, Actor::Device(id), Access::default())
    }

    pub(super) fn enrolment(tenant: TenantId) -> Self {
        Self::somebody(tenant, Actor::Enrolment, Access::default())
    }

    pub(super) fn system(tenant: TenantId) -> Self {
        Self::somebody(tenant, Actor::System, Access::default())
    }

    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    pub(super) fn key(&self) -> &str {
        self.tenant.as_str()
    }

    pub fn access(&self) -> &Access {
        &self.access
    }

    pub fn user(&self) -> Option<&UserId> {
        match &self.actor {
            Actor::User { id, .. } => Some(id),
            _ => None,
        }
    }

    /// The login that is behind it.
    pub fn session(&self) -> Option<&SessionId> {
        match &self.actor {
            Actor::User { session, .. } => session.as_ref(),
            _ => None,
        }
    }

    /// The program's key that was shown.
    pub fn key_id(&self) -> Option<&ApiKeyId> {
        match &self.actor {
            Actor::Key { id, .. } => Some(id),
            _ => None,
        }
    }

    /// For the audit log, and for what is counted of each: no two have the same, and nobody chooses it.
    pub fn actor_id(&self) -> String {
        match &self.actor {
            Actor::Operator(name) => format!("operator:{name}"),
            Actor::Key { id, .. } => id.to_string(),
            Actor::User { id, .. } => id.to_string(),
            Actor::Device(id) => id.to_string(),
            Actor::Enrolment => "enrolment".to_owned(),
            Actor::System => "system".to_owned(),
        }
    }

    /// Whether all of the tenant may be changed.
    pub fn is_administrator(&self) -> bool {
        self.access.allows(Right::Administer, None)
    }

    /// For logs, and for what was published by whom.
    pub fn actor_name(&self) -> &str {
        match &self.actor {
            Actor::Operator(name) | Actor::Key { name, .. } => name,
            Actor::User { email, .. } => email,
            Actor::Device(id) => id.as_str(),
            Actor::Enrolment => "enrolment",
            Actor::System => "system",
        }
    }
}
