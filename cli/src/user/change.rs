//! `fleet user change`, `disable`, `enable`: refused when somebody else's change came between.

use clap::{ArgGroup, Args};
use fleet_protocol::access::{Capability, ChangeUser, TenantRole, UserView};

use super::Users;
use super::roles::{capability, tenant_role};
use crate::error::Result;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("change").required(true).multiple(true).args(["name", "role", "no_role", "capabilities", "no_capabilities"])))]
pub struct ChangeArgs {
    /// Id or e-mail address
    pub user: String,
    /// What people call them
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Over everything: viewer or admin
    #[arg(long, value_parser = tenant_role())]
    pub role: Option<TenantRole>,
    /// No role over everything from now on
    #[arg(long, conflicts_with = "role")]
    pub no_role: bool,
    /// Beyond the roles, all of them from now on; may be given several times
    #[arg(long = "capability", value_name = "CAPABILITY", value_parser = capability())]
    pub capabilities: Vec<Capability>,
    /// Nothing beyond the roles from now on
    #[arg(long, conflicts_with = "capabilities")]
    pub no_capabilities: bool,
}

pub(super) fn change(args: ChangeArgs, users: &Users) -> Result<UserView> {
    let change = ChangeUser {
        display_name: args.name,
        tenant_role: match (args.role, args.no_role) {
            (Some(role), _) => Some(Some(role)),
            (None, true) => Some(None),
            (None, false) => None,
        },
        capabilities: (args.no_capabilities || !args.capabilities.is_empty())
            .then_some(args.capabilities),
        disabled: None,
    };
    patch(&args.user, &change, users)
}

pub(super) fn disable(user: &str, users: &Users) -> Result<UserView> {
    let change = ChangeUser {
        disabled: Some(true),
        ..ChangeUser::default()
    };
    patch(user, &change, users)
}

pub(super) fn enable(user: &str, users: &Users) -> Result<UserView> {
    let change = ChangeUser {
        disabled: Some(false),
        ..ChangeUser::default()
    };
    patch(user, &change, users)
}

fn patch(user: &str, change: &ChangeUser, users: &Users) -> Result<UserView> {
    let before = users.one(user)?;
    users
        .client
        .patch_if_match(&users.path(&before), before.version, change)
}
