//! Making tenants and shutting them out: what whoever runs the control plane does on its machine.

use fleet_protocol::access::TenantRole;
use fleet_protocol::{TenantId, UserId};
use jiff::Timestamp;

pub use super::users::Link;
use super::users::{INVITED_FOR, make_link};
use crate::clock::random_id;
use crate::store::{NewUser, Store, StoreError};

/// Where the address of a first administrator ends until they have said who they are.
pub(super) const UNNAMED: &str = "@setup.invalid";

/// Makes the tenant if it is new, and a link by which its first administrator lets themselves in.
pub async fn create_tenant(
    store: &Store,
    public_url: &str,
    tenant: &TenantId,
    name: &str,
    now: Timestamp,
) -> Result<Link, StoreError> {
    let ctx = store.put_tenant(tenant, name, now).await?;
    let email = format!("{tenant}{UNNAMED}");
    let user_id: UserId = if let Some(user) = store.user_by_email(&ctx, &email).await? {
        user.user_id
    } else {
        let user = NewUser {
            user_id: random_id("usr_"),
            email,
            display_name: "First administrator".to_owned(),
            tenant_role: Some(TenantRole::Admin),
            venue_roles: Vec::new(),
            capabilities: Vec::new(),
        };
        store.add_user(&ctx, &user, now).await?;
        user.user_id
    };
    make_link(store, public_url, &ctx, &user_id, now + INVITED_FOR).await
}
