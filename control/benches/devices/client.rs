//! HTTP/1.1 over TLS 1.3 and no more of it than is needed: what the load costs is to be the server's, not the generator's.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use crate::Outcome;

/// Where the server is and how it is known.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

/// Whoever asks; it resumes TLS sessions as the devices' own client does.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    config: Arc<ClientConfig>,
}

pub(crate) struct Line {
    stream: Box<dyn Stream>,
    read: Vec<u8>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for T {}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) etag: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// A port is free for the next connection from the same address a minute after its last; 28,000 are not enough for that.
static SOURCE: AtomicU8 = AtomicU8::new(0);
const SOURCES: u8 = 32;

impl Endpoint {
    pub(crate) fn new(address: SocketAddr, ca: &[u8]) -> Outcome<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(ca.to_vec()))?;
        Ok(Self {
            address,
            roots: Arc::new(roots),
            provider: Arc::new(rustls::crypto::ring::default_provider()),
        })
    }

    fn builder(
        &self,
    ) -> Outcome<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?;
        Ok(builder.with_root_certificates(Arc::clone(&self.roots)))
    }

    /// With a device's certificate and key.
    pub(crate) fn device(&self, certificate: &[u8], key: &[u8]) -> Outcome<Client> {
        let chain = vec![CertificateDer::from(certificate.to_vec())];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_vec()));
        let mut config = self.builder()?.with_client_auth_cert(chain, key)?;
        config.resumption = Resumption::in_memory_sessions(1);
        Ok(Client {
            address: self.address,
            config: Arc::new(config),
        })
    }

    pub(crate) fn operator(&self) -> Outcome<Client> {
        Ok(Client {
            address: self.address,
            config: Arc::new(self.builder()?.with_no_client_auth()),
        })
    }
}

impl Client {
    pub(crate) async fn connect(&self) -> Outcome<Line> {
        let socket = TcpSocket::new_v4()?;
        let source = SOURCE.fetch_add(1, Ordering::Relaxed) % SOURCES;
        socket.bind((Ipv4Addr::new(127, 0, 7, source), 0).into())?;
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let name = self.address.ip().into();
        Ok(Line::over(connector.connect(name, stream).await?))
    }
}

impl Line {
    /// Without TLS.
    pub(crate) async fn plain(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    fn over(stream: impl Stream + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            read: Vec::new(),
        }
    }

    /// One request and all of its answer. `headers` end each with a line's end.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> Outcome<Answer> {
        self.send(method, path, headers, body).await?;
        let head = self.until(b"\r\n\r\n").await?;
        let head = std::str::from_utf8(&head)?;
        let status: u16 = head.get(9..12).ok_or("no status")?.parse()?;
        let length: usize = match header(head, "content-length") {
            Some(length) => length.parse()?,
            None => 0,
        };
        let etag = header(head, "etag").map(str::to_owned);
        let length = if status == 304 { 0 } else { length };
        while self.read.len() < length {
            self.more().await?;
        }
        let rest = self.read.split_off(length);
        Ok(Answer {
            status,
            etag,
            body: std::mem::replace(&mut self.read, rest),
        })
    }

    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> Outcome<()> {
        let length = body.len();
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: fleet\r\n{headers}content-length: {length}\r\n\r\n"
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// Everything up to and with this.
    pub(crate) async fn until(&mut self, end: &[u8]) -> Outcome<Vec<u8>> {
        let mut from = 0;
        loop {
            let found = self.read[from..].windows(end.len()).position(|w| w == end);
            if let Some(place) = found {
                let rest = self.read.split_off(from + place + end.len());
                return Ok(std::mem::replace(&mut self.read, rest));
            }
            from = self.read.len().saturating_sub(end.len());
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Outcome<()> {
        self.read.reserve(1_024);
        if self.stream.read_buf(&mut self.read).await? == 0 {
            return Err("the server hung up".into());
        }
        Ok(())
    }

    pub(crate) async fn close(mut self) {
        let _ = self.stream.shutdown().await;
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.split("\r\n").skip(1);
    lines.find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
