//! Which control plane is meant: from the command line, the environment, or the context file.
//!
//! `~/.config/fleet/context.toml` (or `FLEET_CONTEXT`) is written by `fleet login` and holds paths,
//! never a secret itself.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::args::{Global, LoginArgs};
use crate::client::{Client, Credentials};
use crate::error::{CommandError, Kind, Result};
use crate::output::Output;
use crate::store::{self, Access, Existing};

const LOGIN_HINT: &str = "run `fleet login --data ./fleet-data` on the control plane's machine, or \
    give --server, --ca and --token-file (FLEET_SERVER, FLEET_CA, FLEET_TOKEN)";

/// The context file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Context {
    pub server: String,
    pub ca: PathBuf,
    pub token_file: PathBuf,
}

impl Context {
    /// The file's content.
    ///
    /// # Errors
    /// With the line that is wrong.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    fn path() -> Result<PathBuf> {
        if let Some(path) = std::env::var_os("FLEET_CONTEXT") {
            return Ok(PathBuf::from(path));
        }
        std::env::var_os("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")))
            .map(|config| config.join("fleet/context.toml"))
            .ok_or_else(|| {
                CommandError::failed("there is no home folder for the context file")
                    .hint("set HOME, or FLEET_CONTEXT to a file")
            })
    }

    fn load() -> Result<Option<Self>> {
        let path = Self::path()?;
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => {
                return Err(CommandError::io(
                    format!("cannot read {}", path.display()),
                    e,
                ));
            }
        };
        Self::parse(&text).map(Some).map_err(|source| {
            CommandError::failed(format!("{} does not parse", path.display()))
                .because(source)
                .hint("correct it, or write it anew by `fleet login`")
        })
    }
}

/// A client for the control plane that is meant.
///
/// # Errors
/// When address, CA or token are nowhere to be found.
pub fn client(global: &Global) -> Result<Client> {
    let context = Context::load()?;
    let token = std::env::var("FLEET_TOKEN").ok().filter(|t| !t.is_empty());
    let missing =
        |what: &str| CommandError::usage(format!("it is not known {what}")).hint(LOGIN_HINT);
    let server = global
        .server
        .clone()
        .or_else(|| context.as_ref().map(|c| c.server.clone()))
        .ok_or_else(|| missing("which control plane is meant"))?;
    let ca = global
        .ca
        .clone()
        .or_else(|| context.as_ref().map(|c| c.ca.clone()))
        .ok_or_else(|| missing("which CA the control plane's certificate comes from"))?;
    let token = match (&global.token_file, token) {
        (Some(path), _) => read_token(path)?,
        (None, Some(token)) => token,
        (None, None) => read_token(
            &context
                .as_ref()
                .ok_or_else(|| missing("which token to use"))?
                .token_file,
        )?,
    };
    Client::new(&Credentials {
        server: parse_server(&server)?,
        ca_certificate_pem: store::read_small(&ca, 1 << 20)?,
        token,
    })
}

fn read_token(path: &Path) -> Result<String> {
    let bytes = store::read_small(path, 4096)?;
    let token = String::from_utf8_lossy(&bytes).trim().to_owned();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(
            CommandError::failed(format!("{} holds no token", path.display()))
                .hint("it is the file `admin-token` in the control plane's data folder"),
        );
    }
    Ok(token)
}

/// `https://host[:port]`, without path and without trailing slash.
///
/// # Errors
/// Kind usage on anything else: no other scheme is spoken.
pub fn parse_server(text: &str) -> Result<String> {
    let wrong = |why: &str| {
        CommandError::usage(format!("`{text}` is no control plane's address: {why}"))
            .hint("write it like https://fleet.example:8443")
    };
    let rest = text
        .strip_prefix("https://")
        .ok_or_else(|| wrong("it does not begin with https://"))?
        .trim_end_matches('/');
    if rest.is_empty() || rest.contains(['/', '?', '#', '@', ' ']) {
        return Err(wrong("host and port alone are expected after https://"));
    }
    Ok(format!("https://{rest}"))
}

/// `fleet login`: finds address, CA and token, tries them, and writes the context file.
///
/// # Errors
/// When one of the three is missing, or the control plane does not accept them.
pub fn login(args: &LoginArgs, global: &Global, output: Output) -> Result<()> {
    let context = match &args.data {
        Some(data) => from_data_folder(data)?,
        None => match (&global.server, &global.ca, &global.token_file) {
            (Some(server), Some(ca), Some(token_file)) => Context {
                server: parse_server(server)?,
                ca: absolute(ca)?,
                token_file: absolute(token_file)?,
            },
            _ => {
                return Err(CommandError::usage("which control plane?")
                    .hint("give --data DIR, or all of --server URL --ca FILE --token-file FILE"));
            }
        },
    };
    let reachable = Client::new(&Credentials {
        server: context.server.clone(),
        ca_certificate_pem: store::read_small(&context.ca, 1 << 20)?,
        token: read_token(&context.token_file)?,
    })?
    .check();
    match reachable {
        Ok(()) => {}
        // Not running yet is no reason not to remember it.
        Err(error) if error.kind == Kind::Unreachable => {
            output.note(&format!("Warning: {error}; remembered all the same"));
        }
        Err(error) => return Err(error),
    }
    let path = Context::path()?;
    let folder = store::folder_of(&path);
    std::fs::create_dir_all(folder)
        .map_err(|e| CommandError::io(format!("cannot make {}", folder.display()), e))?;
    let text = toml::to_string(&context).expect("paths and an address are plain data");
    store::write(&path, text.as_bytes(), Access::OwnerOnly, Existing::Replace)?;
    output.result(&context, |c| {
        format!(
            "{} is the control plane from now on ({})\n",
            c.server,
            path.display()
        )
    });
    Ok(())
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
    let address = store::read_small(&present("address")?, 256)?;
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
        token_file: present("admin-token")?,
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
    fn a_server_is_https_host_and_port() {
        assert_eq!(parse_server("https://h:8443/").unwrap(), "https://h:8443");
        for bad in [
            "http://h",
            "h:8443",
            "https://",
            "https://h/v1",
            "https://u@h",
        ] {
            assert_eq!(parse_server(bad).unwrap_err().kind, Kind::Usage, "{bad}");
        }
    }

    #[test]
    fn a_control_plane_that_listens_everywhere_is_reached_by_loopback() {
        let reach = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(reach("0.0.0.0:8443"), "127.0.0.1:8443");
        assert_eq!(reach("[::]:8443"), "127.0.0.1:8443");
        assert_eq!(reach("192.0.2.7:1"), "192.0.2.7:1");
    }

    #[test]
    fn a_misspelt_field_of_the_context_file_is_refused() {
        assert!(Context::parse("server='https://h'\nca='/a'\ntoken-file='/t'").is_ok());
        assert!(Context::parse("server='https://h'\nca='/a'\ntokenfile='/t'").is_err());
    }
}
