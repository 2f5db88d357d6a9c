//! Which SMTP server takes the letters, as whoever runs the control plane names it.

use std::net::IpAddr;

use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;

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
        let authority: axum::http::uri::Authority = address.parse().map_err(|_| wrong())?;
        let bare = |host: &str| host.trim_matches(['[', ']']).to_owned();
        let host = bare(authority.host());
        let port = match authority.port() {
            Some(port) => Some(port.as_str().parse::<u16>().map_err(|_| wrong())?),
            None => None,
        };
        let plain = !address.contains('@') && !address.ends_with(':') && port != Some(0);
        if !plain || rustls_pki_types::ServerName::try_from(host.as_str()).is_err() {
            return Err(wrong());
        }
        let here = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        if encryption == Encryption::None && !here {
            return Err(ServerError::Plain(host));
        }
        Ok(Self {
            port: port.unwrap_or(encryption.port()),
            host,
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
