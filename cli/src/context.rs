//! Which control plane is meant, and as whom: from the command line, the environment, or the context file.
//!
//! `~/.config/fleet/context.toml` (or `FLEET_CONTEXT`) is written by `fleet login` and holds paths,
//! never a secret itself. Without a token's file in it, it is the login beside it that counts (`credentials`).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::args::Global;
use crate::client::{Access, Client, Server};
use crate::credentials::CredentialFile;
use crate::error::{CommandError, Result};
use crate::store::{self, Existing};

const LOGIN_HINT: &str = "run `fleet login --server https://HOST:8443`, or `fleet login --data ./fleet-data` on the \
    control plane's machine, or give --server, --ca and --token-file (FLEET_SERVER, FLEET_CA, FLEET_TOKEN)";

/// The context file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Context {
    pub server: String,
    pub ca: PathBuf,
    /// `None`: somebody has to log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

impl Context {
    /// The file's content.
    ///
    /// # Errors
    /// With the line that is wrong.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    pub(crate) fn path() -> Result<PathBuf> {
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

    pub(crate) fn load() -> Result<Option<Self>> {
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

    /// Writes it, for all commands from now on; where to.
    pub(crate) fn save(&self) -> Result<PathBuf> {
        let path = Self::path()?;
        let folder = store::folder_of(&path);
        std::fs::create_dir_all(folder)
            .map_err(|e| CommandError::io(format!("cannot make {}", folder.display()), e))?;
        let text = toml::to_string(self).expect("paths and an address are plain data");
        store::write(
            &path,
            text.as_bytes(),
            store::Access::OwnerOnly,
            Existing::Replace,
        )?;
        Ok(path)
    }
}

/// A client for the control plane that is meant.
///
/// # Errors
/// When address, CA or token are nowhere to be found.
pub fn client(global: &Global) -> Result<Client> {
    let context = Context::load()?;
    let server = server(global, context.as_ref())?;
    let access = access(global, context.as_ref(), &server)?;
    Client::new(&server, access)
}

fn missing(what: &str) -> CommandError {
    CommandError::usage(format!("it is not known {what}")).hint(LOGIN_HINT)
}

fn server(global: &Global, context: Option<&Context>) -> Result<Server> {
    let url = global
        .server
        .clone()
        .or_else(|| context.map(|c| c.server.clone()))
        .ok_or_else(|| missing("which control plane is meant"))?;
    let ca = global
        .ca
        .clone()
        .or_else(|| context.map(|c| c.ca.clone()))
        .ok_or_else(|| missing("which CA the control plane's certificate comes from"))?;
    Ok(Server {
        url: parse_server(&url)?,
        ca_certificate_pem: read_ca(&ca)?,
    })
}

pub(crate) fn read_ca(path: &Path) -> Result<Vec<u8>> {
    store::read_small(path, 1 << 20)
}

/// The token of `FLEET_TOKEN`, which goes before every login.
pub(crate) fn token_of_environment() -> Option<String> {
    std::env::var("FLEET_TOKEN").ok().filter(|t| !t.is_empty())
}

fn access(global: &Global, context: Option<&Context>, server: &Server) -> Result<Access> {
    if let Some(path) = &global.token_file {
        return read_token(path).map(Access::Token);
    }
    if let Some(token) = token_of_environment() {
        return Ok(Access::Token(token));
    }
    if let Some(path) = context.and_then(|c| c.token_file.as_ref()) {
        return read_token(path).map(Access::Token);
    }
    let file = CredentialFile::of_context(&Context::path()?);
    let Some(logged_in) = file.load()? else {
        return Err(missing("who you are: nobody is logged in"));
    };
    if logged_in.ca_sha256 != server.ca_sha256()? {
        let elsewhere = format!("the login is not one at {}", server.url);
        return Err(
            CommandError::usage(elsewhere).hint(format!("fleet login --server {}", server.url))
        );
    }
    Ok(Access::login(file, logged_in))
}

pub(crate) fn read_token(path: &Path) -> Result<String> {
    let bytes = store::read_small(path, 4096)?;
    let token = String::from_utf8_lossy(&bytes).trim().to_owned();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(
            CommandError::failed(format!("{} holds no token", path.display()))
                .hint("it is the file `admin-token` in the control plane's data folder, or one with an API key"),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

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
    fn a_misspelt_field_of_the_context_file_is_refused() {
        assert!(Context::parse("server='https://h'\nca='/a'\ntoken-file='/t'").is_ok());
        assert!(Context::parse("server='https://h'\nca='/a'").is_ok());
        assert!(Context::parse("server='https://h'\nca='/a'\ntokenfile='/t'").is_err());
    }
}
