//! `fleet user`: people, what they may do, and the links by which they choose a password.

mod change;
mod roles;

use clap::{Args, Subcommand};
use fleet_protocol::UserId;
use fleet_protocol::access::{CreateUser, Invitation, UserCreated, UserStatus, UserView};
use fleet_protocol::device::Page;

use crate::account::tenant;
use crate::args::Global;
use crate::client::{Client, NoBody, encode};
use crate::context;
use crate::error::Result;
use crate::name::{self, Named, label};
use crate::output::{Output, Tone, printable};

use change::ChangeArgs;
pub(crate) use roles::name as role_name;
use roles::{Rights, RolesArgs};

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// List the users
    List {
        /// Only those with this in address or name
        #[arg(value_name = "TEXT")]
        query: Option<String>,
        /// Only those that are invited, active or disabled
        #[arg(long, value_name = "STATUS", value_parser = status)]
        status: Option<UserStatus>,
    },
    /// Show one user
    Show {
        /// Id or e-mail address
        user: String,
    },
    /// Add somebody: mails them a link, by which they choose a password; prints it if it can't be mailed
    Invite(InviteArgs),
    /// Change name, role over everything, or capabilities
    Change(ChangeArgs),
    /// Say anew which roles somebody has at venues
    Roles(RolesArgs),
    /// Keep somebody out: ends every session
    Disable {
        /// Id or e-mail address
        user: String,
    },
    /// Let somebody in again
    Enable {
        /// Id or e-mail address
        user: String,
    },
    /// Mail somebody a new link, by which they choose a password; prints it if it can't be mailed
    Reset {
        /// Id or e-mail address
        user: String,
        /// Print the link instead of mailing it
        #[arg(long, conflicts_with = "second_factor")]
        print: bool,
        /// Take the second factor off instead: the authenticator is lost
        #[arg(long)]
        second_factor: bool,
    },
}

fn status(text: &str) -> Result<UserStatus, String> {
    text.to_uppercase().parse()
}

#[derive(Debug, Args)]
pub struct InviteArgs {
    #[arg(value_name = "ADDRESS")]
    pub email: String,
    /// What people call them; else what stands before the @
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    #[command(flatten)]
    pub rights: Rights,
}

/// # Errors
/// Kind refused when the caller is no administrator.
pub fn run(command: UserCommand, global: &Global, output: Output) -> Result<()> {
    let users = Users::open(context::client(global)?)?;
    match command {
        UserCommand::List { query, status } => {
            let page = Page {
                items: users.all(query.as_deref(), status)?,
                next_cursor: None,
            };
            output.result(&page, |page| table(&page.items, output));
        }
        UserCommand::Show { user } => show(&users.one(&user)?, output),
        UserCommand::Invite(args) => invite(args, &users, output)?,
        UserCommand::Change(args) => show(&change::change(args, &users)?, output),
        UserCommand::Roles(args) => show(&roles::put(&args, &users)?, output),
        UserCommand::Disable { user } => show(&change::disable(&user, &users)?, output),
        UserCommand::Enable { user } => show(&change::enable(&user, &users)?, output),
        UserCommand::Reset {
            user,
            print,
            second_factor: false,
        } => {
            let user = users.one(&user)?;
            let query = if print { "?mail=false" } else { "" };
            let path = format!("{}/invitation{query}", users.path(&user));
            let link: Invitation = users.client.post(&path, &NoBody {})?;
            output.result(&link, |link| text_of_link(&user, link));
        }
        UserCommand::Reset {
            user,
            second_factor: true,
            ..
        } => {
            let user = users.one(&user)?;
            let path = format!("{}/totp/remove", users.path(&user));
            let _: serde_json::Value = users.client.post(&path, &NoBody {})?;
            show(&users.get(&user.user_id)?, output);
        }
    }
    Ok(())
}

/// The users of a tenant.
struct Users {
    client: Client,
    path: String,
}

impl Users {
    fn open(client: Client) -> Result<Self> {
        let path = format!("/v1/tenants/{}/users", tenant(&client)?);
        Ok(Self { client, path })
    }

    fn path(&self, user: &UserView) -> String {
        format!("{}/{}", self.path, user.user_id)
    }

    fn all(&self, query: Option<&str>, status: Option<UserStatus>) -> Result<Vec<UserView>> {
        let mut filters = Vec::new();
        filters.extend(query.map(|text| format!("q={}", encode(text))));
        filters.extend(status.map(|status| format!("status={}", status.name())));
        let sign = if filters.is_empty() { "" } else { "?" };
        self.client
            .all(&format!("{}{sign}{}", self.path, filters.join("&")))
    }

    fn one(&self, text: &str) -> Result<UserView> {
        match text.parse() {
            Ok(id) => self.get(&id),
            Err(_) => Ok(name::find(&self.all(Some(text), None)?, text)?.clone()),
        }
    }

    fn get(&self, id: &UserId) -> Result<UserView> {
        self.client.get(&format!("{}/{id}", self.path))
    }
}

fn show(user: &UserView, output: Output) {
    output.result(user, |user| text(user, output));
}

impl Named for UserView {
    const KIND: &'static str = "user";
    const LIST: &'static str = "fleet user list";

    fn id(&self) -> &str {
        self.user_id.as_str()
    }

    fn is_called(&self, text: &str) -> bool {
        self.email.eq_ignore_ascii_case(text)
    }
}

fn invite(args: InviteArgs, users: &Users, output: Output) -> Result<()> {
    let before_at = args.email.split('@').next().unwrap_or_default();
    let request = CreateUser {
        display_name: args.name.unwrap_or_else(|| before_at.to_owned()),
        tenant_role: args.rights.role,
        venue_roles: roles::resolve(&args.rights.venues, &users.client)?,
        capabilities: args.rights.capabilities,
        email: args.email,
    };
    let created: UserCreated = users.client.post(&users.path, &request)?;
    output.result(&created, |created| {
        let link = text_of_link(&created.user, &created.invitation);
        format!("{}{link}", text(&created.user, output))
    });
    Ok(())
}

fn text_of_link(user: &UserView, invitation: &Invitation) -> String {
    let who = label(&user.display_name, &printable(&user.email));
    let until = invitation.expires_at.strftime("%Y-%m-%d %H:%M UTC");
    let Some(link) = &invitation.link else {
        return format!(
            "A link was mailed, by which {who} chooses a password, once, until {until}\n"
        );
    };
    let failure = invitation
        .mail_failure
        .as_deref()
        .map_or_else(String::new, |why| {
            format!("It was not mailed: {}\n", printable(why))
        });
    format!(
        "{failure}By this link {who} chooses a password, once, until {until}:\n{}\n",
        printable(link)
    )
}

fn painted(status: UserStatus, output: Output) -> String {
    let tone = match status {
        UserStatus::Invited => Tone::Busy,
        UserStatus::Active => Tone::Good,
        UserStatus::Disabled => Tone::Bad,
    };
    output.paint(tone, &status.name().to_lowercase())
}

fn table(users: &[UserView], output: Output) -> String {
    if users.is_empty() {
        return "No users. Invite somebody: fleet user invite ADDRESS --role admin\n".to_owned();
    }
    let row = |user: &UserView| {
        vec![
            output.paint(Tone::Strong, &printable(&user.email)),
            printable(&user.display_name),
            painted(user.status, output),
            roles::summary(user),
            last_login(user),
            user.user_id.to_string(),
        ]
    };
    let rows: Vec<_> = users.iter().map(row).collect();
    let header = [
        "e-mail",
        "name",
        "status",
        "roles",
        "last login (UTC)",
        "user",
    ];
    output.table(&header, &rows)
}

fn last_login(user: &UserView) -> String {
    match user.last_login_at {
        Some(at) => at.strftime("%Y-%m-%d %H:%M").to_string(),
        None => "never".to_owned(),
    }
}

fn text(user: &UserView, output: Output) -> String {
    let mut fields = vec![
        (
            "e-mail",
            output.paint(Tone::Strong, &printable(&user.email)),
        ),
        ("name", printable(&user.display_name)),
        ("user", user.user_id.to_string()),
        ("status", painted(user.status, output)),
        ("last login", last_login(user)),
    ];
    fields.extend(rights(user));
    output.fields(&fields)
}

/// What somebody may do, and how the login is protected.
pub(crate) fn rights(user: &UserView) -> Vec<(&'static str, String)> {
    let mut fields = vec![("everywhere", roles::everywhere(user))];
    for (place, role) in roles::at_venues(user) {
        fields.push(("at a venue", format!("{role} at {place}")));
    }
    for capability in &user.capabilities {
        fields.push(("may also", roles::name(capability)));
    }
    let totp = if user.totp { "yes" } else { "no" };
    fields.push(("second factor", totp.to_owned()));
    fields
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::asset::tests::plain;
    use serde_json::json;

    pub(crate) fn ada() -> UserView {
        serde_json::from_value(json!({
            "userId": "usr_1", "tenantId": "ten_a", "email": "ada@example.org", "displayName": "Ada",
            "status": "ACTIVE", "tenantRole": "TENANT_VIEWER",
            "venueRoles": [{"venueId": "ven_bar", "role": "VENUE_EDITOR"}],
            "capabilities": ["EDIT_SHARED_LIBRARY"], "totp": true, "version": 3,
            "createdAt": "2026-06-15T14:02:00Z", "updatedAt": "2026-06-15T14:02:00Z",
        }))
        .unwrap()
    }

    #[test]
    fn somebody_is_shown_with_all_that_they_may_do() {
        let shown = text(&ada(), plain());
        for part in [
            "ada@example.org",
            "active",
            "viewer",
            "editor at ven_bar",
            "edit-shared-library",
            "never",
        ] {
            assert!(shown.contains(part), "no `{part}` in\n{shown}");
        }
    }

    #[test]
    fn a_link_that_was_mailed_is_not_shown_and_one_that_was_not_says_why() {
        let mut invitation: Invitation =
            serde_json::from_value(json!({"expiresAt": "2026-06-15T14:02:00Z", "mailed": true}))
                .unwrap();
        let mailed = text_of_link(&ada(), &invitation);
        assert!(mailed.starts_with("A link was mailed"), "{mailed}");
        invitation.link = Some("https://h/join?token=a".to_owned());
        invitation.mail_failure = Some("no connection".to_owned());
        let shown = text_of_link(&ada(), &invitation);
        assert!(
            shown.starts_with("It was not mailed: no connection\n"),
            "{shown}"
        );
        assert!(shown.ends_with("\nhttps://h/join?token=a\n"), "{shown}");
    }

    #[test]
    fn somebody_is_found_by_the_address_however_it_is_written() {
        let all = [ada()];
        assert_eq!(name::find(&all, "Ada@Example.org").unwrap().id(), "usr_1");
        assert!(name::find(&all, "Ada").is_err());
    }
}
