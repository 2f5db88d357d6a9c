//! Roles on the command line: `--role admin`, `--venue Bar=editor`, `--capability manage-releases`.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args};
use fleet_protocol::access::{
    Capability, PutVenueRoles, TenantRole, UserView, VenueGrant, VenueRole,
};
use serde::Serialize;

use super::Users;
use crate::client::Client;
use crate::error::Result;
use crate::text::wire_name;
use crate::venue;

/// What somebody may do.
#[derive(Debug, Clone, Args)]
pub struct Rights {
    /// Over everything: viewer or admin
    #[arg(long, value_parser = tenant_role())]
    pub role: Option<TenantRole>,
    /// At one venue (its id or name): viewer, editor or manager; may be given several times
    #[arg(long = "venue", value_name = "VENUE=ROLE", value_parser = parse_at)]
    pub venues: Vec<At>,
    /// Beyond the roles; may be given several times
    #[arg(long = "capability", value_name = "CAPABILITY", value_parser = capability())]
    pub capabilities: Vec<Capability>,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["venues", "none"])))]
pub struct RolesArgs {
    /// Id or e-mail address
    pub user: String,
    /// All of them from now on: venue (id or name) and viewer, editor or manager
    #[arg(value_name = "VENUE=ROLE", value_parser = parse_at)]
    pub venues: Vec<At>,
    /// No role at any venue from now on
    #[arg(long)]
    pub none: bool,
}

/// A venue as it was typed, and the role there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    venue: String,
    role: VenueRole,
}

fn parse_at(text: &str) -> Result<At, String> {
    let wrong = || format!("`{text}` is no venue with a role; write it like Bar=editor");
    let (venue, role) = text.rsplit_once('=').ok_or_else(wrong)?;
    let role = one_of(&VENUE_ROLES, role)
        .ok_or_else(|| format!("`{role}` is none of viewer, editor and manager"))?;
    if venue.is_empty() {
        return Err(wrong());
    }
    Ok(At {
        venue: venue.to_owned(),
        role,
    })
}

const TENANT_ROLES: [(&str, TenantRole); 2] =
    [("viewer", TenantRole::Viewer), ("admin", TenantRole::Admin)];
const VENUE_ROLES: [(&str, VenueRole); 3] = [
    ("viewer", VenueRole::Viewer),
    ("editor", VenueRole::Editor),
    ("manager", VenueRole::Manager),
];
const CAPABILITIES: [(&str, Capability); 2] = [
    ("edit-shared-library", Capability::EditSharedLibrary),
    ("manage-releases", Capability::ManageReleases),
];

fn one_of<T: Copy>(all: &[(&str, T)], text: &str) -> Option<T> {
    let mut all = all.iter();
    all.find(|(name, _)| *name == text).map(|(_, value)| *value)
}

/// Takes the names, which help and completions know too.
pub(super) fn tenant_role() -> impl TypedValueParser<Value = TenantRole> {
    PossibleValuesParser::new(TENANT_ROLES.map(|(name, _)| name))
        .map(|text| one_of(&TENANT_ROLES, &text).expect("one of the names"))
}

/// As [`tenant_role`].
pub(super) fn capability() -> impl TypedValueParser<Value = Capability> {
    PossibleValuesParser::new(CAPABILITIES.map(|(name, _)| name))
        .map(|text| one_of(&CAPABILITIES, &text).expect("one of the names"))
}

pub(super) fn resolve(all: &[At], client: &Client) -> Result<Vec<VenueGrant>> {
    let grant = |at: &At| {
        Ok(VenueGrant {
            venue_id: venue::resolve(&at.venue, client)?,
            role: at.role,
        })
    };
    all.iter().map(grant).collect()
}

pub(super) fn put(args: &RolesArgs, users: &Users) -> Result<UserView> {
    let before = users.one(&args.user)?;
    let request = PutVenueRoles {
        venue_roles: resolve(&args.venues, &users.client)?,
    };
    let path = format!("{}/venue-roles", users.path(&before));
    users.client.put_if_match(&path, before.version, &request)
}

/// `VENUE_EDITOR` is `editor` for people, `READ` is `read`, `MANAGE_RELEASES` is `manage-releases`.
pub(crate) fn name(value: &impl Serialize) -> String {
    let wire = wire_name(value);
    let short = wire.strip_prefix("VENUE_").or(wire.strip_prefix("TENANT_"));
    short.unwrap_or(&wire).to_lowercase().replace('_', "-")
}

pub(super) fn everywhere(user: &UserView) -> String {
    user.tenant_role
        .map_or_else(|| "nothing".to_owned(), |role| name(&role))
}

pub(super) fn at_venues(user: &UserView) -> impl Iterator<Item = (&str, String)> {
    let grants = user.venue_roles.iter();
    grants.map(|grant| (grant.venue_id.as_str(), name(&grant.role)))
}

/// In a table's cell.
pub(super) fn summary(user: &UserView) -> String {
    let mut parts: Vec<String> = user.tenant_role.iter().map(name).collect();
    parts.extend(at_venues(user).map(|(venue, role)| format!("{venue}={role}")));
    parts.extend(user.capabilities.iter().map(name));
    if parts.is_empty() {
        return "-".to_owned();
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user::tests::ada;

    #[test]
    fn every_role_is_called_on_the_command_line_as_it_is_shown() {
        for (text, role) in TENANT_ROLES {
            assert_eq!(name(&role), text);
        }
        for (text, role) in VENUE_ROLES {
            assert_eq!(name(&role), text);
        }
        for (text, capability) in CAPABILITIES {
            assert_eq!(name(&capability), text);
        }
    }

    #[test]
    fn a_venue_may_have_any_name_before_the_last_equals_sign() {
        let at = |text| parse_at(text).map(|at| (at.venue, at.role));
        assert_eq!(at("Bar=editor"), Ok(("Bar".to_owned(), VenueRole::Editor)));
        assert_eq!(at("a=b=viewer"), Ok(("a=b".to_owned(), VenueRole::Viewer)));
        for wrong in ["Bar", "=viewer", "Bar=", "Bar=admin"] {
            assert!(parse_at(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_cell_has_every_right() {
        let expected = "viewer, ven_bar=editor, edit-shared-library";
        assert_eq!(summary(&ada()), expected);
    }
}
