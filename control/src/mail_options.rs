//! Through which server mail is sent, on the command line.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use fleet_control::mail::{Account, Encryption, MailServer};

/// Others may read it.
const OTHERS: u32 = 0o007;
const PASSWORD: &str = "FLEET_SMTP_PASSWORD";

#[derive(Debug, Args)]
#[command(next_help_heading = "Mail")]
pub(crate) struct MailOptions {
    /// Server that takes mail: invitations, links to choose a new password, alerts. Left out: links are shown instead.
    #[arg(
        long,
        env = "FLEET_SMTP_SERVER",
        value_name = "HOST[:PORT]",
        requires = "mail_from"
    )]
    smtp_server: Option<String>,
    /// TLS from the first byte (port 465), by STARTTLS (587), or none (25), which is for a server on this machine.
    #[arg(
        long,
        value_enum,
        default_value_t,
        env = "FLEET_SMTP_TLS",
        value_name = "HOW"
    )]
    smtp_tls: Encryption,
    /// With which it lets mail be sent, and the password in `FLEET_SMTP_PASSWORD` or a file.
    #[arg(
        long,
        env = "FLEET_SMTP_USER",
        value_name = "NAME",
        requires = "smtp_server"
    )]
    smtp_user: Option<String>,
    /// File with that password, which others may not read.
    #[arg(
        long,
        env = "FLEET_SMTP_PASSWORD_FILE",
        value_name = "FILE",
        requires = "smtp_user"
    )]
    smtp_password_file: Option<PathBuf>,
    /// From whom mail is, such as "Fleet <fleet@example.org>".
    #[arg(
        long,
        env = "FLEET_MAIL_FROM",
        value_name = "ADDRESS",
        requires = "smtp_server"
    )]
    mail_from: Option<String>,
}

impl MailOptions {
    /// `None`: no mail.
    pub(crate) fn server(&self) -> anyhow::Result<Option<MailServer>> {
        let (Some(address), Some(from)) = (&self.smtp_server, &self.mail_from) else {
            return Ok(None);
        };
        let sender = from.parse().ok();
        let sender = sender.with_context(|| {
            format!("--mail-from `{from}`: is no address; give one such as \"Fleet <fleet@example.org>\"")
        })?;
        let account = match &self.smtp_user {
            Some(user) => Some(Account::new(user.clone(), self.password()?)),
            None => None,
        };
        let server = MailServer::new(address, self.smtp_tls, account, sender);
        Ok(Some(server.context("--smtp-server")?))
    }

    fn password(&self) -> anyhow::Result<String> {
        if let Some(file) = &self.smtp_password_file {
            return read(file).with_context(|| format!("--smtp-password-file {}", file.display()));
        }
        // Not as an option: everybody can read a command line.
        match std::env::var(PASSWORD) {
            Ok(password) if !password.is_empty() => Ok(password),
            _ => bail!(
                "--smtp-user: goes with a password; put it into {PASSWORD}, or name a file with --smtp-password-file"
            ),
        }
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mode = file
        .metadata()
        .context("can't be looked at")?
        .permissions()
        .mode();
    ensure!(
        mode & OTHERS == 0,
        "everybody on this machine can use it; take that away: chmod 0600 {}",
        file.display()
    );
    let text = std::fs::read_to_string(file).context("can't be read")?;
    let password = text.trim_end_matches(['\r', '\n']);
    ensure!(!password.is_empty(), "is empty");
    Ok(password.to_owned())
}
