//! Which SMTP server takes the letters, as whoever runs the control plane names it.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU16;

use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use rustls_pki_types::ServerName;

/// How the connection is kept from being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Encryption {
    /// TLS from the first byte (RFC 8314).
    #[default]
    Implicit,
    /// TLS by STARTTLS, and no other way.
    #[value(name = "starttls")]
    StartTls,
    /// Not at all: on this machine.
    None,
}

impl Encryption {
    /// Where servers listen for this.
    const fn port(self) -> u16 {
        match self {
            Self::Implicit => 465,
            Self::StartTls => 587,
            Self::None => 25,
        }
    }
}

/// With which the server lets mail be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    user: String,
    password: String,
}

impl Account {
    pub fn new(user: String, password: String) -> Self {
        Self { user, password }
    }

    pub(super) fn credentials(&self) -> Credentials {
        Credentials::new(self.user.clone(), self.password.clone())
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Why this can't be a server.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ServerError {
    #[error("`{0}` is no HOST or HOST:PORT")]
    Address(String),
    #[error(
        "without TLS mail goes to this machine alone (localhost, 127.0.0.1, [::1]), and `{0}` is another"
    )]
    Plain(String),
}

/// All that it takes to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailServer {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) encryption: Encryption,
    pub(super) account: Option<Account>,
    /// From whom letters are.
    pub(super) sender: Mailbox,
}

impl MailServer {
    /// `address` is `HOST` or `HOST:PORT`; an IPv6 address stands in brackets.
    pub fn new(
        address: &str,
        encryption: Encryption,
        account: Option<Account>,
        sender: Mailbox,
    ) -> Result<Self, ServerError> {
        let wrong = || ServerError::Address(address.to_owned());
        let (host, port) = parts(address).ok_or_else(wrong)?;
        let here = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        if encryption == Encryption::None && !here {
            return Err(ServerError::Plain(host.to_owned()));
        }
        Ok(Self {
            port: port.map_or(encryption.port(), NonZeroU16::get),
            host: host.to_owned(),
            encryption,
            account,
            sender,
        })
    }

    /// For people.
    pub(super) fn place(&self) -> String {
        if self.host.contains(':') {
            return format!("[{}]:{}", self.host, self.port);
        }
        format!("{}:{}", self.host, self.port)
    }
}

/// Host, without brackets, and port.
fn parts(address: &str) -> Option<(&str, Option<NonZeroU16>)> {
    let (host, rest) = match address.strip_prefix('[') {
        Some(inside) => {
            let (host, rest) = inside.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, rest)
        }
        None => address.split_at(address.find(':').unwrap_or(address.len())),
    };
    ServerName::try_from(host).ok()?;
    if rest.is_empty() {
        return Some((host, None));
    }
    let port = rest.strip_prefix(':')?.parse().ok()?;
    Some((host, Some(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(address: &str, encryption: Encryption) -> Result<MailServer, ServerError> {
        let sender = "Fleet <fleet@example.org>".parse().unwrap();
        MailServer::new(address, encryption, None, sender)
    }

    #[test]
    fn a_server_is_a_host_with_the_port_of_its_encryption_or_another() {
        use Encryption::{Implicit, None, StartTls};
        for (address, encryption, place) in [
            ("smtp.example.org", Implicit, "smtp.example.org:465"),
            ("smtp.example.org", StartTls, "smtp.example.org:587"),
            ("smtp.example.org:2525", StartTls, "smtp.example.org:2525"),
            ("[2001:db8::1]:465", Implicit, "[2001:db8::1]:465"),
            ("[::1]", None, "[::1]:25"),
            ("localhost:1025", None, "localhost:1025"),
        ] {
            assert_eq!(server(address, encryption).unwrap().place(), place);
        }
        for bad in [
            "", "smtp:", "a b", "smtp://a", "u@a", "a:0", "a:99999", "a/b", "[a]",
        ] {
            let wrong = server(bad, Implicit).unwrap_err();
            assert_eq!(wrong, ServerError::Address(bad.to_owned()));
        }
    }

    #[test]
    fn without_tls_mail_stays_on_this_machine() {
        for here in ["localhost", "127.0.0.1:25", "127.9.9.9", "[::1]:25"] {
            server(here, Encryption::None).unwrap();
        }
        for other in [
            "smtp.example.org",
            "10.0.0.1",
            "localhost.example.org",
            "[2001:db8::1]",
        ] {
            let refused = server(other, Encryption::None).unwrap_err();
            assert!(
                matches!(refused, ServerError::Plain(_)),
                "{other}: {refused}"
            );
        }
    }

    #[test]
    fn a_password_is_shown_to_nobody() {
        let account = Account::new("fleet".to_owned(), "secret".to_owned());
        assert!(!format!("{account:?}").contains("secret"));
    }
}
