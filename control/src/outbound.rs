//! Requests that the control plane makes by itself: messages to webhooks, and nothing else.
//!
//! Invariants:
//! - The connection goes to an IP address that was judged ([`target::check`]); a name is not looked up again.
//! - An attempt has one deadline for all of it. Of the answer only its head is read, up to [`MAX_HEAD_BYTES`]; the
//!   connection is closed after it. Redirects are not followed.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::http::{HeaderValue, Request, header};
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::domain::webhooks::target::{self, Reach, Scheme, Target, TargetError};

const DEADLINE: Duration = Duration::from_secs(15);
const MAX_HEAD_BYTES: usize = 32 << 10;
const USER_AGENT: &str = concat!("fleet-control/", env!("CARGO_PKG_VERSION"));

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    #[error("{host} can't be looked up")]
    LookUp {
        host: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{host} has no address")]
    NoAddress { host: String },
    #[error("the address {0}")]
    Target(#[from] TargetError),
    #[error("no connection to {address}")]
    Connect {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("no TLS with {host}")]
    Tls {
        host: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the connection broke, or what came is no answer")]
    Http(#[source] hyper::Error),
    #[error("no answer within {} seconds", DEADLINE.as_secs())]
    Late,
}

/// Headers beside those that every message has.
pub type Headers<'a> = [(&'static str, &'a str)];

/// Trusts whom the system trusts: read once.
static TLS: LazyLock<TlsConnector> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        tracing::warn!("this system trusts nobody: no webhook can be reached by https");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites of these versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
});

/// Sends messages.
#[derive(Debug, Clone, Copy)]
pub struct Sender {
    reach: Reach,
}

impl Sender {
    pub fn new(reach: Reach) -> Self {
        Self { reach }
    }

    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// Posts `body` as JSON. Gives the status of the answer, whatever it is.
    pub async fn post(
        &self,
        target: &Target,
        headers: &Headers<'_>,
        body: String,
    ) -> Result<u16, OutboundError> {
        let sent = tokio::time::timeout(DEADLINE, self.post_at_leisure(target, headers, body));
        sent.await.unwrap_or(Err(OutboundError::Late))
    }

    async fn post_at_leisure(
        &self,
        target: &Target,
        headers: &Headers<'_>,
        body: String,
    ) -> Result<u16, OutboundError> {
        let host = || target.host.clone();
        let mut request = Request::post(&target.path_and_query)
            .header(header::HOST, target.authority())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::CONNECTION, HeaderValue::from_static("close"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|_| TargetError::Malformed)?;
        let tcp = self.connect(target).await?;
        match target.scheme {
            Scheme::Http => exchange(tcp, request).await,
            Scheme::Https => {
                let name = ServerName::try_from(host()).map_err(|_| TargetError::Malformed)?;
                let connected = TLS.connect(name, tcp).await;
                let tls = connected.map_err(|source| OutboundError::Tls {
                    host: host(),
                    source,
                })?;
                exchange(tls, request).await
            }
        }
    }

    /// To one of the target's addresses; none of them may be where nothing may go.
    async fn connect(&self, target: &Target) -> Result<TcpStream, OutboundError> {
        let host = || target.host.clone();
        let addresses: Vec<SocketAddr> = match target.host.parse::<IpAddr>() {
            Ok(address) => vec![(address, target.port).into()],
            Err(_) => tokio::net::lookup_host((target.host.as_str(), target.port))
                .await
                .map_err(|source| OutboundError::LookUp {
                    host: host(),
                    source,
                })?
                .collect(),
        };
        for address in &addresses {
            target::check(address.ip(), self.reach)?;
        }
        let mut failure = OutboundError::NoAddress { host: host() };
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(tcp) => return Ok(tcp),
                Err(source) => failure = OutboundError::Connect { address, source },
            }
        }
        Err(failure)
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<u16, OutboundError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(OutboundError::Http)?;
    let answer = async { sender.send_request(request).await };
    // Whatever the connection still does, it ends with this function.
    tokio::pin!(connection);
    tokio::pin!(answer);
    let answer = tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(error),
        },
    };
    Ok(answer.map_err(OutboundError::Http)?.status().as_u16())
}
