//! A small HTTPS server on a free port: TLS 1.3, client certificates asked for but not insisted on,
//! a handler for requests, and connections that break off when told to.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::pki::Pki;

#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// Showed a certificate under the CA.
    pub has_certificate: bool,
    /// That certificate, DER.
    pub certificate: Option<Vec<u8>>,
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Keeps the connection open after the body, without a length, and sends what comes: an event stream.
    pub stream: Option<Receiver<String>>,
}

impl Response {
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            stream: None,
        }
    }

    pub fn json(status: u16, value: &impl serde::Serialize) -> Self {
        Self::new(status)
            .header("content-type", "application/json")
            .body(serde_json::to_vec(value).unwrap())
    }

    pub fn header(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }
}

type Handler = dyn Fn(Request) -> Response + Send + Sync;

/// Misbehaviour, changed while the server runs.
#[derive(Default)]
pub struct Faults {
    /// Bytes of body after which the present connection breaks off; counts down once set.
    pub cut_after: Mutex<Option<u64>>,
    /// So many more connections are closed at once.
    pub refuse: AtomicU64,
    /// Each answer takes so long.
    pub delay_ms: AtomicU64,
}

pub struct Server {
    pub address: SocketAddr,
    pub faults: Arc<Faults>,
    pub requests: Arc<AtomicU64>,
    pub body_bytes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Shared {
    config: Arc<ServerConfig>,
    handler: Arc<Handler>,
    faults: Arc<Faults>,
    requests: Arc<AtomicU64>,
    body_bytes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Server {
    pub fn start(pki: &Pki, handler: impl Fn(Request) -> Response + Send + Sync + 'static) -> Self {
        Self::start_with(config(pki, &[&rustls::version::TLS13]), handler)
    }

    pub fn start_with(
        config: ServerConfig,
        handler: impl Fn(Request) -> Response + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared {
            config: Arc::new(config),
            handler: Arc::new(handler),
            faults: Arc::default(),
            requests: Arc::default(),
            body_bytes: Arc::default(),
            stop: Arc::default(),
        };
        let server = Self {
            address,
            faults: shared.faults.clone(),
            requests: shared.requests.clone(),
            body_bytes: shared.body_bytes.clone(),
            stop: shared.stop.clone(),
        };
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if shared.stop.load(Ordering::Relaxed) {
                    return;
                }
                let one_less = |left: u64| left.checked_sub(1);
                let refuse = &shared.faults.refuse;
                if refuse
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
                    .is_ok()
                {
                    continue;
                }
                let shared = shared.clone();
                std::thread::spawn(move || {
                    let _ = serve(connection, &shared);
                });
            }
        });
        server
    }

    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.address.port())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

pub fn config(pki: &Pki, versions: &[&'static rustls::SupportedProtocolVersion]) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(pki.ca_pem.as_bytes()).unwrap())
        .unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        .allow_unauthenticated()
        .build()
        .unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(pki.server_certificate_pem.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(pki.server_key_pem.as_bytes()).unwrap(),
        )
        .unwrap()
}

type Tls = StreamOwned<ServerConnection, TcpStream>;

fn serve(connection: TcpStream, shared: &Shared) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let tls = ServerConnection::new(shared.config.clone()).map_err(io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(tls, connection));
    while let Some(request) = read_request(&mut stream)? {
        shared.requests.fetch_add(1, Ordering::Relaxed);
        let delay_ms = shared.faults.delay_ms.load(Ordering::Relaxed);
        if delay_ms > 0 {
            std::thread::park_timeout(Duration::from_millis(delay_ms));
        }
        let response = (shared.handler)(request);
        write_response(stream.get_mut(), &response, shared)?;
        if let Some(events) = response.stream {
            return send_events(stream.get_mut(), &events, shared);
        }
        if shared.faults.refuse.load(Ordering::Relaxed) > 0 {
            return Ok(());
        }
    }
    Ok(())
}

/// Until the client or the test ends.
fn send_events(stream: &mut Tls, events: &Receiver<String>, shared: &Shared) -> io::Result<()> {
    while !shared.stop.load(Ordering::Relaxed) {
        match events.recv_timeout(Duration::from_secs(1)) {
            Ok(event) => {
                stream.write_all(event.as_bytes())?;
                stream.flush()?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(())
}

fn read_request(stream: &mut BufReader<Tls>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(io::Error::other("no request line"));
    };
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .and_then(|v| v.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let shown = stream.get_ref().conn.peer_certificates();
    let certificate = shown.and_then(|chain| chain.first()).map(|c| c.to_vec());
    Ok(Some(Request {
        method,
        path,
        headers,
        body,
        has_certificate: certificate.is_some(),
        certificate,
    }))
}

fn write_response(stream: &mut Tls, response: &Response, shared: &Shared) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} X\r\n", response.status);
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if response.stream.is_none() {
        head.push_str(&format!("content-length: {}\r\n", response.body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    for chunk in response.body.chunks(16 * 1024) {
        let mut allowed = chunk.len();
        let mut cut = shared.faults.cut_after.lock().unwrap();
        if let Some(left) = cut.as_mut() {
            allowed = allowed.min(usize::try_from(*left).unwrap());
            *left -= allowed as u64;
        }
        let breaks = allowed < chunk.len();
        if breaks {
            *cut = None;
        }
        drop(cut);
        stream.write_all(&chunk[..allowed])?;
        shared
            .body_bytes
            .fetch_add(allowed as u64, Ordering::Relaxed);
        if breaks {
            stream.sock.shutdown(std::net::Shutdown::Both)?;
            return Err(io::Error::other("cut"));
        }
    }
    stream.flush()
}

/// Answers a GET of `file` with its ranges, as the control plane does.
pub fn range_of(file: &[u8], request: &Request) -> Response {
    let size = file.len();
    let Some(range) = request.headers.get("range") else {
        return Response::new(200).body(file.to_vec());
    };
    let (from, to) = range
        .strip_prefix("bytes=")
        .unwrap()
        .split_once('-')
        .unwrap();
    let from: usize = from.parse().unwrap();
    let to = to.parse::<usize>().unwrap().min(size.saturating_sub(1));
    if from >= size {
        return Response::new(416).header("content-range", format!("bytes */{size}"));
    }
    Response::new(206)
        .header("content-range", format!("bytes {from}-{to}/{size}"))
        .body(file[from..=to].to_vec())
}
