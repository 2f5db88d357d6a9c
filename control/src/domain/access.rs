//! Who may do what (seed 003, §§5 and 25.4): the one place where roles, capabilities and scopes become rights.
//!
//! Every operator's route names the [`Right`] that it takes. A right over a tenant holds at all of its venues; a
//! role at a venue holds there alone. There is no way to a right that is not named here.

use std::collections::{BTreeMap, BTreeSet};

use fleet_protocol::VenueId;
use fleet_protocol::access::{Capability, Scope, TenantRole, VenueGrant, VenueRole};

/// What a route takes of whoever calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// Nothing but being somebody: one's own profile and sessions.
    Myself,
    /// See shared content.
    ReadLibrary,
    /// Change shared content.
    EditLibrary,
    /// See devices, releases, rollouts, reports of the whole tenant.
    ReadTenant,
    /// Publish releases and roll them out, change configuration.
    ManageReleases,
    /// Users, keys, venues, devices: everything.
    Administer,
    /// See the venue that the path names.
    ReadVenue,
    /// Change what is going to be on there.
    EditVenue,
    /// Publish there, look after its devices.
    ManageVenue,
}

impl Right {
    pub const ALL: [Self; 9] = [
        Self::Myself,
        Self::ReadLibrary,
        Self::EditLibrary,
        Self::ReadTenant,
        Self::ManageReleases,
        Self::Administer,
        Self::ReadVenue,
        Self::EditVenue,
        Self::ManageVenue,
    ];

    /// The least role that has it at one venue.
    const fn at_venue(self) -> Option<VenueRole> {
        match self {
            Self::Myself | Self::ReadLibrary | Self::ReadVenue => Some(VenueRole::Viewer),
            Self::EditVenue => Some(VenueRole::Editor),
            Self::ManageVenue => Some(VenueRole::Manager),
            Self::EditLibrary | Self::ReadTenant | Self::ManageReleases | Self::Administer => None,
        }
    }

    /// Whether it is about one venue, and not about the tenant.
    pub const fn is_of_a_venue(self) -> bool {
        matches!(self, Self::ReadVenue | Self::EditVenue | Self::ManageVenue)
    }

    /// What somebody who lacks it may ask an administrator for.
    pub const fn given_by(self) -> &'static str {
        match self {
            Self::Myself | Self::ReadLibrary => "any role",
            Self::EditLibrary => "the capability EDIT_SHARED_LIBRARY or the role TENANT_ADMIN",
            Self::ReadTenant => "the role TENANT_VIEWER or TENANT_ADMIN",
            Self::ManageReleases => "the capability MANAGE_RELEASES or the role TENANT_ADMIN",
            Self::Administer => "the role TENANT_ADMIN",
            Self::ReadVenue => "the role VENUE_VIEWER at this venue, or TENANT_VIEWER",
            Self::EditVenue => "the role VENUE_EDITOR at this venue, or TENANT_ADMIN",
            Self::ManageVenue => "the role VENUE_MANAGER at this venue, or TENANT_ADMIN",
        }
    }
}

/// Everything that somebody may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    tenant: BTreeSet<Right>,
    venues: BTreeMap<VenueId, VenueRole>,
}

impl Access {
    /// May do everything.
    pub fn all() -> Self {
        Self {
            tenant: Right::ALL.into(),
            venues: BTreeMap::new(),
        }
    }

    /// What a user's roles and capabilities come to.
    pub fn of_user(
        role: Option<TenantRole>,
        venues: &[VenueGrant],
        capabilities: &[Capability],
    ) -> Self {
        if role == Some(TenantRole::Admin) {
            return Self::all();
        }
        let mut access = Self::default();
        access.tenant.insert(Right::Myself);
        if role == Some(TenantRole::Viewer) {
            access.read();
        }
        for grant in venues {
            access.be(&grant.venue_id, grant.role);
        }
        for capability in capabilities {
            match capability {
                Capability::EditSharedLibrary => access.edit_library(),
                Capability::ManageReleases => access.manage_releases(),
            }
        }
        access
    }

    /// What a key's scopes come to; `venues` narrows [`Scope::ManageVenues`].
    pub fn of_key(scopes: &[Scope], venues: &[VenueId]) -> Self {
        let mut access = Self::default();
        access.tenant.insert(Right::Myself);
        for scope in scopes {
            match scope {
                Scope::Read => access.read(),
                Scope::EditLibrary => access.edit_library(),
                Scope::ManageReleases => access.manage_releases(),
                Scope::Administer => return Self::all(),
                Scope::ManageVenues if venues.is_empty() => access.tenant.extend([
                    Right::ReadLibrary,
                    Right::ReadVenue,
                    Right::EditVenue,
                    Right::ManageVenue,
                ]),
                Scope::ManageVenues => {
                    for venue in venues {
                        access.be(venue, VenueRole::Manager);
                    }
                }
            }
        }
        access
    }

    fn read(&mut self) {
        let rights = [Right::ReadLibrary, Right::ReadTenant, Right::ReadVenue];
        self.tenant.extend(rights);
    }

    fn edit_library(&mut self) {
        self.tenant.extend([Right::ReadLibrary, Right::EditLibrary]);
    }

    fn manage_releases(&mut self) {
        self.read();
        self.tenant.insert(Right::ManageReleases);
    }

    fn be(&mut self, venue: &VenueId, role: VenueRole) {
        self.tenant.insert(Right::ReadLibrary);
        let known = self.venues.entry(venue.clone()).or_insert(role);
        *known = role.max(*known);
    }

    /// Whether `right` is held, at `venue` if it is one of a venue.
    pub fn allows(&self, right: Right, venue: Option<&VenueId>) -> bool {
        if self.tenant.contains(&right) {
            return true;
        }
        let held = venue.and_then(|venue| self.venues.get(venue));
        match (held, right.at_venue()) {
            (Some(role), Some(least)) => *role >= least,
            _ => false,
        }
    }

    pub fn is_everything(&self) -> bool {
        self.tenant.contains(&Right::Administer)
    }

    /// The venues at which `right` is held; `None`: all.
    pub fn venues_with(&self, right: Right) -> Option<BTreeSet<&VenueId>> {
        if self.tenant.contains(&right) {
            return None;
        }
        let all = self.venues.keys();
        Some(
            all.filter(|venue| self.allows(right, Some(venue)))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn venue(name: &str) -> VenueId {
        format!("ven_{name}").parse().unwrap()
    }

    fn at(name: &str, role: VenueRole) -> VenueGrant {
        VenueGrant {
            venue_id: venue(name),
            role,
        }
    }

    #[test]
    fn each_role_has_the_rights_that_it_is_for() {
        use Right::{
            Administer, EditLibrary, EditVenue, ManageReleases, ManageVenue, Myself, ReadLibrary,
            ReadTenant, ReadVenue,
        };
        let check = |access: &Access, here: &[Right]| {
            let found: Vec<_> = Right::ALL
                .into_iter()
                .filter(|right| access.allows(*right, Some(&venue("a"))))
                .collect();
            assert_eq!(found, here);
        };
        let user = |role, venues: &[VenueGrant], caps: &[_]| Access::of_user(role, venues, caps);
        check(&user(None, &[], &[]), &[Myself]);
        check(&user(Some(TenantRole::Admin), &[], &[]), &Right::ALL);
        check(
            &user(Some(TenantRole::Viewer), &[], &[]),
            &[Myself, ReadLibrary, ReadTenant, ReadVenue],
        );
        check(
            &user(None, &[at("a", VenueRole::Viewer)], &[]),
            &[Myself, ReadLibrary, ReadVenue],
        );
        let guest = user(None, &[at("a", VenueRole::Viewer)], &[]);
        assert_eq!(guest.venues_with(ManageVenue), Some([].into()));
        check(
            &user(None, &[at("a", VenueRole::Editor)], &[]),
            &[Myself, ReadLibrary, ReadVenue, EditVenue],
        );
        check(
            &user(None, &[at("a", VenueRole::Manager)], &[]),
            &[Myself, ReadLibrary, ReadVenue, EditVenue, ManageVenue],
        );
        check(
            &user(None, &[at("b", VenueRole::Manager)], &[]),
            &[Myself, ReadLibrary],
        );
        check(
            &user(None, &[], &[Capability::EditSharedLibrary]),
            &[Myself, ReadLibrary, EditLibrary],
        );
        check(
            &user(None, &[], &[Capability::ManageReleases]),
            &[Myself, ReadLibrary, ReadTenant, ManageReleases, ReadVenue],
        );
        let key = Access::of_key(&[Scope::ManageVenues], &[venue("b")]);
        check(&key, &[Myself, ReadLibrary]);
        assert!(key.allows(ManageVenue, Some(&venue("b"))));
        assert_eq!(key.venues_with(ManageVenue), Some([&venue("b")].into()));
        assert_eq!(Access::all().venues_with(ManageVenue), None);
        assert!(!key.allows(Administer, Some(&venue("b"))));
        check(&Access::of_key(&[Scope::Administer], &[]), &Right::ALL);
    }

    fn grants() -> impl Strategy<Value = Vec<VenueGrant>> {
        let role = prop_oneof![
            Just(VenueRole::Viewer),
            Just(VenueRole::Editor),
            Just(VenueRole::Manager)
        ];
        let one = (0..4_u8, role).prop_map(|(n, role)| at(&n.to_string(), role));
        proptest::collection::vec(one, 0..6)
    }

    proptest! {
        #[test]
        fn roles_at_venues_never_reach_beyond_them(grants in grants()) {
            let access = Access::of_user(None, &grants, &[]);
            let elsewhere = venue("elsewhere");
            for right in Right::ALL {
                let beyond = access.allows(right, Some(&elsewhere)) || access.allows(right, None);
                prop_assert!(!beyond || matches!(right, Right::Myself | Right::ReadLibrary));
            }
        }

        #[test]
        fn another_grant_never_takes_a_right_away(grants in grants(), more in grants()) {
            let few = Access::of_user(None, &grants, &[]);
            let all: Vec<_> = grants.iter().chain(&more).cloned().collect();
            let many = Access::of_user(None, &all, &[]);
            for right in Right::ALL {
                for n in 0..4 {
                    let venue = venue(&n.to_string());
                    prop_assert!(!few.allows(right, Some(&venue)) || many.allows(right, Some(&venue)));
                }
            }
        }
    }
}
