//! `fleet login` and `fleet logout`: a control plane's address, CA and token, or who works with it.

mod trust;

use std::path::{Path, PathBuf};

use clap::Args;
use fleet_protocol::Sha256;
use fleet_protocol::access::{LogIn, LoggedInUser, Tokens};
use serde::Serialize;

use crate::args::Global;
use crate::ask;
use crate::client::{Access, Client, NoBody, Server};
use crate::context::{self, Context, read_ca, read_token};
use crate::credentials::{CredentialFile, LoggedIn};
use crate::error::{CommandError, Kind, Result};
use crate::output::{Output, printable};

pub(crate) use trust::known_or_trusted;

#[derive(Debug, Args)]
pub struct LoginArgs {
    /// The data folder of a control plane on this machine: its own token is used
    #[arg(long, value_name = "DIR", conflicts_with_all = ["server", "token_file", "ca"])]
    pub data: Option<PathBuf>,
    /// Who logs in; else it is asked for
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["data", "token_file"])]
    pub email: Option<String>,
    /// Read the password from a line of standard input
    #[arg(long, requires = "email")]
    pub password_stdin: bool,
    /// Six digits of the authenticator, or a recovery code; else it is asked for
    #[arg(long, requires = "email")]
    pub code: Option<String>,
    #[command(flatten)]
    pub trust: TrustArgs,
}

#[derive(Debug, Default, Clone, Args)]
pub struct TrustArgs {
    /// Trust the CA with this SHA-256 fingerprint, without being asked
    #[arg(long, value_name = "SHA256", value_parser = trust::fingerprint, conflicts_with = "ca")]
    pub ca_sha256: Option<Sha256>,
}

/// `--json` shape after a person's login.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PersonsLogin {
    server: String,
    ca: PathBuf,
    user: LoggedInUser,
}

/// # Errors
/// When something is missing, or the control plane does not accept it.
pub fn login(args: &LoginArgs, global: &Global, output: Output) -> Result<()> {
    match (&args.data, &global.token_file) {
        (Some(data), _) => with_token(&from_data_folder(data)?, output),
        (None, Some(token_file)) => {
            let (Some(server), Some(ca)) = (&global.server, &global.ca) else {
                return Err(CommandError::usage("which control plane is the token for?")
                    .hint("give all of --server URL --ca FILE --token-file FILE, or --data DIR"));
            };
            let context = Context {
                server: context::parse_server(server)?,
                ca: absolute(ca)?,
                token_file: Some(absolute(token_file)?),
            };
            with_token(&context, output)
        }
        (None, None) => person(args, global, output),
    }
}

/// Tries what is in the context, and remembers it.
fn with_token(context: &Context, output: Output) -> Result<()> {
    let server = Server {
        url: context.server.clone(),
        ca_certificate_pem: read_ca(&context.ca)?,
    };
    let token = context.token_file.as_deref().map(read_token).transpose()?;
    let access = token.map_or(Access::Nobody, Access::Token);
    match Client::new(&server, access)?.check() {
        Ok(()) => {}
        // Not running yet is no reason not to remember it.
        Err(error) if error.kind == Kind::Unreachable => {
            output.note(&format!("Warning: {error}; remembered all the same"));
        }
        Err(error) => return Err(error),
    }
    let path = context.save()?;
    output.result(context, |c| {
        format!(
            "{} is the control plane from now on ({})\n",
            c.server,
            path.display()
        )
    });
    Ok(())
}

const EMAIL_HINT: &str = "give --email, and --password-stdin with the password on standard input";

fn person(args: &LoginArgs, global: &Global, output: Output) -> Result<()> {
    let context = Context::load()?;
    let trusted = known_or_trusted(&args.trust, global, context.as_ref())?;
    let file = CredentialFile::of_context(&Context::path()?);
    let ca_sha256 = trusted.server.ca_sha256()?;
    // Whoever was logged in here; a file that is no good any more is replaced.
    let before = file.load().ok().flatten();
    let email = if let Some(email) = &args.email {
        email.clone()
    } else {
        let before = before.filter(|b| b.ca_sha256 == ca_sha256);
        let before = before.as_ref().map(|b| b.tokens.user.email.as_str());
        ask::line("E-mail", before, EMAIL_HINT)?
    };
    let password = if args.password_stdin {
        ask::next_line()?
    } else {
        ask::secret("Password", EMAIL_HINT)?
    };
    let request = LogIn {
        email,
        password,
        code: args.code.clone(),
    };
    let tokens = tokens(&Client::new(&trusted.server, Access::Nobody)?, request)?;
    let said = PersonsLogin {
        server: trusted.server.url.clone(),
        ca: trusted.ca.clone(),
        user: tokens.user.clone(),
    };
    let url = trusted.server.url.clone();
    trusted.keep()?;
    let lock = file.lock()?;
    lock.save(&LoggedIn { ca_sha256, tokens })?;
    let context = Context {
        server: url,
        ca: said.ca.clone(),
        token_file: None,
    };
    context.save()?;
    drop(lock);
    if context::token_of_environment().is_some() {
        output.note("Warning: FLEET_TOKEN is set, and goes before this login");
    }
    output.result(&said, |l| {
        let who = printable(&l.user.email);
        format!("{who} is logged in at {}\n", l.server)
    });
    Ok(())
}

/// Logs in; asks for the code when one is needed.
fn tokens(client: &Client, mut request: LogIn) -> Result<Tokens> {
    const PATH: &str = "/v1/auth/login";
    let hint = "give --code, six digits of the authenticator or a recovery code";
    match client.post(PATH, &request) {
        Err(error) if error.has_code("TOTP_REQUIRED") && request.code.is_none() => {
            request.code = Some(ask::line("Code of the authenticator", None, hint).map_err(
                |asked| CommandError {
                    kind: Kind::Unauthorized,
                    ..asked.code("TOTP_REQUIRED")
                },
            )?);
            client.post(PATH, &request)
        }
        answer => answer,
    }
}

/// `--json` shape of `fleet logout`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LoggedOut {
    server: String,
}

/// `fleet logout`: ends the session, and forgets its tokens, or where another token is.
///
/// # Errors
/// When nobody is logged in, or the files can't be changed.
pub fn logout(global: &Global, output: Output) -> Result<()> {
    let Some(mut context) = Context::load()? else {
        return Err(nobody());
    };
    let file = CredentialFile::of_context(&Context::path()?);
    if context.token_file.take().is_some() {
        context.save()?;
    } else {
        let Some(logged_in) = file.load()? else {
            return Err(nobody());
        };
        end(logged_in, &file, &context, global, output)?;
    }
    file.lock()?.remove()?;
    let said = LoggedOut {
        server: context.server,
    };
    output.result(&said, |l| format!("Logged out of {}\n", l.server));
    Ok(())
}

fn end(
    logged_in: LoggedIn,
    file: &CredentialFile,
    context: &Context,
    global: &Global,
    output: Output,
) -> Result<()> {
    let url = global.server.as_ref().unwrap_or(&context.server);
    let server = Server {
        url: context::parse_server(url)?,
        ca_certificate_pem: read_ca(&context.ca)?,
    };
    let access = Access::login(file.clone(), logged_in);
    let ended: Result<()> = Client::new(&server, access)?.post("/v1/auth/logout", &NoBody {});
    match ended {
        Ok(()) => Ok(()),
        // Over already.
        Err(error) if error.kind == Kind::Unauthorized => Ok(()),
        Err(error) if error.kind == Kind::Unreachable => {
            output.note(&format!(
                "Warning: {error}; forgotten here, but the session lasts until it is ended there (fleet session revoke)"
            ));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn nobody() -> CommandError {
    CommandError::refused("nobody is logged in").hint("log in: fleet login")
}

fn from_data_folder(data: &Path) -> Result<Context> {
    let hint = "it is the folder given to `fleet-control serve --data`; start it once first";
    let present = |name: &str| {
        let path = absolute(&data.join(name))?;
        if path.is_file() {
            Ok(path)
        } else {
            Err(CommandError::not_found(format!("{} does not exist", path.display())).hint(hint))
        }
    };
    let address = crate::store::read_small(&present("address")?, 256)?;
    let address = String::from_utf8_lossy(&address).trim().to_owned();
    let address: std::net::SocketAddr = address.parse().map_err(|e| {
        CommandError::failed(format!(
            "{} holds no address",
            data.join("address").display()
        ))
        .because(e)
        .hint("start `fleet-control serve` again: it writes the file")
    })?;
    Ok(Context {
        server: format!("https://{}", reachable(address)),
        ca: present("ca.pem")?,
        token_file: Some(present("admin-token")?),
    })
}

/// Who listens everywhere is reached on this machine by the loopback address.
fn reachable(mut address: std::net::SocketAddr) -> std::net::SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map_err(|e| CommandError::io(format!("cannot resolve {}", path.display()), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_plane_that_listens_everywhere_is_reached_by_loopback() {
        let reach = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(reach("0.0.0.0:8443"), "127.0.0.1:8443");
        assert_eq!(reach("[::]:8443"), "127.0.0.1:8443");
        assert_eq!(reach("192.0.2.7:1"), "192.0.2.7:1");
    }
}
