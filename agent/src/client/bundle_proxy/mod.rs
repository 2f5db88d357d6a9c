//! The loopback server that RAUC streams a bundle from.
//!
//! RAUC speaks plain HTTP to 127.0.0.1 behind a path that only it was told; the agent fetches the
//! ranges from the control plane with the device's certificate. So the key never leaves the agent,
//! and a broken connection is mended here, in the middle of a body, where RAUC would give up.
//!
//! How long RAUC waits (`src/nbd.c` of RAUC 1.13 to 1.15, Linux' `drivers/block/nbd.c`):
//! - connecting: 20 s (`CURLOPT_CONNECTTIMEOUT`), which loopback never needs;
//! - a response has no deadline of its own: neither a total nor a low-speed limit is set;
//! - a transfer that fails is tried again five times, a second apart; a 404 is final at once;
//! - the kernel gives a read of the block device 300 s (`NBD_ATTR_TIMEOUT`) and then declares the
//!   device dead, which ends the installation.
//!
//! So a range is held open and tried again for four minutes, well below 300 s, without an answer that
//! RAUC would count. After that the installation fails as a passing failure, and the engine starts
//! another: what is in the slot by then is reused by the adaptive update, not downloaded again.

pub mod http;
mod source;
mod streams;
mod transfer;

use std::io::{self, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleet_device::limit::Limiter;
use http::{Method, Request};
pub use source::{BundleSource, Place, SourceError};
use streams::Streams;
use transfer::Transfer;

/// RAUC opens one connection for each block-device read in flight.
const MAX_CONNECTIONS: usize = 64;
const CHUNK_BYTES: usize = 64 * 1024;
/// RAUC's `max-bundle-signature-size`, and the signature's length after it.
const TAIL_BYTES: u64 = 64 * 1024 + 8;
const STACK_BYTES: usize = 512 * 1024;

/// Serves one bundle until it is dropped.
#[derive(Debug)]
pub struct BundleProxy {
    address: SocketAddr,
    path: String,
    shared: Arc<Shared>,
}

struct Shared {
    streams: Streams,
    limiter: Limiter,
    path: String,
    downloaded: AtomicU64,
    connections: AtomicUsize,
    stopping: AtomicBool,
    trouble: Mutex<Option<SourceError>>,
    tail: Mutex<Option<Arc<[u8]>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("downloaded", &self.downloaded)
            .finish_non_exhaustive()
    }
}

impl BundleProxy {
    /// Starts to serve `source` on a free port of 127.0.0.1.
    pub fn start(source: BundleSource, limiter: Limiter) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        let path = format!("/{}/bundle.raucb", hex::encode(secret));
        let shared = Arc::new(Shared {
            streams: Streams::new(source),
            limiter,
            path: path.clone(),
            downloaded: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            trouble: Mutex::default(),
            tail: Mutex::default(),
        });
        let accepting = shared.clone();
        thread("bundle-proxy", move || accept(&listener, &accepting))?;
        Ok(Self {
            address,
            path,
            shared,
        })
    }

    /// What RAUC is told. Secret while the proxy lives.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }

    /// Bytes that came from the source so far.
    pub fn downloaded_bytes(&self) -> u64 {
        self.shared.downloaded.load(Ordering::Relaxed)
    }

    /// Reads the same without holding the proxy.
    pub fn download_counter(&self) -> Box<dyn Fn() -> u64 + Send + Sync> {
        let shared = self.shared.clone();
        Box::new(move || shared.downloaded.load(Ordering::Relaxed))
    }

    /// Why the source could not give what RAUC asked for; `None` while it could.
    pub fn trouble(&self) -> Option<SourceError> {
        let trouble = self.shared.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for BundleProxy {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        // Wakes the accepting thread, which then sees that it is to stop.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK_BYTES)
        .spawn(work)
        .map(drop)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for connection in listener.incoming() {
        if shared.stopping.load(Ordering::Relaxed) {
            return;
        }
        let Ok(connection) = connection else {
            // Out of descriptors or memory: leave some time for that to pass.
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        if shared.connections.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
            shared.connections.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let serving = shared.clone();
        let started = thread("bundle-proxy", move || {
            if let Err(error) = serve(&connection, &serving) {
                log::debug!(error:%; "a connection of RAUC ended");
            }
            serving.connections.fetch_sub(1, Ordering::Relaxed);
        });
        if started.is_err() {
            shared.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn serve(connection: &TcpStream, shared: &Shared) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(1024, connection);
    let mut buffer = vec![0; CHUNK_BYTES];
    while !shared.stopping.load(Ordering::Relaxed) {
        let request = match http::read_request(&mut reader) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(error) => {
                refuse(connection, "400 Bad Request")?;
                return Err(error);
            }
        };
        answer(connection, shared, &request, &mut buffer)?;
        if !request.keep_alive {
            return Ok(());
        }
    }
    Ok(())
}

fn refuse(mut connection: &TcpStream, status: &str) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    connection.write_all(head.as_bytes())
}

fn answer(
    connection: &TcpStream,
    shared: &Shared,
    request: &Request,
    buffer: &mut [u8],
) -> io::Result<()> {
    if request.path != shared.path {
        refuse(connection, "404 Not Found")?;
        return Err(io::Error::other("not the path that RAUC was told"));
    }
    let size = shared.streams.size();
    let Some((from, to)) = request.range.within(size) else {
        refuse(connection, "416 Range Not Satisfiable")?;
        return Err(io::Error::other("a range outside the bundle"));
    };
    let head = head(request, from, to, size);
    if request.method == Method::Head {
        let mut connection = connection;
        return connection.write_all(head.as_bytes());
    }
    let mut out = Outgoing {
        connection,
        filled: head.len(),
        buffer,
        begun: false,
    };
    out.buffer[..out.filled].copy_from_slice(head.as_bytes());
    let sent = send(shared, &mut out, from, to);
    sent.map_err(|error| {
        shared.note(error.clone());
        // Closing in mid-body is what makes curl try again; a head says more, if none went.
        if !out.begun {
            let status = match &error {
                SourceError::Wrong(_) | SourceError::Missing(_) => "404 Not Found",
                SourceError::Passing(_) => "502 Bad Gateway",
            };
            let _ = refuse(connection, status);
        }
        io::Error::other(error)
    })?
}

/// A response on its way. Its head goes out with the first bytes: one packet for a small range.
struct Outgoing<'a> {
    connection: &'a TcpStream,
    buffer: &'a mut [u8],
    filled: usize,
    begun: bool,
}

impl Outgoing<'_> {
    /// Sends what is in the buffer, of which `more` bytes were just added.
    fn flush(&mut self, more: usize) -> io::Result<()> {
        self.begun = true;
        let bytes = &self.buffer[..self.filled + more];
        self.filled = 0;
        self.connection.write_all(bytes)
    }
}

/// The outer error is the source's, the inner one the connection's to RAUC.
fn send(
    shared: &Shared,
    out: &mut Outgoing<'_>,
    from: u64,
    to: u64,
) -> Result<io::Result<()>, SourceError> {
    let tail_at = shared.tail_at();
    let mut transfer = Transfer::new(shared, from, to.min(tail_at));
    while transfer.position < transfer.end {
        let filled = out.filled;
        let read = transfer.next(&mut out.buffer[filled..])?;
        if let Err(gone) = out.flush(read) {
            return Ok(Err(gone));
        }
    }
    transfer.finish();
    if to <= tail_at {
        return Ok(Ok(()));
    }
    let tail = shared.tail()?;
    let within = |at: u64| usize::try_from(at.saturating_sub(tail_at)).unwrap_or(tail.len());
    for chunk in tail[within(from)..within(to)].chunks(CHUNK_BYTES / 2) {
        out.buffer[out.filled..out.filled + chunk.len()].copy_from_slice(chunk);
        if let Err(gone) = out.flush(chunk.len()) {
            return Ok(Err(gone));
        }
    }
    Ok(Ok(()))
}

fn head(request: &Request, from: u64, to: u64, size: u64) -> String {
    let (status, range) = if request.range == http::Range::Whole {
        ("200 OK", String::new())
    } else {
        let range = format!("Content-Range: bytes {from}-{}/{size}\r\n", to - 1);
        ("206 Partial Content", range)
    };
    let connection = if request.keep_alive {
        "keep-alive"
    } else {
        "close"
    };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nAccept-Ranges: bytes\r\n\
         Content-Length: {}\r\n{range}Connection: {connection}\r\n\r\n",
        to - from
    )
}

impl Shared {
    /// Where the part of the bundle begins that is fetched once and never again.
    fn tail_at(&self) -> u64 {
        self.streams.size().saturating_sub(TAIL_BYTES)
    }

    /// The end of the bundle: its signature with the manifest in it. RAUC may read it twice, to judge
    /// it and to install by it; here both are the same bytes, whatever the server says by then.
    fn tail(&self) -> Result<Arc<[u8]>, SourceError> {
        let mut held = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tail) = held.as_ref() {
            return Ok(tail.clone());
        }
        let size = self.streams.size();
        let mut bytes = vec![0; usize::try_from(size - self.tail_at()).unwrap_or(0)];
        let mut transfer = Transfer::new(self, self.tail_at(), size);
        let mut filled = 0;
        while transfer.position < size {
            filled += transfer.next(&mut bytes[filled..])?;
        }
        transfer.finish();
        let tail: Arc<[u8]> = bytes.into();
        *held = Some(tail.clone());
        Ok(tail)
    }

    fn note(&self, error: SourceError) {
        log::warn!(error:%; "the bundle cannot be read");
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        *trouble = Some(error);
    }
}
