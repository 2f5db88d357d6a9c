//! `fleet password`: another password, by the one before it or by a link.

use clap::Args;
use fleet_protocol::access::{AcceptInvitation, ChangePassword};
use serde::Serialize;

use crate::args::Global;
use crate::ask;
use crate::client::{Access, Client};
use crate::context::{self, Context};
use crate::error::{CommandError, Result};
use crate::login::{TrustArgs, known_or_trusted};
use crate::output::Output;

const HINT: &str = "give --password-stdin, with a line for each on standard input";

#[derive(Debug, Args)]
pub struct PasswordArgs {
    /// The link of an invitation or a reset (`fleet user reset`): choose a password by it
    #[arg(long, value_name = "URL")]
    pub link: Option<String>,
    /// With the link of an organisation's first administrator: the address to log in with
    #[arg(long, value_name = "ADDRESS", requires_all = ["link", "name"])]
    pub email: Option<String>,
    /// With the link of an organisation's first administrator: what people call you
    #[arg(long, value_name = "NAME", requires_all = ["link", "email"])]
    pub name: Option<String>,
    /// Read the passwords from standard input, a line each: the present one (not with --link), the new one
    #[arg(long)]
    pub password_stdin: bool,
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// `--json` shape.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PasswordDone {
    server: String,
    changed: bool,
}

/// # Errors
/// Kind refused when the new password is too weak, unauthorized when the present one or the link is wrong.
pub(crate) fn run(args: &PasswordArgs, global: &Global, output: Output) -> Result<()> {
    if let Some(link) = &args.link {
        return by_link(link, args, global, output);
    }
    let client = context::client(global)?;
    let (current_password, new_password) = if args.password_stdin {
        (ask::next_line()?, ask::next_line()?)
    } else {
        (
            ask::secret("Present password", HINT)?,
            ask::new_secret("New password", HINT)?,
        )
    };
    let request = ChangePassword {
        current_password,
        new_password,
    };
    let _: serde_json::Value = client.post("/v1/auth/password", &request)?;
    let what = "The password is changed; all other sessions have ended";
    done(&client, true, what, output);
    Ok(())
}

fn done(client: &Client, changed: bool, what: &str, output: Output) {
    let server = client.server().to_owned();
    output.result(&PasswordDone { server, changed }, |_| format!("{what}\n"));
}

fn by_link(link: &str, args: &PasswordArgs, global: &Global, output: Output) -> Result<()> {
    let (origin, token) = parse_link(link)?;
    let global = Global {
        server: global.server.clone().or(Some(origin)),
        ..global.clone()
    };
    let client = without_login(args, &global)?;
    let password = if args.password_stdin {
        ask::next_line()?
    } else {
        ask::new_secret("New password", HINT)?
    };
    let request = AcceptInvitation {
        token,
        password,
        email: args.email.clone(),
        display_name: args.name.clone(),
    };
    let _: serde_json::Value = client.post("/v1/auth/accept", &request)?;
    let next = format!(
        "The password is set. Next: fleet login --server {}",
        client.server()
    );
    done(&client, true, &next, output);
    Ok(())
}

/// What was trusted is remembered, unless another control plane is already.
fn without_login(args: &PasswordArgs, global: &Global) -> Result<Client> {
    let context = Context::load()?;
    let trusted = known_or_trusted(&args.trust, global, context.as_ref())?;
    if context.is_none() {
        trusted.keep()?;
        let context = Context {
            server: trusted.server.url.clone(),
            ca: trusted.ca.clone(),
            token_file: None,
        };
        context.save()?;
    }
    Client::new(&trusted.server, Access::Nobody)
}

/// The control plane's address, and the token: the parameter `token` behind `?` or `#`, else the path's last part.
fn parse_link(link: &str) -> Result<(String, String)> {
    let wrong = || {
        CommandError::usage("this is no link of an invitation or a reset")
            .hint("give the whole link, in quotes: it begins with https://")
    };
    let rest = link.strip_prefix("https://").ok_or_else(wrong)?;
    let end = rest.find(['/', '?', '#']).ok_or_else(wrong)?;
    let (host, path) = rest.split_at(end);
    let origin = context::parse_server(&format!("https://{host}"))?;
    let token = path
        .split(['?', '#', '&'])
        .find_map(|part| part.strip_prefix("token="))
        .or_else(|| path.split(['?', '#']).next()?.rsplit('/').next())
        .filter(|token| !token.is_empty())
        .ok_or_else(wrong)?;
    Ok((origin, token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_the_control_plane_and_the_token() {
        for link in [
            "https://h:8443/invitation?token=abc",
            "https://h:8443/invitation#token=abc",
            "https://h:8443/invitation?lang=en&token=abc#top",
            "https://h:8443/invitation/abc",
        ] {
            let read = parse_link(link).unwrap();
            assert_eq!(
                read,
                ("https://h:8443".to_owned(), "abc".to_owned()),
                "{link}"
            );
        }
    }

    #[test]
    fn what_is_no_link_is_refused() {
        for link in [
            "abc",
            "http://h/abc",
            "https://h",
            "https://h/",
            "https://u@h/abc",
        ] {
            assert!(parse_link(link).is_err(), "{link}");
        }
    }
}
