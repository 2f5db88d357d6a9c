//! Mail that the control plane sends: through one SMTP server that whoever runs it names, and to nobody by itself.
//!
//! Invariants:
//! - Nothing goes out without TLS, except to this very machine; STARTTLS is taken or the connection ends.
//! - What was sent is told by the server's answer alone. An answer that is lost leaves it open, and the same letter, under
//!   the same Message-ID, goes again.
//! - Neither a letter nor a password is ever logged: a letter may hold a link that lets somebody in.

mod alerts;
mod letter;
mod server;

use std::time::Duration;

use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Mail, Rset};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{Error as SmtpError, authentication::DEFAULT_MECHANISMS};

pub use alerts::AlertMail;
pub use letter::{Letter, LetterError, Occasion, PasswordLink, address};
pub use server::{Account, Encryption, MailServer, ServerError};

/// For a connection to be there.
const CONNECT: Duration = Duration::from_secs(10);
/// For the whole of what nobody waits for.
pub const PATIENT: Duration = Duration::from_mins(1);
/// For the whole of what somebody waits for.
pub const PROMPT: Duration = Duration::from_secs(15);
/// For the server to say goodbye, which makes no difference.
const FAREWELL: Duration = Duration::from_secs(2);
/// Characters of what a server says that are kept.
const LONGEST_ANSWER: usize = 500;

/// How far it got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Connect,
    StartTls,
    LogIn,
    Sender,
    Send,
}

/// Why a letter was not taken, or a server can't be used.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    #[error("{}: {}", said(*.step, .server), brief(.cause))]
    Smtp {
        step: Step,
        server: String,
        /// No `source` of its own: the message has it.
        cause: SmtpError,
    },
    #[error("{server} took longer than {} seconds", .deadline.as_secs())]
    Late { server: String, deadline: Duration },
    #[error(transparent)]
    Letter(#[from] LetterError),
}

fn said(step: Step, server: &str) -> String {
    match step {
        Step::Connect => format!("no connection to {server}"),
        Step::StartTls => format!("no STARTTLS with {server}"),
        Step::LogIn => format!("{server} does not take user and password"),
        Step::Sender => format!("{server} takes no mail from this sender"),
        Step::Send => format!("{server} did not take the message"),
    }
}

/// On one line, however much the server has to say. What has no number is told by its cause: the step says the rest.
fn brief(error: &SmtpError) -> String {
    let mut cause: &dyn std::error::Error = error;
    while error.status().is_none()
        && let Some(below) = cause.source()
    {
        cause = below;
    }
    let text = cause.to_string();
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(LONGEST_ANSWER).collect()
}

impl MailError {
    /// Whether it would end in the same way if it were tried again: the server refuses this very message (5yz), or there
    /// is no message. A server that can't be used may be mended.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Smtp { step, cause, .. } => *step == Step::Send && cause.is_permanent(),
            Self::Late { .. } => false,
            Self::Letter(_) => true,
        }
    }

    /// The server's last word, if it was a number.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Smtp { cause, .. } => cause.status().map(u16::from),
            _ => None,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> &'static str {
        let Self::Smtp { step, .. } = self else {
            return "see that --smtp-server names a mail server for submission, and not a port that nothing answers at";
        };
        match step {
            Step::Connect => {
                "see that host and port of --smtp-server are right and can be reached from here, that its certificate is for \
                 this name, by an authority that this system trusts (SSL_CERT_FILE names others), and that --smtp-tls is \
                 what the port speaks: implicit (465) or starttls (587)"
            }
            Step::StartTls => {
                "try --smtp-tls implicit, most often on port 465; either way its certificate has to be for this name, by an \
                 authority that this system trusts (SSL_CERT_FILE names others)"
            }
            Step::LogIn => {
                "see that --smtp-user and the password (--smtp-password-file, or FLEET_SMTP_PASSWORD) are right; many \
                 servers want a password made for programs"
            }
            Step::Sender => "let --mail-from be an address that this user may send from",
            Step::Send => "see that the address takes mail, then try again",
        }
    }
}

/// Sends letters.
#[derive(Debug, Clone)]
pub struct Mailer {
    server: MailServer,
    /// What it calls itself.
    hello: ClientId,
}

impl Mailer {
    /// `hello` is this control plane's own host name or address, as others reach it.
    pub fn new(server: MailServer, hello: &str) -> Self {
        let hello = match hello.parse() {
            Ok(std::net::IpAddr::V4(address)) => ClientId::Ipv4(address),
            Ok(std::net::IpAddr::V6(address)) => ClientId::Ipv6(address),
            Err(_) => ClientId::Domain(hello.to_owned()),
        };
        Self { server, hello }
    }

    /// Sends one letter. `Ok`: the server has taken it upon itself.
    pub async fn send(&self, letter: &Letter, deadline: Duration) -> Result<(), MailError> {
        let message = letter.message(&self.server.sender)?;
        let (envelope, bytes) = (message.envelope().clone(), message.formatted());
        self.within(deadline, async {
            let mut connection = self.open().await?;
            let sent = connection.send(&envelope, &bytes).await;
            sent.map_err(|cause| self.failed(Step::Send, cause))?;
            Ok(connection)
        })
        .await
    }

    /// Whether letters could be sent: connects, logs in, and names the sender.
    pub async fn check(&self) -> Result<(), MailError> {
        self.within(PROMPT, async {
            let mut connection = self.open().await?;
            let sender = Some(self.server.sender.email.clone());
            let taken = connection.command(Mail::new(sender, Vec::new())).await;
            taken.map_err(|cause| self.failed(Step::Sender, cause))?;
            let _ = connection.command(Rset).await;
            Ok(connection)
        })
        .await
    }

    async fn within(
        &self,
        deadline: Duration,
        work: impl Future<Output = Result<AsyncSmtpConnection, MailError>>,
    ) -> Result<(), MailError> {
        let done = tokio::time::timeout(deadline, work).await;
        let mut connection = done.map_err(|_| MailError::Late {
            server: self.server.place(),
            deadline,
        })??;
        // What was done is done, whatever comes of this.
        let _ = tokio::time::timeout(FAREWELL, connection.quit()).await;
        Ok(())
    }

    async fn open(&self) -> Result<AsyncSmtpConnection, MailError> {
        let failed = |step| move |cause| self.failed(step, cause);
        let tls = || TlsParameters::new(self.server.host.clone());
        let implicit = match self.server.encryption {
            Encryption::Implicit => Some(tls().map_err(failed(Step::Connect))?),
            Encryption::StartTls | Encryption::None => None,
        };
        let to = (self.server.host.as_str(), self.server.port);
        let opened =
            AsyncSmtpConnection::connect_tokio1(to, Some(CONNECT), &self.hello, implicit, None);
        let mut connection = opened.await.map_err(failed(Step::Connect))?;
        if self.server.encryption == Encryption::StartTls {
            let tls = tls().map_err(failed(Step::StartTls))?;
            let started = connection.starttls(tls, &self.hello).await;
            started.map_err(failed(Step::StartTls))?;
        }
        if let Some(account) = &self.server.account {
            let credentials = account.credentials();
            let let_in = connection.auth(DEFAULT_MECHANISMS, &credentials).await;
            let_in.map_err(failed(Step::LogIn))?;
        }
        Ok(connection)
    }

    fn failed(&self, step: Step, cause: SmtpError) -> MailError {
        MailError::Smtp {
            step,
            server: self.server.place(),
            cause,
        }
    }
}
